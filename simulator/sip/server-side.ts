import type { Clock } from "../clock.ts";
import { flowOf } from "./client-transaction.ts";
import type { Via } from "./fields.ts";
import { type SipRequest, SipResponse } from "./message.ts";
import { serverKey, stampVia } from "./routing.ts";
import { type Arrival, type ServerHost, ServerMachine } from "./server-transaction.ts";
import type { WireConnection } from "./stream-connection.ts";
import type { Timers } from "./timers.ts";
import type { Flow, ServerTransaction } from "./transaction.ts";
import { type Refusal, refusalFor } from "./validation.ts";
import type { Wire } from "./wire.ts";

export interface ServerSideSetup {
  wire: Wire;
  clock: Clock;
  timers: Timers;
  ids: () => string;
  limitTransactions: number;
  unansweredInviteMs: number;
  trying: "immediate" | "delayed" | "manual";
  cancelled: "automatic" | "manual";
  rejectMerged: boolean;
  rport: "asked" | "always";
  onRequest: (transaction: ServerTransaction) => void;
  onAck: ((ack: SipRequest, flow: Flow) => void) | undefined;
}

/** How long the stack waits for a response of the application before a delayed 100 (§17.2.1). */
const TRYING_DELAY_MS = 200;

/** Requests that come in, and the transactions that answer them. */
export class ServerSide {
  readonly #setup: ServerSideSetup;
  readonly #transactions = new Map<string, ServerMachine>();
  /** 2xx of ours whose ACK comes in a transaction of its own. */
  readonly #successes = new Map<string, ServerMachine>();
  /** Requests by what a merged copy of them has in common (RFC 3261 §8.2.2.2). */
  readonly #merged = new Map<string, ServerMachine>();

  readonly #ackKeys = new WeakMap<ServerMachine, readonly string[]>();
  readonly #host: ServerHost;

