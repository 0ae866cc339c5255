import { SipError } from "../sip/error.ts";
import { tagOf } from "../sip/fields.ts";
import { type SipRequest, SipResponse } from "../sip/message.ts";
import type { ServerTransaction } from "../sip/transaction.ts";
import {
  asksTooMuch,
  needsContact,
  refreshesSession,
  sessionHeaders,
  supportsReliable,
  wantsReliable,
} from "./answer-rules.ts";
import {
  type ApplicationMessage,
  headerOf,
  parseApplicationMessage,
  parseStatusLine,
  type StatusLine,
} from "./application-message.ts";
import { refusalReason } from "./cdr.ts";
import { type Context, notify } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import { Dialog, dialogId } from "./dialog.ts";
import type { Frame } from "./frame.ts";
import { wireHeaders } from "./header-rules.ts";
import { type Inbound, InboundRequests } from "./inbound.ts";
import { hopTokens } from "./meta.ts";
import { refuse } from "./refuse.ts";
import { ReliableProvisionals } from "./reliable.ts";
import { MIN_SESSION_EXPIRES_S } from "./session-timer.ts";

/** What the server side leaves to others. */
export interface Elsewhere {
  /** Ends a dialog on the daemon's own account; see `OwnRequests.hangUp`. */
  hangUp(dialog: Dialog, reason: string): void;
  /** Did the request come along a path of the proxy? */
  isRouted(request: SipRequest): boolean;
  forward(transaction: ServerTransaction): void;
  /** Has an outside handler decide; false if there is none for this method. */
  askOutside(transaction: ServerTransaction): boolean;
}

/** Methods that make sense only inside a dialog. */
const NEVER_FIRST = new Set(["ACK", "BYE", "PRACK", "UPDATE", "CANCEL"]);
const KNOWN = new Set(
  "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK SUBSCRIBE NOTIFY PUBLISH INFO REFER MESSAGE UPDATE".split(
    " ",
  ),
);
const ALLOW = [...KNOWN].join(", ");
/** Methods whose 2xx makes a dialog (RFC 3261 §12.1, RFC 6665 §4.4.1, RFC 3515 §2.4.4). */
const MAKES_DIALOG = new Set(["INVITE", "SUBSCRIBE", "REFER"]);
const OWNED = new Set(["from", "to", "call-id", "cseq", "max-forwards"]);
/** An application's `route` may still be unread in its socket; this many turns of the loop pass. */
const ROUTE_GRACE_TURNS = 2;

/** The server side: requests from the network, and what the applications answer. */
export class Incoming {
  readonly #context: Context;
  readonly #elsewhere: Elsewhere;
  readonly #requests: InboundRequests;

  constructor(context: Context, elsewhere: Elsewhere) {
    this.#context = context;
    this.#requests = new InboundRequests(context);
    this.#elsewhere = elsewhere;
  }

  /** Requests without a final response. */
  get pending(): number {
    return this.#requests.pending;
  }

  onRequest(transaction: ServerTransaction): void {
    try {
      this.#route(transaction);
    } catch (error) {
      if (!(error instanceof SipError)) throw error;
      // A header that only a dialog looks at: Contact, Record-Route.
      refuse(transaction, 400, {
        Warning: `399 linecheck "${error.message.replaceAll('"', "'")}"`,
      });
    }
  }

  #route(transaction: ServerTransaction): void {
    const { request } = transaction;
    const dialog = this.#context.dialogs.match(request);
    if (dialog !== undefined) return this.#inDialog(transaction, dialog);
    const early = this.#requests.findEarly(request);
    if (early !== undefined && isEarly(request)) return this.#inEarlyDialog(transaction, early);
    if (this.#elsewhere.isRouted(request) && request.toTag !== undefined) {
      return this.#elsewhere.forward(transaction);
    }
    const strange = request.toTag !== undefined && request.method !== "REGISTER";
    if ((strange && early === undefined) || NEVER_FIRST.has(request.method)) {
      return refuse(transaction, 481);
    }
    if (!this.#elsewhere.askOutside(transaction)) this.#assign(transaction, ROUTE_GRACE_TURNS);
  }

  /** A new request goes to the application whose turn it is. */
  #assign(transaction: ServerTransaction, turns: number): void {
    const { method } = transaction.request;
    const owner = this.#context.routes.next(method.toLowerCase());
    if (owner !== undefined) return this.offer(transaction, owner);
    if (turns > 0) return void setImmediate(() => this.#assign(transaction, turns - 1));
    if (KNOWN.has(method)) return refuse(transaction, 503);
    refuse(transaction, 405, { Allow: ALLOW });
  }

