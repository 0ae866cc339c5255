import type { SipConnection } from "../sip/connection.ts";
import { SipError } from "../sip/error.ts";
import { type SipRequest, SipResponse } from "../sip/message.ts";
import type { ClientTransaction, Flow, SendOptions } from "../sip/transaction.ts";
import type { SipUri } from "../sip/uri.ts";
import {
  type ApplicationMessage,
  headerOf,
  parseApplicationMessage,
  parseRequestLine,
} from "./application-message.ts";
import { refusalReason } from "./cdr.ts";
import {
  composeAck,
  composeInDialog,
  composeNew,
  type Draft,
  lacksContentType,
  newTag,
  OWNED_CANCEL,
} from "./compose.ts";
import type { Contact } from "./contact.ts";
import { type Context, contactOf, notify } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import { Dialog, dialogId } from "./dialog.ts";
import { Forks } from "./forks.ts";
import type { Frame } from "./frame.ts";
import { wireHeaders } from "./header-rules.ts";
import { hopTokens } from "./meta.ts";
import { contactFor, dialogHop, endpointOf, isOurs, readSipUri } from "./next-hop.ts";
import type { OwnRequests } from "./own-requests.ts";

/** Requests whose 2xx starts a subscription, in which NOTIFY comes (RFC 6665 §4.1, RFC 3515 §2.4). */
const SUBSCRIBES = new Set(["SUBSCRIBE", "REFER"]);
const NAMES_DIALOG = new Set(["INVITE", "SUBSCRIBE"]);

/** A request of an application on its way. */
interface Outbound {
  id: string;
  transaction: ClientTransaction;
  owner: ControlConnection;
  contact: Contact;
  /** The dialog it was sent in. */
  dialog: Dialog | undefined;
  /** Dialogs that a new INVITE makes. */
  forks: Forks | undefined;
}

/** A {@link Draft} with what is needed to answer its application. */
interface Order extends Draft {
  connection: ControlConnection;
  id: string;
  routeUrl: string | undefined;
}

/** The client side: requests the applications send, and the answers they get. */
export class Outgoing {
  readonly #context: Context;
  readonly #outbound = new Map<string, Outbound>();
  readonly #own: OwnRequests;
  #cseq = 0;

  constructor(context: Context, own: OwnRequests) {
    this.#context = context;
    this.#own = own;
  }

  /** Requests without a final response. */
  get pending(): number {
    return this.#outbound.size;
  }

  /** `sip|<transactionId>|<dialogId>[|<routeUrl>]` with a request. */
  request(connection: ControlConnection, { tokens, message: bytes }: Frame): void {
    const [id = "", , transactionId = "", dialog = "", routeUrl] = tokens;
    const message = parseApplicationMessage(bytes);
    const line = parseRequestLine(message.startLine);
    if (line === undefined) {
      return connection.reply(id, `NOK|invalid request-uri: ${message.startLine}`);
    }
    const order = { connection, id, line, message, routeUrl };
    if (dialog !== "") return this.#inDialog(order, dialog);
    if (transactionId !== "") return this.#cancel(order, transactionId);
    this.#new(order);
  }

  #new(order: Order): void {
    const { connection, id, line, message, routeUrl } = order;
    const refuse = (why: string) => connection.reply(id, `NOK|${why}`);
    const destination = readSipUri(routeUrl ?? line.uri);
    if (destination === undefined) return refuse(`invalid request-uri: ${message.startLine}`);
    const flow = this.#context.registrations.find(routeUrl ?? line.uri);
    const contact = this.#contactFor(destination, flow);
    if (contact === undefined) return refuse("requested protocol/transport not available");
    const target = endpointOf(destination, contact.transport);
    if (flow === undefined && isOurs(this.#context.contacts, target)) {
      return refuse("can not send request to myself");
    }
    if (lacksContentType(message)) return refuse("missing content-type");
    const request = composeNew(order, contact, {
      callId: this.#context.ids,
      cseq: () => ++this.#cseq,
    });
    if (request === undefined) {
      return refuse(`invalid from value provided by client: ${headerOf(message, "From") ?? ""}`);
    }
    const localAddress = contact.localHost;
    const options = flow === undefined ? { target, localAddress } : { connection: flow };
    if (request.method === "INVITE") this.#context.cdrs.attempt("application", request);
    this.#send(order, request, options, { contact, dialog: undefined });
  }