  constructor(setup: ServerSideSetup) {
    this.#setup = setup;
    const { wire, clock, timers, ids, unansweredInviteMs } = setup;
    this.#host = {
      clock,
      timers,
      unansweredInviteMs,
      newId: ids,
      serialise: (response) => wire.serialise(response),
      write: (bytes, { connection, via }, done) => wire.respond(connection, via, bytes, done),
      succeeds: (transaction, response) => this.#expectAck(transaction, response),
      terminated: (transaction) => this.#forget(transaction),
      fault: (error, { request }) => wire.fault(error, `a listener of ${request.method} failed`),
    };
  }

  get size(): number {
    return this.#transactions.size;
  }

  receive(request: SipRequest, connection: WireConnection): void {
    const via = this.#stamp(request, connection);
    if (via === undefined) return;
    const key = serverKey(request, via);
    const known = this.#transactions.get(key);
    if (request.method === "ACK") this.#receiveAck(request, connection, known);
    else if (known !== undefined) known.receiveRepeated();
    else if (this.#transactions.size >= this.#setup.limitTransactions) {
      this.#shed(request, connection, via);
    } else this.#receiveNew({ request, connection, via, key });
  }

  abort(): void {
    for (const transaction of this.#transactions.values()) transaction.abort();
  }

  #receiveAck(ack: SipRequest, connection: WireConnection, known: ServerMachine | undefined): void {
    const transaction = known ?? this.#successes.get(successKey(ack, ack.toTag));
    if (transaction === undefined) this.#setup.onAck?.(ack, flowOf(connection));
    else transaction.receiveAck(ack);
  }

  #receiveNew(arrival: Arrival): void {
    const { request, via } = arrival;
    const refusal = refusalFor(request) ?? this.#refusalOfMerged(request);
    const transaction = this.#create(arrival);
    if (refusal !== undefined) refuse(transaction, refusal);
    else if (request.method === "CANCEL") this.#cancel(transaction, via);
    else this.#offer(transaction);
  }

  #create(arrival: Arrival): ServerMachine {
    const transaction = new ServerMachine(this.#host, arrival);
    this.#transactions.set(arrival.key, transaction);
    if (arrival.request.toTag === undefined) {
      const mergedKey = keyOfMerged(arrival.request);
      if (!this.#merged.has(mergedKey)) this.#merged.set(mergedKey, transaction);
    }
    return transaction;
  }

  #forget(transaction: ServerMachine): void {
    const { request, key } = transaction.arrival;
    this.#transactions.delete(key);
    const mergedKey = keyOfMerged(request);
    if (this.#merged.get(mergedKey) === transaction) this.#merged.delete(mergedKey);
    for (const ackKey of this.#ackKeys.get(transaction) ?? []) this.#successes.delete(ackKey);
  }

  #expectAck(transaction: ServerMachine, response: SipResponse): void {
    const ackKey = successKey(transaction.request, response.toTag);
    this.#successes.set(ackKey, transaction);
    this.#ackKeys.set(transaction, [...(this.#ackKeys.get(transaction) ?? []), ackKey]);
  }

  #refusalOfMerged(request: SipRequest): Refusal | undefined {
    if (!this.#setup.rejectMerged || request.toTag !== undefined) return undefined;
    return this.#merged.has(keyOfMerged(request)) ? { status: 482 } : undefined;
  }

  #cancel(transaction: ServerMachine, via: Via): void {
    const { request } = transaction;
    const invite = this.#transactions.get(serverKey(request, via, "INVITE"));
    if (invite === undefined) {
      transaction.respond(481);
      return;
    }
    // RFC 3261 §9.2: the same To tag in the answers to both.
    transaction.respond(200, { toTag: invite.toTag });
    invite.receiveCancel(request, this.#setup.cancelled === "automatic" ? 487 : undefined);
  }

  #offer(transaction: ServerMachine): void {
    const { trying, clock, wire } = this.#setup;
    if (transaction.request.method === "INVITE") {
      if (trying === "immediate") transaction.respond(100);
      if (trying === "delayed") this.#tryLater(transaction, clock);
    }
    try {
      this.#setup.onRequest(transaction);
    } catch (error) {
      wire.fault(error, `the application failed on ${transaction.request.startLine}`);
      if (transaction.state === "trying" || transaction.state === "proceeding") {
        transaction.respond(500);
      }
    }
  }

  #tryLater(transaction: ServerMachine, clock: Clock): void {
    const timer = clock.after(TRYING_DELAY_MS, () => {
      if (transaction.silent) transaction.respond(100);
    });
    transaction.onEnd(() => timer.cancel());
  }

  /** Over the limit nothing is remembered: 503 without a transaction. */
  #shed(request: SipRequest, connection: WireConnection, via: Via): void {
    const { wire, ids } = this.#setup;
    const headers = { "Retry-After": "1" };
    const response = SipResponse.to(request, 503, { headers, toTag: ids() });
    wire.respond(connection, via, wire.serialise(response), () => {});
  }

  /** A request whose Via cannot be read is refused towards where it came from, if it can be. */
  #stamp(request: SipRequest, connection: WireConnection): Via | undefined {
    const { wire, rport, ids } = this.#setup;
    try {
      return stampVia(request, connection.remote, rport);
    } catch (error) {
      wire.fault(error, "a request with a bad Via");
      if (request.method === "ACK" || !request.has("Via")) return undefined;
      const isOurs = request.version === "SIP/2.0";
      const [status, reason] = isOurs ? ([400, "Bad Via Header"] as const) : ([505] as const);
      const response = SipResponse.to(request, status, { reason, toTag: ids() });
      wire.write(connection, wire.serialise(response), () => {});
      return undefined;
    }
  }
}

function refuse(transaction: ServerMachine, { status, reason }: Refusal): void {
  transaction.respond(status, { reason });
}

function successKey(request: SipRequest, toTag: string | undefined): string {
  return `${request.callId}|${request.cseq.number}|${request.fromTag}|${toTag}`;
}

function keyOfMerged(request: SipRequest): string {
  return `${request.callId}|${request.get("CSeq")}|${request.fromTag}`;
}
