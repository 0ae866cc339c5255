import type { Clock, Timer } from "../clock.ts";
import { type Address, isReliable } from "./connection.ts";
import { SipError } from "./error.ts";
import { Listeners } from "./listeners.ts";
import { type HeaderInput, SipRequest, type SipResponse } from "./message.ts";
import {
  type ClientAction,
  type ClientEvent,
  INVITE_CLIENT,
  NON_INVITE_CLIENT,
  type Transitions,
} from "./state-machine.ts";
import type { WireConnection } from "./stream-connection.ts";
import { type TimerLetter, type Timers, timerTable } from "./timers.ts";
import type { ClientTransaction, Flow, SendOptions, TransactionState } from "./transaction.ts";

export interface ClientSetup {
  id: string;
  request: SipRequest;
  clock: Clock;
  timers: Timers;
  everyResponse: boolean;
  /** Last touches of the application, then the bytes. */
  serialise: (message: SipRequest) => Buffer;
  /** Sends bytes and traces them. */
  write: (connection: WireConnection, bytes: Buffer, done: (error?: Error) => void) => void;
  /** Sends an ACK to a 2xx: Via, routing, everything. */
  sendAck: (
    ack: SipRequest,
    options: SendOptions | undefined,
  ) => Promise<{ flow: Flow; bytes: Buffer; connection: WireConnection }>;
  /** Sends a CANCEL in a transaction of its own on our connection, with our branch. */
  sendCancel: (cancel: SipRequest, invite: ClientMachine) => void;
  onTerminated: () => void;
  /** What a listener of the application threw. */
  fault: (error: unknown) => void;
}

/** One 2xx of a forked INVITE: its ACK, once the application sent one. */
interface Fork {
  ack: { bytes: Buffer; connection: WireConnection } | undefined;
}

/** Client transaction of either kind, driven by the tables of state-machine.ts. */
export class ClientMachine implements ClientTransaction {
  readonly id: string;
  readonly request: SipRequest;
  readonly sent: Promise<Flow>;
  readonly final: Promise<SipResponse>;
  #state: TransactionState;
  #connection: WireConnection | undefined;
  #bytes: Buffer | undefined;
  #last: SipResponse | undefined;
  /** Why the network did not take the request. */
  #broken: SipError | undefined;
  /** Why no final response came. */
  #error: SipError | undefined;
  #ended = false;
  #cancel: "none" | "wanted" | "sent" = "none";
  #cancelHeaders: HeaderInput | undefined;
  #repeat: Timer | undefined;
  #repeatMs = 0;
  #timeout: Timer | undefined;
  #linger: Timer | undefined;
  readonly #setup: ClientSetup;
  readonly #table: Transitions<ClientEvent, ClientAction>;
  readonly #forks = new Map<string, Fork>();
  readonly #sent = Promise.withResolvers<Flow>();
  readonly #final = Promise.withResolvers<SipResponse>();
  readonly #responses: Listeners<[SipResponse, Flow]>;
  readonly #ends: Listeners<[SipError | undefined]>;

  constructor(setup: ClientSetup) {
    this.#setup = setup;
    this.id = setup.id;
    this.request = setup.request;
    this.#state = this.#isInvite ? "calling" : "trying";
    this.#table = this.#isInvite ? INVITE_CLIENT : NON_INVITE_CLIENT;
    this.#responses = new Listeners(setup.fault);
    this.#ends = new Listeners(setup.fault);
    this.sent = this.#sent.promise;
    this.final = this.#final.promise;
    // Callers may take the news from onEnd instead.
    this.sent.catch(() => {});
    this.final.catch(() => {});
  }

  get state(): TransactionState {
    return this.#state;
  }

  /** The connection in use, once there is one. */
  get connection(): WireConnection | undefined {
    return this.#connection;
  }