  /** Hands a new request to this application. */
  offer(transaction: ServerTransaction, owner: ControlConnection): void {
    const inbound = this.#requests.track(transaction, owner, undefined);
    if (inbound === undefined) return;
    this.#tell(inbound, transaction.request, "", true);
    if (transaction.request.method !== "INVITE") return;
    this.#context.cdrs.attempt("network", transaction.request);
    transaction.onCancel((cancel) => this.#onCancel(inbound, cancel));
  }

  #onCancel(inbound: Inbound, cancel: SipRequest): void {
    // After a 2xx it is too late: the call stands until it is acknowledged, then we end it.
    if (!this.#requests.has(inbound)) {
      inbound.cancelledLate = true;
      return;
    }
    const { dialog, earlyKey, transaction } = inbound;
    const early = earlyKey === undefined ? "" : dialogId(transaction.request);
    this.#tell(inbound, cancel, dialog?.id ?? early, false);
    if (dialog === undefined) this.#context.cdrs.stop("network", "call-canceled", cancel);
    this.#requests.settle(inbound);
  }

  #inDialog(transaction: ServerTransaction, dialog: Dialog): void {
    const { request } = transaction;
    if (!dialog.sip.receive(request)) return refuse(transaction, 500, { "Retry-After": "1" });
    if (asksTooMuch(request)) {
      return refuse(transaction, 422, { "Min-SE": String(MIN_SESSION_EXPIRES_S) });
    }
    if (endsDialog(request, dialog)) this.#context.dialogs.remove(dialog);
    this.#offerInDialog(transaction, dialog);
    if (request.method === "BYE") this.#context.cdrs.stop("network", "normal-release", request);
  }

  #offerInDialog(transaction: ServerTransaction, dialog: Dialog): void {
    if (!dialog.owner.open) return refuse(transaction, 481);
    const inbound = this.#requests.track(transaction, dialog.owner, dialog);
    if (inbound === undefined) return;
    this.#tell(inbound, transaction.request, dialog.id, false);
    transaction.onCancel((cancel) => this.#onCancel(inbound, cancel));
  }

  #inEarlyDialog(transaction: ServerTransaction, invite: Inbound): void {
    const { request } = transaction;
    const rack = request.get("RAck") ?? "";
    if (request.method === "PRACK" && invite.reliable?.acknowledge(rack) !== true) {
      return refuse(transaction, 481);
    }
    const inbound = this.#requests.track(transaction, invite.owner, undefined);
    if (inbound === undefined) return;
    this.#tell(inbound, request, dialogId(invite.transaction.request), false);
  }

  #tell(inbound: Inbound, message: SipRequest, dialog: string, outside: boolean): void {
    const { transaction, owner, id } = inbound;
    const { transport } = transaction.connection;
    notify(this.#context, owner, {
      message,
      transport,
      remote: transaction.source,
      transactionId: id,
      dialogId: dialog,
      ...(outside ? { receivedOn: transaction.local } : {}),
    });
  }

  /** The application left: its callers get an answer at once instead of silence. */
  forget(owner: ControlConnection): void {
    this.#requests.forget(owner);
  }

  /** Takes the request from its application, for a proxy; undefined if it is not (or no longer) there. */
  take(transactionId: string): ServerTransaction | undefined {
    return this.#requests.take(transactionId);
  }

  /** `sip|<transactionId>|` with a response. */
  respond(connection: ControlConnection, { tokens, message: bytes }: Frame): void {
    const [id = "", , transactionId = ""] = tokens;
    const inbound = this.#requests.find(transactionId);
    const message = parseApplicationMessage(bytes);
    const line = parseStatusLine(message.startLine);
    if (line === undefined) {
      return connection.reply(id, `NOK|invalid status line: ${message.startLine}`);
    }
    if (inbound === undefined) {
      return connection.reply(id, "NOK|Response not sent due to unknown transaction");
    }
    if (wantsReliable(line, message) && !supportsReliable(inbound.transaction.request)) {
      return connection.reply(id, "NOK|Remote endpoint does not support 100rel");
    }
    inbound.owner = connection;
    this.#answer(inbound, id, line, message);
  }

  #answer(inbound: Inbound, id: string, line: StatusLine, message: ApplicationMessage): void {
    const { transaction, owner } = inbound;
    const response = this.#build(inbound, line, message);
    const reliable = wantsReliable(line, message);
    try {
      if (reliable) this.#reliable(inbound).offer(response);
      else transaction.send(response);
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      return owner.reply(id, `NOK|failed sending, possibly due to far end closing socket: ${why}`);
    }
    const isInitial = inbound.dialog === undefined && transaction.request.method === "INVITE";
    const made = this.#advance(inbound, response);
    const raw = response.toBuffer();
    const hop = { transport: transaction.connection.transport, remote: transaction.source };
    const tokens = hopTokens(this.#context.clock, raw.length, hop);
    owner.reply(id, `OK|application|${tokens}|${inbound.id}|${made}||Msg sent:|`, raw);
    if (isInitial) this.#record(response);
  }

  #build(inbound: Inbound, { status, reason }: StatusLine, message: ApplicationMessage) {
    const { transaction, contact } = inbound;
    const { request } = transaction;
    inbound.toTag ??= tagOf(headerOf(message, "To")) ?? transaction.toTag;
    const headers = wireHeaders(message, contact, OWNED);
    const response = SipResponse.to(request, status, {
      toTag: inbound.toTag,
      ...(reason === "" ? {} : { reason }),
      body: message.body,
    });
    if (needsContact(request, status) && !headers.some(([name]) => name === "Contact")) {
      headers.unshift(["Contact", `<${contact.uri}>`]);
    }
    if (status >= 200 && status < 300) headers.push(...sessionHeaders(request, headers));
    response.addAll(headers);
    return response;
  }

  /** Follows the response in the daemon's own state; returns the dialog id to tell. */
  #advance(inbound: Inbound, response: SipResponse): string {
    const { transaction, dialog } = inbound;
    const { request } = transaction;
    const { status } = response;
    if (status >= 200) this.#requests.settle(inbound);
    else if (request.method === "INVITE") this.#requests.keepEarly(inbound);
    if (status >= 200 && status < 300) this.#succeed(inbound, response);
    if (dialog !== undefined) return dialog.listed ? dialog.id : "";
    const names = request.method === "INVITE" || (MAKES_DIALOG.has(request.method) && status < 300);
    return names && status > 100 ? dialogId(request) : "";
  }

  /** The final answer to a call. The application hears first that it was sent, as with the real daemon. */
  #record(response: SipResponse): void {
    const { status } = response;
    if (status >= 300) this.#context.cdrs.stop("application", refusalReason(status), response);
    else if (status >= 200) this.#context.cdrs.start("application", "uas", response);
  }

  #succeed(inbound: Inbound, response: SipResponse): void {
    const { transaction, contact, owner } = inbound;
    const { request, connection } = transaction;
    if (request.method === "REGISTER" || request.method === "SUBSCRIBE") {
      this.#context.registrations.learn(request, response, connection);
    }
    if (inbound.dialog === undefined && MAKES_DIALOG.has(request.method)) {
      inbound.dialog = Dialog.uas(request, response, { owner, contact, connection });
      this.#context.dialogs.add(inbound.dialog);
    }
    if (request.method === "INVITE") this.#awaitAck(inbound);
    if (inbound.dialog === undefined || !refreshesSession(request)) return;
    inbound.dialog.describe(response);
    this.#context.sessions.arm(inbound.dialog, "uas", response);
  }

  #awaitAck(inbound: Inbound): void {
    const { transaction, dialog } = inbound;
    let acknowledged = false;
    transaction.onAck((ack) => {
      // A repeated 2xx draws a repeated ACK, which is no news to the application.
      if (acknowledged || dialog === undefined) return;
      acknowledged = true;
      inbound.owner = dialog.owner;
      this.#tell(inbound, ack, dialog.id, false);
      if (inbound.cancelledLate) this.#elsewhere.hangUp(dialog, "CANCEL after 200 OK");
    });
    transaction.onEnd((end) => {
      if (end === "ackTimeout" && dialog !== undefined)
        this.#elsewhere.hangUp(dialog, "ACK timeout");
    });
  }

  #reliable(inbound: Inbound): ReliableProvisionals {
    const { transaction } = inbound;
    inbound.reliable ??= new ReliableProvisionals({
      clock: this.#context.clock,
      timers: this.#context.timers,
      inviteCseq: transaction.request.cseq.number,
      send: (response) => resend(transaction, response),
      onTimeout: () => {
        this.#requests.settle(inbound);
        refuse(transaction, 504, { Reason: 'SIP;cause=504;text="no PRACK"' });
      },
    });
    return inbound.reliable;
  }
}

function resend(transaction: ServerTransaction, response: SipResponse): void {
  try {
    transaction.send(response);
  } catch (error) {
    // The INVITE has its final answer; there is nothing to repeat any more.
    if (!(error instanceof SipError)) throw error;
  }
}

const isEarly = ({ method }: SipRequest) => method === "PRACK" || method === "UPDATE";

/** BYE ends a call; a NOTIFY that says so ends a subscription, but not the call it came in. */
function endsDialog(request: SipRequest, dialog: Dialog): boolean {
  if (request.method === "BYE") return true;
  if (request.method !== "NOTIFY" || dialog.method === "INVITE") return false;
  return /^terminated\b/i.test(request.get("Subscription-State") ?? "");
}
