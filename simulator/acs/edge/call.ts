import type { MediaSession } from "../../media/session.ts";
import type { Dialog, DialogRequestParts } from "../../sip/dialog.ts";
import type { SipRequest } from "../../sip/message.ts";
import type { ClientTransaction, ServerTransaction } from "../../sip/transaction.ts";
import type { LegEnd } from "../pstn.ts";
import type { Trunk } from "../resource.ts";
import type { PeerAbilities } from "./abilities.ts";
import type { Datacenter } from "./datacenter.ts";
import { bracketed, carriesIdentity, type DialogIdentity } from "./identity.ts";
import { MediaWatch } from "./media-watch.ts";
import { causeOf, formatReason, q850Of } from "./refusal.ts";
import { Renegotiation } from "./renegotiation.ts";
import type { EdgeServices } from "./services.ts";

export interface EdgeCallOptions {
  readonly edge: EdgeServices;
  readonly dialog: Dialog;
  readonly identity: DialogIdentity;
  readonly trunk: Trunk;
  readonly datacenter: Datacenter;
  readonly media: MediaSession;
  readonly abilities: PeerAbilities;
}

export interface SendOptions {
  /** From another Microsoft address on a connection of its own. */
  readonly otherAddress?: boolean;
}

/** One confirmed dialog with a border controller, and its media. */
export class EdgeCall {
  readonly edge: EdgeServices;
  readonly dialog: Dialog;
  readonly identity: DialogIdentity;
  readonly trunk: Trunk;
  readonly datacenter: Datacenter;
  readonly media: MediaSession;
  readonly abilities: PeerAbilities;
  /** Resolves when a BYE came or went, or the call was dropped. */
  readonly ended: Promise<LegEnd>;
  readonly renegotiation: Renegotiation;
  readonly #end: (end: LegEnd) => void;
  readonly #notified = new Set<(request: SipRequest) => void>();
  readonly #watch: MediaWatch | undefined;
  #over = false;

  constructor(options: EdgeCallOptions) {
    this.edge = options.edge;
    this.dialog = options.dialog;
    this.identity = options.identity;
    this.trunk = options.trunk;
    this.datacenter = options.datacenter;
    this.media = options.media;
    this.abilities = options.abilities;
    const { promise, resolve } = Promise.withResolvers<LegEnd>();
    this.ended = promise;
    this.#end = resolve;
    this.renegotiation = new Renegotiation(this);
    this.#watch = this.#watchMedia();
    this.edge.register(this.dialog, this);
    this.#trace("early", "confirmed");
  }

  /** Sends BYE with the reason and frees the media. Later calls change nothing. */
  async bye(text = "CallEndReasonLocalUserInitiated", by: LegEnd["by"] = "local"): Promise<void> {
    if (!this.#finish({ by })) return;
    const silent = this.media[Symbol.asyncDispose]();
    const Reason = formatReason(this.identity.xI, text, causeOf(200));
    try {
      await this.send("BYE", { headers: { Reason } }).final;
    } catch (error) {
      const message = `BYE to ${this.trunk.fqdn} got no answer: ${String(error)}`;
      this.edge.options.findings.add("BYE_UNANSWERED", message, this.identity.xI);
    }
    await silent;
  }

  /** A request inside the dialog. Throws SipError when nothing can be sent. */
  send(method: string, parts: DialogRequestParts, options: SendOptions = {}): ClientTransaction {
    const { edge, dialog, identity } = this;
    const { request, nextHop } = dialog.request(method, parts);
    if (method !== "BYE") request.set("Contact", bracketed(identity.contactUri));
    const target = edge.endpoint(this.trunk, nextHop);
    const elsewhere = { localAddress: edge.options.otherAddress, newConnection: true };
    const from = options.otherAddress === true ? elsewhere : {};
    return edge.stack(this.datacenter).request(request, { target, ...from });
  }

  /** Called for each NOTIFY; the answer is sent here. */
  onNotify(listener: (request: SipRequest) => void): () => void {
    this.#notified.add(listener);
    return () => void this.#notified.delete(listener);
  }

  receive(transaction: ServerTransaction): void {
    const { request } = transaction;
    if (!this.#isOurs(request)) {
      transaction.respond(481);
      return;
    }
    if (!this.dialog.receive(request)) {
      transaction.respond(500);
      return;
    }
    this.#handle(transaction);
  }

  #handle(transaction: ServerTransaction): void {
    switch (transaction.request.method) {
      case "BYE":
        this.#byeReceived(transaction);
        return;
      case "INVITE":
        this.renegotiation.receive(transaction);
        return;
      case "NOTIFY":
        this.#notifyReceived(transaction);
        return;
      case "OPTIONS":
        transaction.respond(200);
        return;
      default:
        transaction.respond(405);
    }
  }

  /** Requests that lost our Contact's parameters cannot be told apart at Microsoft. */
  #isOurs(request: SipRequest): boolean {
    if (carriesIdentity(request.uri, this.identity)) return true;
    const message = `${request.method} lost x-i or x-c of our Contact: ${request.uri}`;
    this.edge.options.findings.add("DIALOG_IDENTITY_LOST", message, this.identity.xI);
    return this.edge.policy.lostIdentity === "accept";
  }

  #byeReceived(transaction: ServerTransaction): void {
    transaction.respond(200);
    const q850 = q850Of(transaction.request.list("Reason"));
    const end: LegEnd = { by: "peer", ...(q850 === undefined ? {} : { q850 }) };
    if (this.#finish(end)) void this.media[Symbol.asyncDispose]();
  }

  #notifyReceived(transaction: ServerTransaction): void {
    const isAwaited = this.#notified.size > 0;
    transaction.respond(isAwaited ? 200 : 481);
    for (const listener of this.#notified) listener(transaction.request);
  }

  #watchMedia(): MediaWatch | undefined {
    const { clock, findings } = this.edge.options;
    const { mediaTimeoutMs: timeoutMs } = this.edge.policy;
    if (timeoutMs === 0) return undefined;
    const onSilence = () => {
      const message = `no packet came from ${this.trunk.fqdn} for ${timeoutMs} ms`;
      findings.add("MEDIA_SILENT", message, this.identity.xI);
      void this.bye("No media was received", "network");
    };
    return new MediaWatch({ clock, media: this.media, timeoutMs, onSilence });
  }

  #finish(end: LegEnd): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.renegotiation[Symbol.dispose]();
    this.#watch?.[Symbol.dispose]();
    this.edge.release(this.dialog);
    this.#trace("confirmed", "terminated", { by: end.by });
    this.#end(end);
    return true;
  }

  #trace(from: string, to: string, detail: Record<string, unknown> = {}): void {
    const { trace } = this.edge.options;
    const { id } = this.dialog;
    const all = { trunk: this.trunk.fqdn, ...detail };
    trace.record({ type: "state", subject: "dialog", id, from, to, detail: all }, this.identity.xI);
  }
}