  get #isInvite(): boolean {
    return this.request.method === "INVITE";
  }

  /** Sends the request, which is complete now, and starts the timers. */
  start(connection: WireConnection): void {
    if (this.#state === "terminated") return;
    this.#connection = connection;
    this.#bytes = this.#setup.serialise(this.request);
    this.#transmit();
    if (!this.unanswered) return;
    const letters = this.#isInvite ? (["A", "B"] as const) : (["E", "F"] as const);
    this.#repeatMs = this.#timer(letters[0]) ?? 0;
    if (this.#repeatMs > 0) this.#repeatLater();
    this.#timeoutAfter(this.#timer(letters[1]));
  }

  /**
   * The connection broke before any response: the same bytes go out on another one. The Via is not
   * changed, so the peer sees a repetition should it have got the first copy.
   */
  restart(connection: WireConnection): void {
    this.#connection = connection;
    this.#transmit();
  }

  /** Nothing came back yet. */
  get unanswered(): boolean {
    return this.#state === "calling" || this.#state === "trying";
  }

  receive(response: SipResponse): void {
    this.#last = response;
    if (response.status < 200) this.#dispatch("provisional");
    else this.#dispatch(response.status < 300 ? "success" : "refusal");
  }

  /** Ends the transaction without an answer. */
  fail(error: SipError): void {
    if (this.#state === "terminated") return;
    this.#terminate();
    this.#end(error);
  }

  onResponse(listener: (response: SipResponse, flow: Flow) => void): () => void {
    return this.#responses.add(listener);
  }

  onEnd(listener: (error: SipError | undefined) => void): () => void {
    return this.#ends.add(listener);
  }

  cancel(headers?: HeaderInput): void {
    if (!this.#isInvite || this.#ended || this.#cancel !== "none") return;
    this.#cancel = "wanted";
    this.#cancelHeaders = headers;
    if (this.#state === "proceeding") this.#sendCancel();
  }

  async acknowledge(response: SipResponse, ack: SipRequest, options?: SendOptions): Promise<Flow> {
    const fork = this.#forks.get(response.toTag ?? "");
    if (fork === undefined) {
      throw new SipError("SIP_STATE", `expected a 2xx of this INVITE, got ${response.startLine}`);
    }
    const { flow, bytes, connection } = await this.#setup.sendAck(ack, options);
    fork.ack = { bytes, connection };
    return flow;
  }

  /** Responses until the first final one; throws the SipError when none comes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SipResponse> {
    const queue: SipResponse[] = [];
    let news = Promise.withResolvers<void>();
    const stop = this.#responses.add((response) => {
      queue.push(response);
      news.resolve();
    });
    const stopEnd = this.#ends.add(() => news.resolve());
    try {
      for (;;) {
        await news.promise;
        news = Promise.withResolvers<void>();
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) yield next;
        if (this.#error !== undefined) throw this.#error;
        if (this.#ended) return;
      }
    } finally {
      stop();
      stopEnd();
    }
  }

  #dispatch(event: ClientEvent): void {
    const move = this.#table[this.#state]?.[event];
    if (move === undefined) return;
    this.#state = move.to;
    for (const action of move.run) {
      // A write that fails at once ends everything while the list is still being worked on.
      if (this.#state === move.to) this.#run(action);
    }
    if (move.to === "terminated") this.#terminate();
    if (event === "provisional" && this.#cancel === "wanted") this.#sendCancel();
  }

  #run(action: ClientAction): void {
    switch (action) {
      case "deliver":
        return this.#deliver();
      case "acknowledge":
        return this.#acknowledgeRefusal();
      case "resend":
        this.#repeatMs *= 2;
        if (!this.#isInvite) this.#repeatMs = Math.min(this.#repeatMs, this.#setup.timers.t2Ms);
        this.#repeatLater();
        return this.#transmit();
      case "stopRepeating":
        this.#repeat?.cancel();
        this.#timeout?.cancel();
        return undefined;
      case "slowRepeating":
        this.#repeatMs = this.#setup.timers.t2Ms;
        return undefined;
      case "startLinger":
        return this.#startLinger();
      case "failTimeout":
        return this.#failTimeout();
      case "failTransport":
        return this.#end(this.#broken);
    }
  }

  #deliver(): void {
    const response = this.#last;
    if (response === undefined || this.#connection === undefined) return;
    if (this.#isRepeated(response)) return;
    this.#responses.tell(response, flowOf(this.#connection));
    if (response.status < 200 || this.#ended) return;
    this.#final.resolve(response);
    this.#end();
  }

  /** A 2xx seen before is answered with its ACK and, as a rule, kept from the application. */
  #isRepeated(response: SipResponse): boolean {
    if (!this.#isInvite || response.status < 200 || response.status >= 300) return false;
    const tag = response.toTag ?? "";
    const fork = this.#forks.get(tag);
    if (fork === undefined) {
      this.#forks.set(tag, { ack: undefined });
      return false;
    }
    if (fork.ack !== undefined) this.#setup.write(fork.ack.connection, fork.ack.bytes, () => {});
    return !this.#setup.everyResponse;
  }

  /** ACK of a refusal: hop by hop, same branch (RFC 3261 §17.1.1.3). */
  #acknowledgeRefusal(): void {
    if (this.#connection === undefined || this.#last === undefined) return;
    const ack = hopRequest(this.request, "ACK");
    ack.set("To", this.#last.get("To") ?? "");
    this.#setup.write(this.#connection, this.#setup.serialise(ack), () => {});
  }

  #sendCancel(): void {
    this.#cancel = "sent";
    const cancel = hopRequest(this.request, "CANCEL");
    cancel.addAll(this.#cancelHeaders);
    this.#setup.sendCancel(cancel, this);
    // A peer that never answers the INVITE after all is given up (RFC 3261 §9.1).
    this.#timeoutAfter(this.#setup.timers.timeoutMs);
  }

  #transmit(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#bytes === undefined) return;
    this.#setup.write(connection, this.#bytes, (error) => {
      if (error === undefined) return this.#sent.resolve(flowOf(connection));
      // A stream that fails closes, and whoever watches it decides about another try.
      if (isReliable(connection.transport)) return undefined;
      this.#broken = new SipError("SIP_TRANSPORT", error.message, { cause: error });
      return this.#dispatch("transportError");
    });
  }

  #repeatLater(): void {
    this.#repeat = this.#setup.clock.after(this.#repeatMs, () => this.#dispatch("repeat"));
  }

  #timeoutAfter(delayMs: number | undefined): void {
    this.#timeout?.cancel();
    if (delayMs === undefined) return;
    this.#timeout = this.#setup.clock.after(delayMs, () => this.#dispatch("timeout"));
  }

  #startLinger(): void {
    const letter = this.#isInvite ? (this.#state === "accepted" ? "M" : "D") : "K";
    const lingerMs = this.#timer(letter) ?? 0;
    if (lingerMs === 0) this.#dispatch("linger");
    else this.#linger = this.#setup.clock.after(lingerMs, () => this.#dispatch("linger"));
  }

  #timer(letter: TimerLetter): number | undefined {
    const reliable = this.#connection !== undefined && isReliable(this.#connection.transport);
    return timerTable(this.#setup.timers, reliable)[letter];
  }

  #failTimeout(): void {
    const { method, uri } = this.request;
    const text = `no final response to ${method} ${uri} within ${this.#setup.timers.timeoutMs} ms`;
    this.#end(new SipError("SIP_TIMEOUT", text));
  }

  #end(error?: SipError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error !== undefined) {
      this.#sent.reject(error);
      this.#final.reject(error);
    }
    this.#ends.tell(error);
  }

  #terminate(): void {
    this.#state = "terminated";
    this.#repeat?.cancel();
    this.#timeout?.cancel();
    this.#linger?.cancel();
    this.#setup.onTerminated();
  }
}

/** The ACK or CANCEL that follows an INVITE on the same hop: one Via, same branch (§9.1, §17.1.1.3). */
function hopRequest(invite: SipRequest, method: "ACK" | "CANCEL"): SipRequest {
  const request = new SipRequest({ method, uri: invite.uri });
  request.add("Via", invite.top("Via") ?? "");
  request.add("Max-Forwards", "70");
  for (const name of ["Route", "From", "To", "Call-ID"]) {
    for (const value of invite.all(name)) request.add(name, value);
  }
  request.add("CSeq", `${invite.cseq.number} ${method}`);
  return request;
}

export function flowOf(connection: WireConnection): Flow {
  const { local, remote }: { local: Address; remote: Address } = connection;
  return { connection, local, remote };
}
