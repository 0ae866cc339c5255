import type { Timer } from "../clock.ts";
import { dialogIdOf, dialogId as sipDialogId } from "../sip/dialog.ts";
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
import type { Contact } from "./contact.ts";
import { type Context, contactOf, notify } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import { Dialog, dialogId } from "./dialog.ts";
import type { Frame } from "./frame.ts";
import { wireHeaders } from "./header-rules.ts";
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

/** A request from the network that an application has to answer. */
interface Inbound {
  id: string;
  transaction: ServerTransaction;
  contact: Contact;
  owner: ControlConnection;
  /** The dialog it came in, or the one its INVITE is about to make. */
  dialog: Dialog | undefined;
  /** Fixed by the first response: an application's later choice would break the call. */
  toTag: string | undefined;
  reliable: ReliableProvisionals | undefined;
  deadline: Timer | undefined;
  /** Key under which PRACK and UPDATE find an INVITE before its final response. */
  earlyKey: string | undefined;
  /** A CANCEL crossed our 2xx. */
  cancelledLate: boolean;
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
  readonly #inbound = new Map<string, Inbound>();
  readonly #early = new Map<string, Inbound>();

  constructor(context: Context, elsewhere: Elsewhere) {
    this.#context = context;
    this.#elsewhere = elsewhere;
  }

  /** Requests without a final response. */
  get pending(): number {
    return this.#inbound.size;
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
    const early = this.#early.get(dialogIdOf(request));
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
    const inbound = this.#track(transaction, owner, undefined);
    if (inbound === undefined) return;
    this.#tell(inbound, transaction.request, "", true);
    if (transaction.request.method !== "INVITE") return;
    this.#context.cdrs.attempt("network", transaction.request);
    transaction.onCancel((cancel) => this.#onCancel(inbound, cancel));
  }

  #onCancel(inbound: Inbound, cancel: SipRequest): void {
    // After a 2xx it is too late: the call stands until it is acknowledged, then we end it.
    if (!this.#inbound.has(inbound.id)) {
      inbound.cancelledLate = true;
      return;
    }
    const { dialog, earlyKey, transaction } = inbound;
    const early = earlyKey === undefined ? "" : dialogId(transaction.request);
    this.#tell(inbound, cancel, dialog?.id ?? early, false);
    if (dialog === undefined) this.#context.cdrs.stop("network", "call-canceled", cancel);
    this.#settle(inbound);
  }

  #inDialog(transaction: ServerTransaction, dialog: Dialog): void {
    const { request } = transaction;
    if (!dialog.sip.receive(request)) return refuse(transaction, 500, { "Retry-After": "1" });
    if (asksTooMuch(request)) {
      return refuse(transaction, 422, { "Min-SE": String(MIN_SESSION_EXPIRES_S) });
    }
    if (endsDialog(request, dialog)) this.#context.dialogs.remove(dialog);
    if (request.method === "BYE") this.#context.cdrs.stop("network", "normal-release", request);
    if (!dialog.owner.open) return refuse(transaction, 481);
    const inbound = this.#track(transaction, dialog.owner, dialog);
    if (inbound === undefined) return;
    this.#tell(inbound, request, dialog.id, false);
    transaction.onCancel((cancel) => this.#onCancel(inbound, cancel));
  }

