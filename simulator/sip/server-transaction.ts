import type { Clock, Timer } from "../clock.ts";
import { type Address, isReliable } from "./connection.ts";
import { SipError } from "./error.ts";
import type { Via } from "./fields.ts";
import { Listeners } from "./listeners.ts";
import { type SipRequest, SipResponse } from "./message.ts";
import {
  INVITE_SERVER,
  NON_INVITE_SERVER,
  type ServerAction,
  type ServerEvent,
  type Transitions,
} from "./state-machine.ts";
import type { WireConnection } from "./stream-connection.ts";
import { type TimerLetter, type Timers, timerTable } from "./timers.ts";
import type {
  RespondOptions,
  ServerEnd,
  ServerTransaction,
  TransactionState,
} from "./transaction.ts";

/** A request as it came in. */
export interface Arrival {
  readonly request: SipRequest;
  readonly connection: WireConnection;
  /** Its top Via, with `received` and `rport`. */
  readonly via: Via;
  /** What a repetition of it, its ACK or its CANCEL has in common with it. */
  readonly key: string;
}

/** What server transactions need of the stack; one for all of them. */
export interface ServerHost {
  readonly clock: Clock;
  readonly timers: Timers;
  /** How long the application may take for a final response to an INVITE. */
  readonly unansweredInviteMs: number;
  /** Ids and To tags. */
  newId(): string;
  /** Last touches of the application, then the bytes. */
  serialise(response: SipResponse): Buffer;
  /** Sends a response to where the Via says, by the request's connection if it still is there. */
  write(bytes: Buffer, arrival: Arrival, done: (error?: Error) => void): void;
  /** A 2xx to INVITE goes out: ACKs for it belong to `transaction` from now on. */
  succeeds(transaction: ServerMachine, response: SipResponse): void;
  terminated(transaction: ServerMachine): void;
  /** What a listener of the application threw. */
  fault(error: unknown, transaction: ServerMachine): void;
}

/** Server transaction of either kind, driven by the tables of state-machine.ts. */
export class ServerMachine implements ServerTransaction {
  readonly id: string;
  readonly arrival: Arrival;
  readonly #host: ServerHost;
  #state: TransactionState;
  #toTag: string | undefined;
  #bytes: Buffer | undefined;
  #status = 0;
  #ack: SipRequest | undefined;
  #ended = false;
  /** A 2xx of ours is repeated until its ACK comes. */
  #awaitsAck = false;
  #relays = false;
  #repeatMs = 0;
  #repeat: Timer | undefined;
  #timeout: Timer | undefined;
  #linger: Timer | undefined;
  readonly #patience: Timer;
  readonly #table: Transitions<ServerEvent, ServerAction>;
  // Made when asked for: few look, and there is one per request.
  #cancelling: AbortController | undefined;
  #cancel: SipRequest | undefined;
  readonly #cancels: Listeners<[SipRequest]>;
  readonly #acks: Listeners<[SipRequest]>;
  readonly #ends: Listeners<[ServerEnd]>;

  constructor(host: ServerHost, arrival: Arrival) {
    this.#host = host;
    this.arrival = arrival;
    this.id = host.newId();
    this.#toTag = arrival.request.toTag;
    this.#state = this.#isInvite ? "proceeding" : "trying";
    this.#table = this.#isInvite ? INVITE_SERVER : NON_INVITE_SERVER;
    const fault = (error: unknown) => host.fault(error, this);
    this.#cancels = new Listeners(fault);
    this.#acks = new Listeners(fault);
    this.#ends = new Listeners(fault);
    const { clock, unansweredInviteMs, timers } = host;
    const patienceMs = this.#isInvite ? unansweredInviteMs : timers.timeoutMs;
    this.#patience = clock.after(patienceMs, () => this.#giveUp());
  }

  get request(): SipRequest {
    return this.arrival.request;
  }

  get connection(): WireConnection {
    return this.arrival.connection;
  }

  get source(): Address {
    return this.connection.remote;
  }

  get local(): Address {
    return this.connection.local;
  }

  get cancelled(): AbortSignal {
    this.#cancelling ??= new AbortController();
    if (this.#cancel !== undefined) this.#cancelling.abort(this.#cancel);
    return this.#cancelling.signal;
  }

  get state(): TransactionState {
    return this.#state;
  }

  get toTag(): string {
    this.#toTag ??= this.#host.newId();
    return this.#toTag;
  }

  /** No response was sent yet. */
  get silent(): boolean {
    return this.#bytes === undefined;
  }

  get #isInvite(): boolean {
    return this.request.method === "INVITE";
  }

