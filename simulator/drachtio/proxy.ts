import { defaultPort } from "../sip/connection.ts";
import { formatNameAddr, type NameAddr, parseNameAddr } from "../sip/fields.ts";
import type { SipRequest, SipResponse } from "../sip/message.ts";
import type { Flow, SendOptions, ServerTransaction } from "../sip/transaction.ts";
import { type ApplicationMessage, parseApplicationMessage } from "./application-message.ts";
import { refusalReason } from "./cdr.ts";
import { asTransport, type Contact } from "./contact.ts";
import { type Context, contactOf } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import type { Frame } from "./frame.ts";
import { wireHeaders } from "./header-rules.ts";
import { hopTokens } from "./meta.ts";
import { contactFor, endpointOf, readSipUri } from "./next-hop.ts";
import type { ProxyWish } from "./outbound.ts";
import { ProxiedRequest } from "./proxied-request.ts";
import { type ProxyOptions, parseDuration, parseProxyOptions } from "./proxy-options.ts";
import { refuse } from "./refuse.ts";

const OWNED = new Set(["from", "to", "call-id", "cseq", "max-forwards", "contact"]);

/** Gives up an application's claim to a request; see `Incoming.take`. */
export type Take = (transactionId: string) => ServerTransaction | undefined;

/** Requests that pass through: those an application proxies, and later ones on the same path. */
export class Proxy {
  readonly #context: Context;
  readonly #take: Take;

  constructor(context: Context, take: Take) {
    this.#context = context;
    this.#take = take;
  }

  /** `proxy|…`: the application hands a pending request on. */
  start(connection: ControlConnection, { tokens, message }: Frame): void {
    const [id = ""] = tokens;
    const options = parseProxyOptions(tokens);
    const transaction = this.#take(options.transactionId);
    if (transaction === undefined) {
      return connection.reply(id, `NOK|Unknown transaction id: ${options.transactionId}`);
    }
    if (maxForwards(transaction.request) === 0) {
      refuse(transaction, 483);
      const why = "Rejected with 483 Too Many Hops due to Max-Forwards value of 0";
      return connection.reply(id, `NOK|${why}`);
    }
    const draft = parseApplicationMessage(message);
    this.#run({ transaction, options, draft }, (final) => {
      if (final === undefined) connection.reply(id, "OK|done");
      else if (options.fullResponse) this.#report(connection, id, final.response, final.flow);
    });
  }

  /** The same for a request that no application has seen. */
  startUnasked(transaction: ServerTransaction, wish: ProxyWish): void {
    if (maxForwards(transaction.request) === 0) return refuse(transaction, 483);
    const options = {
      ...STRAIGHT,
      remainInDialog: wish.recordRoute,
      followRedirects: wish.followRedirects,
      simultaneous: wish.simultaneous,
      provisionalTimeoutMs: parseDuration(wish.provisionalTimeout),
      finalTimeoutMs: parseDuration(wish.finalTimeout) ?? STRAIGHT.finalTimeoutMs,
      destinations: wish.destinations,
    };
    this.#run({ transaction, options, draft: undefined }, () => {});
  }

  #run({ transaction, options, draft }: ProxyRun, tell: Tell): void {
    const contact = this.#contactOf(transaction);
    if (contact === undefined) return refuse(transaction, 500);
    if (transaction.request.method === "INVITE") {
      this.#context.cdrs.attempt("application", transaction.request);
    }
    transaction.onAck((ack) => void this.#pass(ack));
    const headers = draft === undefined ? [] : wireHeaders(draft, contact, OWNED);
    new ProxiedRequest({
      context: this.#context,
      transaction,
      options,
      compose: (destination) =>
        this.#compose(transaction.request, { destination, options, headers, contact }),
      onFinal: (response, flow) => {
        this.#record(response);
        tell({ response, flow });
      },
      onDone: () => tell(),
    }).start();
  }

  #record(response: SipResponse): void {
    if (response.cseq.method !== "INVITE") return;
    const { cdrs } = this.#context;
    const { status } = response;
    if (status >= 300) return cdrs.stop("network", refusalReason(status), response);
    cdrs.start("application", "proxy-uas", response);
    cdrs.start("network", "proxy-uac", response);
  }

  #report(connection: ControlConnection, id: string, response: SipResponse, flow: Flow): void {
    const raw = response.toBuffer();
    const hop = { transport: flow.connection.transport, remote: flow.remote };
    const tokens = hopTokens(this.#context.clock, raw.length, hop);
    connection.reply(id, `OK|network|${tokens}|||continue`, raw);
  }

  #contactOf({ connection, local }: ServerTransaction): Contact | undefined {
    return contactOf(this.#context.contacts, { transport: connection.transport, local });
  }

  #compose(original: SipRequest, parts: ComposeParts): SipRequest {
    const { destination, options, headers, contact } = parts;
    const request = original.clone();
    this.#stripOwnRoutes(request);
    request.set("Max-Forwards", maxForwards(original) - 1);
    // Only an address of ours is replaced; another Request-URI just gets a new next hop.
    if (this.#namesUs(request.uri)) request.uri = destination;
    if (options.remainInDialog) this.#stayInPath(request, contact, destination);
    request.addAll(headers);
    return request;
  }

  /** Record-Route, twice when the transport changes between the two sides (RFC 5658 §3.3). */
  #stayInPath(request: SipRequest, inbound: Contact, destination: string): void {
    const name = request.method === "REGISTER" ? "Path" : "Record-Route";
    const uri = readSipUri(destination);
    const outbound = uri === undefined ? undefined : contactFor(this.#context.contacts, uri);
    putFirst(request, name, recordOf(inbound));
    if (outbound !== undefined && outbound !== inbound) {
      putFirst(request, name, recordOf(outbound));
    }
    if (name === "Path") request.add("Require", "path");
  }

  /** Did this request come along a path we put ourselves into? */
  isRouted(request: SipRequest): boolean {
    const [top] = routesOf(request);
    return top !== undefined && this.#namesUs(top.uri);
  }

  /** Passes on a request within a dialog that we proxied: to the next Route or the Request-URI. */
  forward(transaction: ServerTransaction): void {
    const left = maxForwards(transaction.request);
    if (left === 0) return refuse(transaction, 483);
    const contact = this.#contactOf(transaction);
    const request = this.#onward(transaction.request);
    const destination = nextDestination(request);
    if (contact === undefined || readSipUri(destination) === undefined) {
      return refuse(transaction, 404);
    }
    if (request.method === "BYE") {
      this.#context.cdrs.stop("network", "normal-release", request);
    }
    transaction.onAck((ack) => void this.#pass(ack));
    new ProxiedRequest({
      context: this.#context,
      transaction,
      options: { ...STRAIGHT, destinations: [destination] },
      compose: () => request,
      onFinal: () => {},
      onDone: () => {},
    }).start();
  }

  /** An ACK of a call we proxied. */
  onAck(ack: SipRequest): void {
    if (this.isRouted(ack)) void this.#pass(ack);
  }

  async #pass(ack: SipRequest): Promise<void> {
    const request = this.#onward(ack);
    const hop = this.#hop(nextDestination(request));
    // An ACK that cannot be delivered has no answer: the callee repeats its 2xx and gives up.
    if (hop !== undefined) await this.#context.stack.send(request, hop).catch(() => {});
  }

  #hop(destination: string): SendOptions | undefined {
    const uri = readSipUri(destination);
    const contact = uri === undefined ? undefined : contactFor(this.#context.contacts, uri);
    if (uri === undefined || contact === undefined) return undefined;
    return { target: endpointOf(uri, contact.transport), localAddress: contact.localHost };
  }

  #onward(original: SipRequest): SipRequest {
    const request = original.clone();
    request.set("Max-Forwards", Math.max(0, maxForwards(original) - 1));
    this.#stripOwnRoutes(request);
    return request;
  }

  #stripOwnRoutes(request: SipRequest): void {
    const routes = routesOf(request);
    // A strict router before us put our own URI into the Request-URI and the target last.
    const last = routes.at(-1);
    if (last !== undefined && isRecord(request.uri) && this.#namesUs(request.uri)) {
      request.uri = last.uri;
      routes.pop();
    }
    while (routes[0] !== undefined && this.#namesUs(routes[0].uri)) routes.shift();
    request.remove("Route");
    for (const route of routes) request.add("Route", formatNameAddr(route));
  }

  #namesUs(text: string): boolean {
    const uri = readSipUri(text);
    if (uri === undefined) return false;
    const { host, parameters } = uri;
    const named = asTransport(parameters.get("transport"));
    return this.#context.contacts.some((contact) => {
      if (named !== undefined && contact.transport !== named) return false;
      const port = uri.port ?? defaultPort(contact.transport);
      const told = contact.host === host && contact.port === port;
      return told || (contact.localHost === host && contact.localPort === port);
    });
  }
}

