import { type Direction, MediaRefused } from "../../media/sdp.ts";
import type { MediaSession } from "../../media/session.ts";
import type { Dialog, DialogRequestParts } from "../../sip/dialog.ts";
import type { SipRequest, SipResponse } from "../../sip/message.ts";
import { endsSession, SessionTimer } from "../../sip/session-timer.ts";
import type { ClientTransaction, ServerTransaction } from "../../sip/transaction.ts";
import type { Trunk } from "../resource.ts";
import { bracketed, type DialogIdentity } from "./identity.ts";
import { causeOf, formatReason } from "./refusal.ts";
import type { EdgeServices } from "./services.ts";
import {
  agreedAsCallee,
  agreedAsCaller,
  agreementHeaders,
  offerHeaders,
  type SessionAgreement,
} from "./session-timer.ts";

const GLARE_ATTEMPTS = 4;

/** The call whose session is renegotiated, as far as that goes. */
export interface Renegotiable {
  readonly edge: EdgeServices;
  readonly dialog: Dialog;
  readonly identity: DialogIdentity;
  readonly trunk: Trunk;
  readonly media: MediaSession;
  send(method: string, parts: DialogRequestParts): ClientTransaction;
  bye(text: string, by: "network"): Promise<void>;
}

/** re-INVITEs of one call, both ways: hold, resume, another address, and the session timer. */
export class Renegotiation implements Disposable {
  readonly #call: Renegotiable;
  readonly #abort = new AbortController();
  #agreement: SessionAgreement | undefined;
  #timer: SessionTimer | undefined;
  #direction: Direction = "sendrecv";
  /** Our own re-INVITE waits for its answer. */
  #isAsking = false;

  constructor(call: Renegotiable) {
    this.#call = call;
  }

  /** Starts the session timer, or restarts it after a refresh. */
  agree(agreement: SessionAgreement | undefined): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#agreement = agreement;
    if (agreement === undefined || this.#abort.signal.aborted) return;
    this.#timer = new SessionTimer({
      clock: this.#call.edge.options.clock,
      seconds: agreement.intervalS,
      isRefresher: agreement.refresher === "us",
      refresh: () => void this.#refresh(),
      expire: () => void this.#expire(),
    });
  }

  /** A re-INVITE of the border controller (RFC 3264 §8). */
  receive(transaction: ServerTransaction): void {
    const { request } = transaction;
    if (this.#isAsking) {
      transaction.respond(491);
      return;
    }
    transaction.respond(100);
    const agreement = agreedAsCallee(request, this.#call.edge.policy);
    const { minSessionExpiresS } = this.#call.edge.policy;
    if (agreement !== undefined && agreement.intervalS < minSessionExpiresS) {
      transaction.respond(422, { headers: { "Min-SE": String(minSessionExpiresS) } });
      return;
    }
    this.#answer(transaction, agreement);
  }

  /**
   * Sends a re-INVITE with our offer. When both sides ask at once (491) it is tried again after
   * the pause of RFC 3261 §14.1. Rejects with an Error when the border controller refuses.
   */
  async ask(direction: Direction): Promise<void> {
    const { clock, random } = this.#call.edge.options;
    for (let attempt = 1; ; attempt += 1) {
      const status = await this.#askOnce(direction);
      if (status < 300) return;
      if (status !== 491 || attempt === GLARE_ATTEMPTS) {
        throw new Error(`re-INVITE to ${this.#call.trunk.fqdn} was refused with ${status}`);
      }
      const pauseMs = 2_100 + Math.floor(random() * 190) * 10;
      await clock.sleep(pauseMs, { signal: this.#abort.signal });
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#abort.abort(new Error("the call is over"));
  }

  async #askOnce(direction: Direction): Promise<number> {
    const { edge, media } = this.#call;
    this.#isAsking = true;
    try {
      const transaction = this.#call.send("INVITE", {
        headers: {
          ...offerHeaders(edge.policy, this.#agreement),
          "Content-Type": "application/sdp",
        },
        body: media.offer({ direction }),
      });
      const response = await transaction.final;
      if (response.status < 300) await this.#settle(transaction, response, direction);
      else this.#refused(response);
      return response.status;
    } finally {
      this.#isAsking = false;
    }
  }

  async #settle(
    transaction: ClientTransaction,
    response: SipResponse,
    direction: Direction,
  ): Promise<void> {
    const { dialog, edge, trunk, media } = this.#call;
    dialog.receiveResponse(response);
    const { request, nextHop } = dialog.ack(transaction.request.cseq.number);
    const target = edge.endpoint(trunk, nextHop);
    await transaction.acknowledge(response, request, { target });
    media.accept(response.body.toString());
    this.#direction = direction;
    this.agree(agreedAsCaller(response));
  }

  /** A dialog the peer has lost, or a peer that is gone, ends the call (RFC 3261 §12.2.1.2). */
  #refused(response: SipResponse): void {
    if (endsSession(response)) void this.#call.bye("CallEndReasonPeerGone", "network");
  }

  #answer(transaction: ServerTransaction, agreement: SessionAgreement | undefined): void {
    const { media, identity, edge } = this.#call;
    const { request } = transaction;
    try {
      const body = this.#description(transaction);
      transaction.respond(200, {
        headers: {
          Contact: bracketed(identity.contactUri),
          "Content-Type": "application/sdp",
          ...agreementHeaders(agreement),
        },
        body,
      });
      this.agree(agreement ?? this.#agreement);
      const direction = media.negotiated?.direction;
      if (direction === "sendonly" || direction === "recvonly") {
        const text = `hold must be a=inactive, got an offer that leaves us ${direction}`;
        edge.options.findings.add("HOLD_NOT_INACTIVE", text, identity.xI);
      }
    } catch (error) {
      if (!(error instanceof MediaRefused)) throw error;
      const Reason = formatReason(identity.xI, error.code, causeOf(488));
      transaction.respond(488, { headers: { Reason } });
      const text = `${request.startLine}: ${error.message}`;
      edge.options.findings.add("MEDIA_REFUSED", text, identity.xI);
    }
  }

  /** Without an offer Microsoft's 200 has one with `a=inactive`, and the ACK has the answer. */
  #description(transaction: ServerTransaction): string {
    const { media } = this.#call;
    const { body } = transaction.request;
    if (body.length > 0) return media.answer(body.toString());
    transaction.onAck((ack) => this.#answered(ack));
    return media.offer({ direction: "inactive" });
  }

  #answered(ack: SipRequest): void {
    const { media, edge, identity } = this.#call;
    try {
      media.accept(ack.body.toString());
    } catch (error) {
      const text = `the ACK's answer cannot be used: ${String(error)}`;
      edge.options.findings.add("MEDIA_REFUSED", text, identity.xI);
    }
  }

  /** A refusal that does not end the call leaves it up until the session expires. */
  async #refresh(): Promise<void> {
    const { edge, identity } = this.#call;
    try {
      await this.ask(this.#direction);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      edge.options.findings.add("SESSION_REFRESH_FAILED", String(error), identity.xI);
    }
  }

  async #expire(): Promise<void> {
    const { edge, identity, trunk } = this.#call;
    const what = `the session of ${this.#agreement?.intervalS} s`;
    const text =
      this.#agreement?.refresher === "us"
        ? `${what} ended, ${trunk.fqdn} took no refresh`
        : `${trunk.fqdn} did not refresh ${what}`;
    edge.options.findings.add("SESSION_EXPIRED", text, identity.xI);
    await this.#call.bye("Session timer expired", "network");
  }
}