  respond(status: number, options: RespondOptions = {}): SipResponse {
    const { toTag, retransmit, ...parts } = options;
    if (status > 100) this.#toTag ??= toTag ?? this.#host.newId();
    const response = SipResponse.to(this.request, status, { ...parts, toTag: this.#toTag });
    return this.send(response, { retransmit });
  }

  send(response: SipResponse, { retransmit = true }: Pick<RespondOptions, "retransmit"> = {}) {
    const event = eventOf(response.status);
    this.#checkAllowed(event, response.status);
    if (response.status > 100) this.#toTag ??= response.toTag;
    this.#status = response.status;
    this.#bytes = this.#host.serialise(response);
    if (response.status >= 200) this.#patience.cancel();
    if (this.#isInvite && event === "success") this.#succeed(response, retransmit);
    else this.#dispatch(event);
    return response;
  }

  onCancel(listener: (cancel: SipRequest) => void): () => void {
    return this.#cancels.add(listener);
  }

  onAck(listener: (ack: SipRequest) => void): () => void {
    return this.#acks.add(listener);
  }

  onEnd(listener: (end: ServerEnd) => void): () => void {
    return this.#ends.add(listener);
  }

  /** The same request again. */
  receiveRepeated(): void {
    this.#dispatch("request");
  }

  receiveAck(ack: SipRequest): void {
    this.#ack = ack;
    this.#dispatch("ack");
  }

  /** With `status` given, a pending INVITE is answered with it before the application is told. */
  receiveCancel(cancel: SipRequest, status: number | undefined): void {
    if (this.#state === "proceeding" && this.#cancel === undefined) {
      if (status !== undefined) this.respond(status);
      this.#cancel = cancel;
      this.#cancelling?.abort(cancel);
    }
    this.#cancels.tell(cancel);
  }

  /** Ends the transaction at once, without a word on the wire. */
  abort(): void {
    if (this.#state === "terminated") return;
    this.#terminate();
    this.#end("aborted");
  }

  /**
   * The application stays silent. The sender of anything but an INVITE has given up by now and
   * must not get 408 (RFC 4320 §4.2); an INVITE gets it.
   */
  #giveUp(): void {
    this.#end("unanswered");
    if (this.#isInvite) this.respond(408);
    else this.#terminate();
  }

  #checkAllowed(event: ServerEvent, status: number): void {
    // A proxy passes on every 2xx of a fork; an endpoint has only one.
    const second = this.#state === "accepted" && !this.#relays;
    if (!second && this.#table[this.#state]?.[event] !== undefined) return;
    const over = this.#state === "terminated" ? "is over, last" : "was already";
    const text = `${this.request.method} ${over} answered with ${this.#status}`;
    throw new SipError("SIP_STATE", `${text}; cannot send ${status}`);
  }

  #succeed(response: SipResponse, retransmit: boolean): void {
    this.#relays = !retransmit;
    this.#host.succeeds(this, response);
    this.#dispatch("success");
    if (retransmit) this.#repeatSuccess();
    else this.#end("done");
  }

  #dispatch(event: ServerEvent): void {
    const move = this.#table[this.#state]?.[event];
    if (move === undefined) return;
    this.#state = move.to;
    for (const action of move.run) {
      // A write that fails at once ends everything while the list is still being worked on.
      if (this.#state === move.to) this.#run(action);
    }
    if (move.to === "terminated") this.#terminate();
  }

  #run(action: ServerAction): void {
    switch (action) {
      case "transmit":
        return this.#transmit();
      case "resend":
        return this.#transmit();
      case "startRepeating":
        return this.#repeatRefusal();
      case "stopRepeating":
        return this.#stopRepeating();
      case "startLinger":
        return this.#startLinger();
      case "deliverAck":
        return this.#deliverAck();
      case "finish":
        return this.#end(this.#awaitsAck ? "ackTimeout" : "done");
      case "failTimeout":
        return this.#end("ackTimeout");
      case "failTransport":
        return this.#end("transport");
    }
  }

  #transmit(): void {
    if (this.#bytes === undefined) return;
    this.#host.write(this.#bytes, this.arrival, (error) => {
      if (error !== undefined) this.#dispatch("transportError");
    });
  }

  /** Timers G and H. */
  #repeatRefusal(): void {
    this.#timeout = this.#host.clock.after(this.#timer("H") ?? 0, () => this.#dispatch("timeout"));
    const firstMs = this.#timer("G");
    if (firstMs !== undefined) this.#repeatAfter(firstMs, () => this.#dispatch("repeat"));
  }

  /** Even over TCP: a hop further on may be UDP (RFC 3261 §13.3.1.4). */
  #repeatSuccess(): void {
    this.#awaitsAck = true;
    const { clock, timers } = this.#host;
    this.#timeout = clock.after(timers.timeoutMs, () => this.#end("ackTimeout"));
    this.#repeatAfter(timers.t1Ms, () => this.#transmit());
  }

  #repeatAfter(delayMs: number, send: () => void): void {
    this.#repeatMs = delayMs;
    this.#repeat = this.#host.clock.after(delayMs, () => {
      this.#repeatAfter(Math.min(this.#repeatMs * 2, this.#host.timers.t2Ms), send);
      send();
    });
  }

  #stopRepeating(): void {
    this.#repeat?.cancel();
    this.#timeout?.cancel();
  }

  #deliverAck(): void {
    this.#stopRepeating();
    this.#awaitsAck = false;
    if (this.#ack !== undefined) this.#acks.tell(this.#ack);
    this.#end("done");
  }

  #startLinger(): void {
    const letter = this.#isInvite ? (this.#state === "accepted" ? "L" : "I") : "J";
    const lingerMs = this.#timer(letter) ?? 0;
    if (lingerMs === 0) this.#dispatch("linger");
    else this.#linger = this.#host.clock.after(lingerMs, () => this.#dispatch("linger"));
  }

  #timer(letter: TimerLetter): number | undefined {
    return timerTable(this.#host.timers, isReliable(this.connection.transport))[letter];
  }

  #end(end: ServerEnd): void {
    if (end === "ackTimeout") this.#repeat?.cancel();
    if (this.#ended) return;
    this.#ended = true;
    this.#ends.tell(end);
  }

  #terminate(): void {
    this.#state = "terminated";
    this.#stopRepeating();
    this.#patience.cancel();
    this.#linger?.cancel();
    this.#host.terminated(this);
  }
}

function eventOf(status: number): ServerEvent {
  if (status < 200) return "provisional";
  return status < 300 ? "success" : "refusal";
}