  /** A phone says `transport=ws` of a secure WebSocket, too: what it registered on counts. */
  #contactFor(destination: SipUri, flow: SipConnection | undefined): Contact | undefined {
    const { contacts } = this.#context;
    return flow === undefined ? contactFor(contacts, destination) : contactOf(contacts, flow);
  }

  #inDialog(order: Order, dialogIdToken: string): void {
    const { connection, id, line, message, routeUrl } = order;
    const refuse = (why: string) => connection.reply(id, `NOK|Server error: ${why}`);
    const dialog = this.#context.dialogs.find(dialogIdToken);
    if (line.method === "ACK") return this.#acknowledge(order, dialog);
    if (dialog === undefined) return refuse("unable to find dialog for dialog id provided");
    if (lacksContentType(message)) return refuse("missing content-type");
    if (line.method === "BYE") for (const invite of dialog.pending) invite.cancel();
    const leg = line.method === "PRACK" ? this.#prackLeg(dialog, message) : dialog;
    const { request, nextHop } = composeInDialog(order, leg);
    leg.describe(request);
    const options = this.#through(routeUrl) ?? dialogHop(leg, nextHop);
    this.#send(order, request, options, { contact: leg.contact, dialog: leg });
  }

  /** The way a route URL names; undefined if there is none or it cannot be taken. */
  #through(routeUrl: string | undefined): SendOptions | undefined {
    const uri = routeUrl === undefined ? undefined : readSipUri(routeUrl);
    const contact = uri === undefined ? undefined : contactFor(this.#context.contacts, uri);
    if (uri === undefined || contact === undefined) return undefined;
    return { target: endpointOf(uri, contact.transport), localAddress: contact.localHost };
  }

  /** Forks share a dialog id; the PRACK belongs to the one whose RSeq it repeats. */
  #prackLeg(dialog: Dialog, message: ApplicationMessage): Dialog {
    const rseq = Number.parseInt(headerOf(message, "RAck") ?? "", 10);
    for (const { forks } of this.#outbound.values()) {
      const leg = forks?.find(dialog.id, rseq);
      if (leg !== undefined) return leg;
    }
    return dialog;
  }

  #acknowledge(order: Order, dialog: Dialog | undefined): void {
    const { connection, id } = order;
    const accepted = dialog?.unacknowledged.shift();
    if (dialog === undefined || accepted === undefined) {
      const why = "ACK for non-success final response is automatically generated by server";
      return connection.reply(id, `NOK|Server error: ${why}`);
    }
    const { transaction, response } = accepted;
    const { request: ack, nextHop } = composeAck(order, dialog, response.cseq.number);
    dialog.describe(ack);
    transaction.acknowledge(response, ack, dialogHop(dialog, nextHop)).then(
      (flow) => this.#confirm(order, ack, flow),
      (error: unknown) => connection.reply(id, `NOK|Server error: ${reasonOf(error)}`),
    );
  }

  #cancel(order: Order, transactionId: string): void {
    const { connection, id, line, message } = order;
    const outbound = this.#outbound.get(transactionId);
    if (line.method !== "CANCEL" || outbound === undefined) {
      return connection.reply(id, `NOK|Unknown transaction id: ${transactionId}`);
    }
    const { transaction, contact } = outbound;
    const headers = wireHeaders(message, contact, OWNED_CANCEL);
    transaction.cancel(headers);
    // What goes on the wire is the stack's; the application gets the same request to look at.
    const { request } = transaction;
    const cancel = request.clone();
    cancel.method = "CANCEL";
    cancel.set("CSeq", `${request.cseq.number} CANCEL`);
    for (const name of ["Contact", "Content-Type", "Session-Expires"]) cancel.remove(name);
    cancel.body = "";
    cancel.setAll(headers);
    transaction.sent.then(
      (flow) => this.#confirm(order, cancel, flow),
      (error: unknown) => connection.reply(id, `NOK|${reasonOf(error)}`),
    );
  }

  /** `Msg sent`: the request as it left, and the id its responses will carry. */
  #confirm({ connection, id }: Order, request: SipRequest, flow: Flow, name?: string): void {
    const raw = request.toBuffer();
    const hop = { transport: flow.connection.transport, remote: flow.local };
    const tokens = hopTokens(this.#context.clock, raw.length, hop);
    const transactionId = name ?? this.#context.ids();
    connection.reply(id, `OK|application|${tokens}|${transactionId}|Msg sent:|`, raw);
  }

  #send(
    order: Order,
    request: SipRequest,
    options: SendOptions,
    leg: { contact: Contact; dialog: Dialog | undefined },
  ): void {
    const transaction = this.#context.stack.request(request, options);
    const outbound: Outbound = {
      id: this.#context.ids(),
      transaction,
      owner: order.connection,
      contact: leg.contact,
      dialog: leg.dialog,
      forks: this.#forksOf(transaction, order, leg),
    };
    this.#outbound.set(outbound.id, outbound);
    if (request.method === "INVITE") leg.dialog?.pending.add(transaction);
    void transaction.sent
      .then(
        (flow) => this.#confirm(order, transaction.request, flow, outbound.id),
        () => this.#confirmUnsent(order, request, outbound),
      )
      .then(() => this.#listen(outbound));
  }

  #forksOf(
    transaction: ClientTransaction,
    { connection: owner }: Order,
    { contact, dialog }: { contact: Contact; dialog: Dialog | undefined },
  ): Forks | undefined {
    if (transaction.request.method !== "INVITE" || dialog !== undefined) return undefined;
    return new Forks({ context: this.#context, own: this.#own, transaction, owner, contact });
  }

  /** As the real daemon does while a name is being looked up; a failure follows as a response. */
  #confirmUnsent({ connection, id }: Order, request: SipRequest, outbound: Outbound): void {
    const { localHost, localPort } = outbound.contact;
    const tokens = `0|unknown|${localHost}|${localPort}|00:00:00.000000`;
    const raw = request.toBuffer();
    connection.reply(id, `OK|application|${tokens}|${outbound.id}|Msg sent:|`, raw);
  }

  /** Only after the application knows the transaction's id may it hear of a response. */
  #listen(outbound: Outbound): void {
    const { transaction } = outbound;
    transaction.onResponse((response, flow) => this.#onResponse(outbound, response, flow));
    transaction.onEnd((error) => {
      if (error !== undefined) this.#fail(outbound, error);
      this.#settle(outbound);
    });
  }

  #settle(outbound: Outbound): void {
    this.#outbound.delete(outbound.id);
    outbound.dialog?.pending.delete(outbound.transaction);
  }

  #onResponse(outbound: Outbound, response: SipResponse, flow: Flow): void {
    if (response.status === 100) return;
    const { transaction, dialog } = outbound;
    if (response.status >= 200) dialog?.pending.delete(transaction);
    if (this.#follow(outbound, response, flow)) this.#tell(outbound, response, flow);
  }

  /** Returns false for what no application may see: repeats, and branches that lost. */
  #follow(outbound: Outbound, response: SipResponse, flow: Flow): boolean {
    try {
      return outbound.transaction.request.method === "INVITE"
        ? this.#followInvite(outbound, response, flow)
        : this.#followOther(outbound, response, flow);
    } catch (error) {
      if (!(error instanceof SipError)) throw error;
      // A Contact nobody can read makes no dialog; the application may make sense of the rest.
      return true;
    }
  }

  #followInvite(outbound: Outbound, response: SipResponse, flow: Flow): boolean {
    const { transaction, dialog, forks } = outbound;
    const { status } = response;
    if (status >= 300) {
      if (dialog === undefined) this.#context.cdrs.stop("network", refusalReason(status), response);
      forks?.forget();
      return true;
    }
    if (forks !== undefined) return forks.follow(response, flow);
    if (dialog === undefined || status < 200) return true;
    dialog.sip.receiveResponse(response);
    this.#context.sessions.arm(dialog, "uac", response);
    dialog.unacknowledged.push({ transaction, response });
    return true;
  }

  #followOther(outbound: Outbound, response: SipResponse, flow: Flow): boolean {
    const { transaction, dialog, owner, contact } = outbound;
    const { request } = transaction;
    const { status } = response;
    if (status >= 200 && dialog !== undefined && ends(request, dialog, status)) {
      this.#context.dialogs.remove(dialog);
      if (request.method === "BYE") {
        this.#context.cdrs.stop("application", "normal-release", request);
      }
    }
    if (status >= 300 || status < 200) return true;
    dialog?.sip.receiveResponse(response);
    if (request.method === "UPDATE" && dialog !== undefined) {
      this.#context.sessions.arm(dialog, "uac", response);
    }
    if (dialog === undefined && SUBSCRIBES.has(request.method)) {
      const { connection } = flow;
      this.#context.dialogs.add(Dialog.uac(request, response, { owner, contact, connection }));
    }
    return true;
  }

  #tell(outbound: Outbound, response: SipResponse, flow: Flow): void {
    const { transaction, owner, id, dialog } = outbound;
    const { request } = transaction;
    const named = NAMES_DIALOG.has(request.method) ? dialogId(request) : "";
    notify(this.#context, owner, {
      message: response,
      transport: flow.connection.transport,
      remote: flow.remote,
      transactionId: id,
      dialogId: dialog?.id ?? named,
    });
  }

  /** No answer came: the application gets one all the same, with 0 bytes from the network. */
  #fail(outbound: Outbound, error: SipError): void {
    const { transaction, contact, owner, id, dialog } = outbound;
    outbound.forks?.forget();
    if (error.code === "SIP_ABORTED") return;
    const { request } = transaction;
    const [status, reason] = failureOf(error);
    const response = SipResponse.to(request, status, {
      reason,
      toTag: newTag(),
      headers: { "Content-Length": "0" },
    });
    if (dialog !== undefined && ends(request, dialog, status)) this.#context.dialogs.remove(dialog);
    const { transport, localHost, localPort } = contact;
    notify(this.#context, owner, {
      message: response,
      transport,
      remote: { host: localHost, port: localPort },
      transactionId: id,
      dialogId: dialog?.id ?? (NAMES_DIALOG.has(request.method) ? dialogId(request) : ""),
      bytes: 0,
    });
  }

  /** The application left: calls it was still making are cancelled. */
  forget(owner: ControlConnection): void {
    for (const { owner: sender, transaction } of this.#outbound.values()) {
      if (sender === owner && transaction.request.method === "INVITE") transaction.cancel();
    }
  }
}

/**
 * The answer to a BYE ends the dialog, unless it asks for credentials; so does that to the last
 * NOTIFY of a subscription, though not of one inside a call.
 */
function ends(request: SipRequest, dialog: Dialog, status: number): boolean {
  if (status === 401 || status === 407) return false;
  if (request.method === "BYE") return true;
  if (request.method !== "NOTIFY" || dialog.method === "INVITE") return false;
  return /^terminated\b/i.test(request.get("Subscription-State") ?? "");
}

function failureOf(error: SipError): [status: number, reason: string] {
  if (error.code === "SIP_TIMEOUT") return [408, "Request Timeout"];
  return error.code === "SIP_UNRESOLVED" ? [503, "DNS Error"] : [503, "Service Unavailable"];
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
