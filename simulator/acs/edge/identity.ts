import { formatNameAddr } from "../../sip/fields.ts";
import { parseUri } from "../../sip/uri.ts";
import type { IdSource } from "../ids.ts";

/** What marks everything that belongs to one call: `x-i`, and per dialog `x-c`. */
export interface DialogIdentity {
  /** The call's correlation id, a GUID. */
  readonly xI: string;
  readonly xC: string;
  /** Our Contact: no user part, port 443, no transport, as in public traces. */
  readonly contactUri: string;
  /** Our tag of the dialog, 32 hex digits. */
  readonly tag: string;
}

/** 32 hex digits, the form of Microsoft's tags and conversation ids. */
export function hexId(ids: IdSource): string {
  return ids.guid().replaceAll("-", "");
}

export interface IdentityOptions {
  readonly ids: IdSource;
  readonly correlationId: string;
  /** Region and instance, such as `USEA.5`. */
  readonly region: string;
  readonly origin: "sbc" | "microsoft";
}

export function createIdentity({ ids, correlationId, region, origin }: IdentityOptions) {
  // `/s/1/` is what traces of calls from the border controller show; the other form is a guess.
  const xC = `${hexId(ids)}/${origin === "sbc" ? "s/1" : "d/8"}/${hexId(ids)}`;
  const contactUri = `sip:${apiHost(region)}:443;x-i=${correlationId};x-c=${xC}`;
  const identity: DialogIdentity = { xI: correlationId, xC, contactUri, tag: hexId(ids) };
  return identity;
}

/** `api-du-a-usea.pstnhub.microsoft.com` for the region `USEA.5`. */
export function apiHost(region: string): string {
  const [name = region] = region.split(".");
  return `api-du-a-${name.toLowerCase()}.pstnhub.microsoft.com`;
}

/** Does a request inside the dialog carry our Contact's parameters untouched? */
export function carriesIdentity(requestUri: string, { xI, xC }: DialogIdentity): boolean {
  const uri = parseUri(requestUri);
  if (uri.kind !== "sip") return false;
  return uri.parameters.get("x-i") === xI && uri.parameters.get("x-c") === xC;
}

/**
 * The encoded call replacement URI of Referred-By: base64, its padding percent-encoded. Case
 * matters: an element that lower-cases it breaks the transfer.
 */
export function replacementUri(region: string, callId: string): string {
  const url = `https://${apiHost(region)}/v1/ngc/callnotification?dci=${callId}`;
  return Buffer.from(url).toString("base64").replaceAll("=", "%3D");
}

/** The URI in angle brackets, as a Contact with URI parameters needs it. */
export function bracketed(uri: string): string {
  return formatNameAddr({ displayName: undefined, uri, parameters: new Map() });
}
