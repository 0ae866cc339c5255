import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { parseNameAddr } from "../../sip/fields.ts";
import type { SipRequest } from "../../sip/message.ts";
import { parseSipUri, type SipUri } from "../../sip/uri.ts";
import type { Resource, Trunk } from "../resource.ts";
import { type CertificateVerdict, judgeCertificate, type ShownCertificate } from "./certificate.ts";
import type { EdgePolicy } from "./policy.ts";
import { type EdgeRefusal, REFUSALS } from "./refusal.ts";

/** A border controller that may talk to us: its trunk, and where its requests say to answer. */
export interface Origin {
  readonly trunk: Trunk;
  /** Name in the top Record-Route, else in the Contact. */
  readonly fqdn: string;
  /** Port of that URI; undefined when it names none. */
  readonly port: number | undefined;
}

export type Judgement =
  | { readonly origin: Origin; readonly certificate: CertificateVerdict }
  | {
      readonly refusal: EdgeRefusal;
      /** Known when only the certificate was at fault, for the trunk's status. */
      readonly trunk?: Trunk;
      readonly certificate?: CertificateVerdict;
    };

export interface ContactRules {
  readonly resource: Resource;
  readonly now: Date;
  readonly trustedRoots: readonly X509Certificate[];
  readonly policy: Pick<EdgePolicy, "missingContactStatus" | "missingKeyUsage">;
}

/**
 * Decides whether the sender of a request is a paired border controller: the FQDN of the top
 * Record-Route, or else of the first Contact, names a trunk of a verified domain, and the
 * connection's certificate is good for that very name.
 */
export function judgeOrigin(
  request: SipRequest,
  shown: ShownCertificate,
  rules: ContactRules,
): Judgement {
  const named = namedUri(request, rules);
  if ("refusal" in named) return named;
  const { host, port, scheme } = named.uri;
  if (scheme === "sips") return forbidden(`${named.header} is a sips URI; use transport=tls`);
  if (isIP(host) !== 0) return forbidden(`${named.header} has the IP address ${host}, not an FQDN`);
  const trunk = trunkOf(host, rules.resource);
  if (trunk === undefined) return { refusal: noTrunk(`${named.header} names ${host}`) };
  if (!rules.resource.isVerified(host)) {
    return { refusal: noTrunk(`the domain of ${host} is not verified`) };
  }
  if (!trunk.enabled) return forbidden(`the trunk ${trunk.fqdn} is disabled`);
  const certificate = judgeCertificate(shown, { ...rules, ...rules.policy, host });
  if (certificate.fault !== undefined) {
    return { ...forbidden(certificate.message), trunk, certificate };
  }
  return { origin: { trunk, fqdn: host, port }, certificate };
}

/**
 * Why a connection is not to be trusted that a request inside a dialog has opened: its certificate
 * is held against the name in the request, or for want of one against the dialog's trunk.
 */
export function refusalInside(
  request: SipRequest,
  shown: ShownCertificate,
  rules: ContactRules & { readonly trunk: Trunk },
): EdgeRefusal | undefined {
  // A BYE needs no Contact, and where there is one it may be anything.
  const isNamed =
    request.method !== "BYE" && (request.has("Record-Route") || request.has("Contact"));
  const named = isNamed ? namedUri(request, rules) : undefined;
  if (named !== undefined && "refusal" in named) return named.refusal;
  const host = named?.uri.host ?? rules.trunk.fqdn;
  const { fault, message } = judgeCertificate(shown, { ...rules, ...rules.policy, host });
  return fault === undefined ? undefined : forbidden(message).refusal;
}

interface NamedUri {
  header: "Record-Route" | "Contact";
  uri: SipUri;
}

function namedUri(request: SipRequest, { policy }: ContactRules) {
  const header = request.has("Record-Route") ? "Record-Route" : "Contact";
  const value = request.top(header);
  if (value === undefined || value === "*") {
    const status = policy.missingContactStatus;
    const text = "Record-Route and Contact headers are missing";
    return { refusal: { status, subCode: 510_532, text, cause: 63 } };
  }
  try {
    const named: NamedUri = { header, uri: parseSipUri(parseNameAddr(value).uri) };
    return named;
  } catch (error) {
    const text = `${header} cannot be read: ${error instanceof Error ? error.message : value}`;
    return { refusal: { ...REFUSALS.malformed, text } };
  }
}

/** By the exact name, then without the host label, as inbound resolution is documented. */
function trunkOf(host: string, resource: Resource): Trunk | undefined {
  return resource.trunk(host) ?? resource.trunk(host.slice(host.indexOf(".") + 1));
}

function noTrunk(detail: string): EdgeRefusal {
  return { ...REFUSALS.noTrunk, text: `${REFUSALS.noTrunk.text}: ${detail}` };
}

function forbidden(text: string) {
  return { refusal: { status: 403, subCode: 510_403, text } };
}