interface ProxyRun {
  transaction: ServerTransaction;
  options: ProxyOptions;
  /** Headers to add, if an application proxies. */
  draft: ApplicationMessage | undefined;
}

/** Each final response, then nothing more. */
type Tell = (final?: { response: SipResponse; flow: Flow }) => void;

interface ComposeParts {
  destination: string;
  options: ProxyOptions;
  headers: readonly [string, string][];
  contact: Contact;
}

const STRAIGHT: Omit<ProxyOptions, "destinations"> = {
  transactionId: "",
  remainInDialog: false,
  fullResponse: false,
  followRedirects: false,
  simultaneous: false,
  provisionalTimeoutMs: undefined,
  finalTimeoutMs: 185_000,
};

/** Before others of its name; Via stays on top of the message. */
function putFirst(request: SipRequest, name: string, value: string): void {
  if (request.has(name)) request.prepend(name, value);
  else request.add(name, value);
}

function recordOf({ uri }: Contact): string {
  return `<${uri};lr>`;
}

/** The Route elements that can be read; a broken one leads nowhere. */
function routesOf(request: SipRequest): NameAddr[] {
  return request.list("Route").flatMap((element) => {
    try {
      return [parseNameAddr(element)];
    } catch {
      return [];
    }
  });
}

const isRecord = (uri: string) => /;lr\b/i.test(uri);

function nextDestination(request: SipRequest): string {
  return routesOf(request)[0]?.uri ?? request.uri;
}

/** 70 where there is none (RFC 3261 §16.6 step 3). */
function maxForwards(request: SipRequest): number {
  const value = Number.parseInt(request.get("Max-Forwards") ?? "", 10);
  return Number.isNaN(value) ? 70 : value;
}
