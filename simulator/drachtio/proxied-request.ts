import type { Timer } from "../clock.ts";
import { SipError } from "../sip/error.ts";
import { parseNameAddr } from "../sip/fields.ts";
import { type SipRequest, SipResponse } from "../sip/message.ts";
import type { ClientTransaction, Flow, ServerTransaction } from "../sip/transaction.ts";
import type { Context } from "./context.ts";
import { contactFor, endpointOf, readSipUri } from "./next-hop.ts";
import type { ProxyOptions } from "./proxy-options.ts";
import { bestResponse } from "./response-choice.ts";

/** Destinations one request may try, redirects included. */
const TARGET_LIMIT = 50;

export interface ProxiedRequestParts {
  context: Context;
  transaction: ServerTransaction;
  options: ProxyOptions;
  /** The request to send to a destination, complete but for our Via. */
  compose: (destination: string) => SipRequest;
  /** A final response came from a destination. */
  onFinal: (response: SipResponse, flow: Flow) => void;
  /** Every destination has answered or was given up, and the sender has its answer. */
  onDone: () => void;
}

interface Branch {
  transaction: ClientTransaction;
  timers: Timer[];
  /** To tags of the 2xx that came; a callee repeats each until its ACK arrives. */
  accepted: Set<string | undefined>;
}

/** One request on its way through the proxy to one or more destinations (RFC 3261 §16). */
export class ProxiedRequest {
  readonly #parts: ProxiedRequestParts;
  readonly #waiting: string[];
  readonly #branches = new Set<Branch>();
  readonly #finals: SipResponse[] = [];
  #tried = 0;
  /** No further destination is tried: somebody accepted, declined for all, or the caller left. */
  #closed = false;
  #done = false;

  constructor(parts: ProxiedRequestParts) {
    this.#parts = parts;
    this.#waiting = [...parts.options.destinations];
  }

  start(): void {
    this.#parts.transaction.onCancel(() => this.#close());
    this.#next();
  }

  #next(): void {
    const { simultaneous } = this.#parts.options;
    if (simultaneous && !this.#closed) {
      for (const destination of this.#waiting.splice(0)) this.#try(destination);
    }
    while (!this.#closed && this.#branches.size === 0) {
      const destination = this.#waiting.shift();
      if (destination === undefined) break;
      this.#try(destination);
    }
    if (this.#branches.size === 0) this.#finish();
  }

  #try(destination: string): void {
    const { context, compose, transaction } = this.#parts;
    const uri = readSipUri(destination);
    const contact = uri === undefined ? undefined : contactFor(context.contacts, uri);
    if (uri === undefined || contact === undefined || this.#tried >= TARGET_LIMIT) return;
    this.#tried += 1;
    const client = context.stack.request(compose(destination), {
      target: endpointOf(uri, contact.transport),
      localAddress: contact.localHost,
      everyResponse: true,
    });
    const branch: Branch = { transaction: client, timers: [], accepted: new Set() };
    this.#branches.add(branch);
    if (transaction.request.method === "INVITE") this.#watch(branch);
    client.onResponse((response, flow) => this.#onResponse(branch, response, flow));
    client.onEnd((error) => this.#onEnd(branch, error));
  }

  #watch(branch: Branch): void {
    const { context, options } = this.#parts;
    const { provisionalTimeoutMs, finalTimeoutMs } = options;
    const giveUp = () => this.#giveUp(branch);
    branch.timers.push(context.clock.after(finalTimeoutMs, giveUp));
    if (provisionalTimeoutMs === undefined) return;
    branch.timers.push(context.clock.after(provisionalTimeoutMs, giveUp));
  }

  /** The branch is cancelled and no longer waited for. */
  #giveUp(branch: Branch): void {
    branch.transaction.cancel();
    this.#drop(branch);
    this.#next();
  }

  #drop(branch: Branch): void {
    for (const timer of branch.timers) timer.cancel();
    this.#branches.delete(branch);
  }

  #onResponse(branch: Branch, response: SipResponse, flow: Flow): void {
    branch.timers[1]?.cancel();
    const { status } = response;
    if (status === 100) return;
    if (status >= 200 && !branch.accepted.has(response.toTag)) this.#parts.onFinal(response, flow);
    if (status >= 200 && status < 300) branch.accepted.add(response.toTag);
    if (status < 300) return this.#forward(branch, response);
    this.#refused(branch, response);
  }

  /** 1xx and 2xx go upstream at once; a 2xx ends the search. */
  #forward(branch: Branch, response: SipResponse): void {
    if (response.status >= 200) {
      this.#drop(branch);
      this.#close();
    } else if (!this.#branches.has(branch)) return;
    this.#answer(response);
    if (response.status >= 200) this.#finish();
  }

  #refused(branch: Branch, response: SipResponse): void {
    if (!this.#branches.has(branch)) return;
    this.#drop(branch);
    const { followRedirects } = this.#parts.options;
    const { status } = response;
    if (followRedirects && status < 400) this.#waiting.unshift(...redirects(response));
    else this.#finals.push(response);
    // A challenge has to be answered before anybody else is asked (RFC 3261 §16.7 step 7 aside).
    if (status >= 600 || status === 401 || status === 407) this.#close();
    this.#next();
  }

  #onEnd(branch: Branch, error: SipError | undefined): void {
    if (error === undefined || !this.#branches.has(branch)) return;
    this.#drop(branch);
    const { request } = this.#parts.transaction;
    const status = error.code === "SIP_TIMEOUT" ? 408 : 503;
    const failure = SipResponse.to(request, status);
    // As from downstream: the Via that forwarding takes off.
    failure.prepend("Via", "SIP/2.0/UDP invalid");
    this.#finals.push(failure);
    this.#next();
  }

  /** Tries nobody else and cancels who is still ringing. */
  #close(): void {
    this.#closed = true;
    for (const { transaction } of this.#branches) transaction.cancel();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    const { transaction, onDone } = this.#parts;
    if (!isAnswered(transaction)) {
      const best = bestResponse(this.#finals);
      if (best === undefined) transaction.respond(408);
      else this.#answer(best);
    }
    onDone();
  }

  #answer(response: SipResponse): void {
    const { transaction } = this.#parts;
    const copy = response.clone();
    copy.removeTop("Via");
    try {
      transaction.send(copy, { retransmit: false });
    } catch (error) {
      // The caller cancelled, or another branch was quicker: it has its answer.
      if (!(error instanceof SipError)) throw error;
    }
  }
}

function isAnswered({ state }: ServerTransaction): boolean {
  return state !== "trying" && state !== "proceeding";
}

function redirects(response: SipResponse): string[] {
  return response.list("Contact").flatMap((element) => {
    try {
      return [parseNameAddr(element).uri];
    } catch {
      return [];
    }
  });
}
