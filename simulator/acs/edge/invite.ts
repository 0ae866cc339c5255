import { randomBytes } from "node:crypto";
import { Negotiation } from "../../media/negotiation.ts";
import { type MediaRefusal, MediaRefused } from "../../media/sdp.ts";
import { Dialog } from "../../sip/dialog.ts";
import type { HeaderInput, SipRequest } from "../../sip/message.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import { parseUri } from "../../sip/uri.ts";
import { PstnRefusal } from "../pstn.ts";
import type { PeerAbilities } from "./abilities.ts";
import { EdgeCall } from "./call.ts";
import type { Origin } from "./contact.ts";
import type { Datacenter } from "./datacenter.ts";
import { filterCustomHeaders } from "./headers.ts";
import { loopFault } from "./history.ts";
import { bracketed, createIdentity, type DialogIdentity } from "./identity.ts";
import {
  type CodeDetail,
  causeOf,
  type EdgeRefusal,
  formatReason,
  q850Of,
  REFUSALS,
  refusedByEdge,
} from "./refusal.ts";
import type { EdgeServices } from "./services.ts";
import { agreedAsCallee, agreementHeaders } from "./session-timer.ts";

export interface IncomingInviteOptions {
  readonly edge: EdgeServices;
  readonly transaction: ServerTransaction;
  readonly datacenter: Datacenter;
  readonly origin: Origin;
  /** Default: a new one. */
  readonly correlationId?: string;
}

/** An INVITE of a paired border controller that waits for its answer. */
export class IncomingInvite {
  readonly identity: DialogIdentity;
  readonly origin: Origin;
  readonly request: SipRequest;
  readonly abilities: PeerAbilities;
  /** Custom headers that pass the policy. */
  readonly sipHeaders: Readonly<Record<string, string>>;
  readonly #options: IncomingInviteOptions;
  #answered = false;

  constructor(options: IncomingInviteOptions) {
    const { edge, transaction, datacenter, origin } = options;
    this.#options = options;
    this.origin = origin;
    this.request = transaction.request;
    this.abilities = edge.abilities(origin.trunk, this.request);
    this.identity = createIdentity({
      ids: edge.options.ids,
      correlationId: options.correlationId ?? edge.options.ids.guid(),
      region: datacenter.region,
      origin: "sbc",
    });
    this.sipHeaders = this.#filterHeaders();
  }

  /** Caller's number as From gives it: E.164, or "anonymous". */
  get from(): string {
    return userOf(this.request.from.uri) ?? "anonymous";
  }

  /** Called number: the user part of the Request-URI. */
  get to(): string {
    return userOf(this.request.uri) ?? "";
  }

  /** Aborted by a CANCEL; the reason is the CANCEL request. */
  get cancelled(): AbortSignal {
    return this.#options.transaction.cancelled;
  }

  /** Q.850 cause of the CANCEL, if it gave one. */
  get cancelReason(): CodeDetail | undefined {
    const reason: unknown = this.cancelled.reason;
    const hasHeaders = typeof reason === "object" && reason !== null && "list" in reason;
    return hasHeaders ? q850Of((reason as SipRequest).list("Reason")) : undefined;
  }

  /** Called when the border controller can no longer be answered: its connection is gone. */
  onLost(listener: () => void): void {
    this.#options.transaction.onEnd((end) => {
      if (!this.#answered && end !== "done") listener();
    });
  }

  ring(): void {
    if (!this.#isOpen) return;
    this.#options.transaction.respond(180, { headers: this.#headers(), toTag: this.identity.tag });
  }

  /** 200 with our SDP. Resolves when the ACK came; rejects with {@link PstnRefusal}. */
  async answer(): Promise<EdgeCall> {
    const { edge, transaction, datacenter, origin } = this.#options;
    const media = await edge.openMedia(this.identity.xI);
    try {
      if (!this.#isOpen) throw goneRefusal();
      const body = media.answer(this.request.body.toString());
      const agreement = agreedAsCallee(this.request, edge.policy);
      const acknowledged = this.#acknowledgement();
      this.#answered = true;
      const response = transaction.respond(200, {
        headers: {
          ...this.#headers(),
          "Content-Type": "application/sdp",
          ...agreementHeaders(agreement),
        },
        toTag: this.identity.tag,
        body,
      });
      const dialog = Dialog.asUas(this.request, response);
      const { identity, abilities } = this;
      const { trunk } = origin;
      const call = new EdgeCall({ edge, dialog, identity, trunk, datacenter, media, abilities });
      await this.#settle(call, acknowledged);
      call.renegotiation.agree(agreement);
      return call;
    } catch (error) {
      await media[Symbol.asyncDispose]();
      throw error;
    }
  }

  refuse(refusal: EdgeRefusal): void {
    if (!this.#isOpen) return;
    this.#answered = true;
    refuse(this.#options.transaction, refusal, this.identity.xI);
  }

  /** Without an ACK the dialog is ended by a BYE, as the service does. */
  async #settle(call: EdgeCall, acknowledged: Promise<boolean>): Promise<void> {
    const first = await Promise.race([acknowledged, call.ended.then(() => true)]);
    if (first) return;
    const refusal = REFUSALS.notAcknowledged;
    this.#options.edge.options.findings.add("ACK_MISSING", refusal.text, this.identity.xI);
    await call.bye(refusal.text, "network");
    throw refusedByEdge(refusal, "answering the call");
  }

  #acknowledgement(): Promise<boolean> {
    const { transaction } = this.#options;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    transaction.onAck(() => resolve(true));
    transaction.onEnd(() => resolve(false));
    return promise;
  }

  get #isOpen(): boolean {
    const { state } = this.#options.transaction;
    const waits = state === "trying" || state === "proceeding";
    return waits && !this.#answered && !this.cancelled.aborted;
  }

  #headers(): Record<string, string | string[] | undefined> {
    const { edge, datacenter } = this.#options;
    const own = edge.recordRoute(datacenter);
    const received = this.request.list("Record-Route");
    return {
      Contact: bracketed(this.identity.contactUri),
      "Record-Route": own === undefined ? received : [own, ...received],
    };
  }

  #filterHeaders(): Readonly<Record<string, string>> {
    const { edge } = this.#options;
    const { customHeaders: mode, inboundHeaders: filter } = edge.policy;
    const filtered = filterCustomHeaders(this.request.headers(), { mode, filter });
    for (const { message } of filtered.violations) {
      edge.options.findings.add("CUSTOM_HEADER", message, this.identity.xI);
    }
    return filtered.headers;
  }
}