  #inEarlyDialog(transaction: ServerTransaction, invite: Inbound): void {
    const { request } = transaction;
    const rack = request.get("RAck") ?? "";
    if (request.method === "PRACK" && invite.reliable?.acknowledge(rack) !== true) {
      return refuse(transaction, 481);
    }
    const inbound = this.#track(transaction, invite.owner, undefined);
    if (inbound === undefined) return;
    this.#tell(inbound, request, dialogId(invite.transaction.request), false);
  }

  #track(
    transaction: ServerTransaction,
    owner: ControlConnection,
    dialog: Dialog | undefined,
  ): Inbound | undefined {
    const contact = contactOf(this.#context.contacts, {
      transport: transaction.connection.transport,
      local: transaction.local,
    });
    if (contact === undefined) return undefined;
    const inbound: Inbound = {
      id: this.#context.ids(),
      transaction,
      contact,
      owner,
      dialog,
      toTag: undefined,
      reliable: undefined,
      deadline: undefined,
      earlyKey: undefined,
      cancelledLate: false,
    };
    this.#inbound.set(inbound.id, inbound);
    this.#expect(inbound, this.#silenceMs(transaction.request));
    transaction.onEnd(() => this.#settle(inbound));
    return inbound;
  }

  /** A requester without INVITE gives up after 64·T1, so its answer has to come before that. */
  #silenceMs({ method }: SipRequest): number {
    const { limits, timers } = this.#context;
    return method === "INVITE" ? limits.silenceTimeoutMs : timers.timeoutMs * 0.9;
  }

  #expect(inbound: Inbound, withinMs: number): void {
    inbound.deadline?.cancel();
    inbound.deadline = this.#context.clock.after(withinMs, () => {
      this.#giveUp(inbound, "no answer from the application");
    });
  }

  #giveUp(inbound: Inbound, why: string): void {
    this.#settle(inbound);
    refuse(inbound.transaction, 480, { Reason: `SIP;cause=480;text="${why}"` });
  }

  /** Nothing more is expected of the application for this request. */
  #settle(inbound: Inbound): void {
    inbound.deadline?.cancel();
    inbound.reliable?.stop();
    this.#inbound.delete(inbound.id);
    if (inbound.earlyKey !== undefined) this.#early.delete(inbound.earlyKey);
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
    for (const inbound of this.#inbound.values()) {
      if (inbound.owner === owner) this.#giveUp(inbound, "the application is gone");
    }
  }

  /** Takes the request from its application, for a proxy; undefined if it is not (or no longer) there. */
  take(transactionId: string): ServerTransaction | undefined {
    const inbound = this.#inbound.get(transactionId);
    if (inbound !== undefined) this.#settle(inbound);
    return inbound?.transaction;
  }

  /** `sip|<transactionId>|` with a response. */
  respond(connection: ControlConnection, { tokens, message: bytes }: Frame): void {
    const [id = "", , transactionId = ""] = tokens;
    const inbound = this.#inbound.get(transactionId);
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
    const made = this.#advance(inbound, response);
    const raw = response.toBuffer();
    const hop = { transport: transaction.connection.transport, remote: transaction.source };
    const tokens = hopTokens(this.#context.clock, raw.length, hop);
    owner.reply(id, `OK|application|${tokens}|${inbound.id}|${made}||Msg sent:|`, raw);
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
    if (status >= 200) this.#settle(inbound);
    else if (request.method === "INVITE") this.#keepEarly(inbound);
    if (status >= 200 && status < 300) this.#succeed(inbound, response);
    if (status >= 300) this.#recordRefusal(inbound, response);
    if (dialog !== undefined) return request.method === "INVITE" ? dialog.id : "";
    const names = MAKES_DIALOG.has(request.method) && status > 100 && status < 300;
    return names ? dialogId(request) : "";
  }

  #recordRefusal({ transaction, dialog }: Inbound, response: SipResponse): void {
    if (transaction.request.method !== "INVITE" || dialog !== undefined) return;
    this.#context.cdrs.stop("application", refusalReason(response.status), response);
  }

  #keepEarly(inbound: Inbound): void {
    const { callId, fromTag } = inbound.transaction.request;
    this.#expect(inbound, this.#context.limits.ringTimeoutMs);
    if (inbound.earlyKey !== undefined || inbound.dialog !== undefined) return;
    inbound.earlyKey = sipDialogId(callId, inbound.toTag ?? "", fromTag ?? "");
    this.#early.set(inbound.earlyKey, inbound);
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
      if (request.method === "INVITE") this.#context.cdrs.start("application", "uas", response);
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
        this.#settle(inbound);
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