function goneRefusal(): PstnRefusal {
  return new PstnRefusal("the caller is gone", { code: 487, subCode: 540_487 });
}

/** Final refusal with REASON. */
export function refuse(
  transaction: ServerTransaction,
  refusal: EdgeRefusal,
  correlationId: string,
): void {
  const { status, text, cause = causeOf(status), headers = {} } = refusal;
  const reason = { Reason: formatReason(correlationId, text, cause) };
  const all: HeaderInput = { ...headers, ...reason };
  transaction.respond(status, { headers: all });
}

/** What an INVITE must not or must have, whoever it is for; undefined: nothing is wrong. */
export function inviteFault(request: SipRequest, edge: EdgeServices): EdgeRefusal | undefined {
  return (
    loopFault(request, edge.policy.historyLimit) ??
    requireFault(request) ??
    replacesFault(request) ??
    sessionFault(request, edge.policy.minSessionExpiresS) ??
    mediaFault(request)
  );
}

/** A call from the telephone network needs a number in international form. */
export function numberFault(request: SipRequest): EdgeRefusal | undefined {
  if (request.uri.toLowerCase().startsWith("sips:")) {
    return { status: 416, subCode: 540_416, text: "sips is not supported; use transport=tls" };
  }
  const user = userOf(request.uri);
  if (user !== undefined && /^\+\d{2,15}$/.test(user)) return undefined;
  const text = `Request-URI must have +E.164 as user, got ${request.uri}`;
  return { status: 404, subCode: 511_404, text };
}

function requireFault(request: SipRequest): EdgeRefusal | undefined {
  const unsupported = request.list("Require").filter((option) => option.toLowerCase() !== "timer");
  if (unsupported.length === 0) return undefined;
  const headers = { Unsupported: unsupported.join(", ") };
  const text = `Require names ${unsupported.join(", ")}, which is not supported`;
  return { status: 420, subCode: 540_420, text, headers };
}

function replacesFault(request: SipRequest): EdgeRefusal | undefined {
  if (!request.has("Replaces")) return undefined;
  return { status: 403, subCode: 510_403, text: "Replaces is not accepted in INVITE" };
}

function sessionFault(request: SipRequest, minimumS: number): EdgeRefusal | undefined {
  const intervalS = Number.parseInt(request.get("Session-Expires") ?? "", 10);
  if (Number.isNaN(intervalS) || intervalS >= minimumS) return undefined;
  const text = `Session-Expires is ${intervalS}, at least ${minimumS} is needed`;
  return { status: 422, subCode: 540_422, text, headers: { "Min-SE": String(minimumS) } };
}

function mediaFault(request: SipRequest): EdgeRefusal | undefined {
  if (request.body.length === 0) {
    return { ...REFUSALS.noMedia, text: `${REFUSALS.noMedia.text}: INVITE has no SDP` };
  }
  const type = request.get("Content-Type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/sdp") {
    const headers = { Accept: "application/sdp" };
    return { status: 415, subCode: 540_415, text: `Content-Type is ${type}`, headers };
  }
  return offerFault(request.body.toString());
}

const MEDIA_REFUSALS: Record<MediaRefusal, EdgeRefusal> = {
  CannotSupportAnyMedia: REFUSALS.noMedia,
  SrtpEncryptionRequired: REFUSALS.noSrtp,
  BlackholeMedia: REFUSALS.blackhole,
  InvalidSdp: REFUSALS.malformed,
};

/** Judges an offer without opening a socket: the call may never be answered. */
function offerFault(offer: string): EdgeRefusal | undefined {
  const negotiation = new Negotiation({
    address: { host: "0.0.0.0", port: 9 },
    codecs: ["PCMU", "PCMA"],
    srtp: "required",
    suites: ["AES_CM_128_HMAC_SHA1_80"],
    style: {},
    random: randomBytes,
  });
  try {
    negotiation.answer(offer, "sendrecv");
    return undefined;
  } catch (error) {
    if (!(error instanceof MediaRefused)) throw error;
    const refusal = MEDIA_REFUSALS[error.code];
    return { ...refusal, text: `${refusal.text}: ${error.message}` };
  }
}

/** User part of a SIP URI, or the number of a tel URI, without parameters. */
function userOf(text: string): string | undefined {
  const uri = parseUri(text);
  const user = uri.kind === "sip" ? uri.user : uri.rest;
  return user?.split(";")[0];
}
