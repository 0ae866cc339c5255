import type {
  CallAutomationClient,
  CallConnection,
  SipCustomHeader,
} from "@azure/communication-call-automation";
import type { WebSocket } from "ws";
import type { MediaRateHz } from "./config.ts";
import type { MidCallEvent } from "./events.ts";
import { describeError, type Logger } from "./telemetry.ts";

export type CallState = "incoming" | "answering" | "connected" | "transferring" | "ended";

/** Legal moves. A refused transfer leads back: the caller is still there. */
const NEXT = {
  incoming: ["answering", "ended"],
  answering: ["connected", "ended"],
  connected: ["transferring", "ended"],
  transferring: ["connected", "ended"],
  ended: [],
} as const satisfies Record<CallState, readonly CallState[]>;

/** What became of a transfer. `code` is the SIP class of code the service reports, or a cause. */
export type TransferResult =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly code: string };

export interface CallOptions {
  readonly id: string;
  readonly mediaToken: string;
  readonly client: CallAutomationClient;
  readonly logger: Logger;
  /**
   * Asked before a request that decides the call's fate: whether this process still runs it. By
   * default it does.
   */
  readonly isOurs?: () => Promise<boolean>;
}

export interface AnswerOptions {
  readonly incomingCallContext: string;
  readonly callbackUrl: string;
  readonly mediaUrl: string;
  readonly rateHz: MediaRateHz;
}

export interface TransferOptions {
  readonly number: string;
  readonly headers: readonly SipCustomHeader[];
  readonly operationContext: string;
  readonly timeoutMs: number;
}

/** Event ids remembered to recognise a second delivery. */
const SEEN_LIMIT = 512;
/** A disconnect may overtake the event that says why; this is how long the reason is waited for. */
const OVERTAKEN_MS = 3000;
/** "Call ended successfully by local PSTN caller": no transfer ends a call with this. */
const CALLER_HUNG_UP = 540_000;

/**
 * One call as the service sees it: its state, the events that move it, and the few requests the
 * agent makes. Events may come twice, late, or in any order; each is judged against the state.
 */
export class Call {
  readonly id: string;
  readonly mediaToken: string;
  readonly #client: CallAutomationClient;
  readonly #logger: Logger;
  readonly #seen = new Set<string>();
  readonly #ended = new AbortController();
  readonly #connected = Promise.withResolvers<void>();
  readonly #media = Promise.withResolvers<WebSocket>();
  readonly #transfers = new Map<string, (result: TransferResult) => void>();
  #connection: CallConnection | undefined;
  #connectionId: string | undefined;
  #socket: WebSocket | undefined;
  #state: CallState = "incoming";
  #transferred = false;
  readonly #mediaFailed = Promise.withResolvers<undefined>();
  #onEvent: ((event: MidCallEvent) => void) | undefined;
  #onMediaReturned: ((socket: WebSocket) => void) | undefined;
  /** Came back before anybody wanted to know. */
  #returned: WebSocket | undefined;
  readonly #isOurs: () => Promise<boolean>;
  readonly #adopted = Promise.withResolvers<void>();
  #lost = false;

  constructor({ id, mediaToken, client, logger, isOurs = async () => true }: CallOptions) {
    this.id = id;
    this.mediaToken = mediaToken;
    this.#client = client;
    this.#logger = logger;
    this.#isOurs = isOurs;
  }

  get state(): CallState {
    return this.#state;
  }

  /** Aborted when the call has ended, whoever ended it. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Whether the service said that a transfer of this call was accepted. */
  get transferred(): boolean {
    return this.#transferred;
  }

  /** Whether another process runs the call now. */
  get lost(): boolean {
    return this.#lost;
  }

  /** The service's name for the call; there is none before it is answered. */
  get connectionId(): string | undefined {
    return this.#connectionId;
  }

  /** Resolves when {@link adopt} has taken up the call. Never rejects; race it with {@link signal}. */
  get adopted(): Promise<void> {
    return this.#adopted.promise;
  }

  /** Resolves with CallConnected. Never rejects; race it with {@link signal}. */
  get connected(): Promise<void> {
    return this.#connected.promise;
  }

  /**
   * Resolves with the first media socket, or with nothing when the service reports that it cannot
   * stream. Never rejects; race it with {@link signal}.
   */
  get media(): Promise<WebSocket | undefined> {
    return Promise.race([this.#media.promise, this.#mediaFailed.promise]);
  }

  /**
   * Called with the socket of every later connection: the service lost the one before. At once, if
   * that was before somebody listened.
   */
  onMediaReturned(listener: (socket: WebSocket) => void): void {
    this.#onMediaReturned = listener;
    if (this.#returned !== undefined) listener(this.#returned);
    this.#returned = undefined;
  }

  /** Answers with bidirectional media streaming. Throws the SDK's RestError when refused. */
  async answer({
    incomingCallContext,
    callbackUrl,
    mediaUrl,
    rateHz,
  }: AnswerOptions): Promise<void> {
    this.#move("answering");
    const { callConnection, callConnectionProperties } = await this.#client.answerCall(
      incomingCallContext,
      callbackUrl,
      {
        mediaStreamingOptions: {
          transportType: "websocket",
          transportUrl: mediaUrl,
          contentType: "audio",
          audioChannelType: "mixed",
          audioFormat: rateHz === 24000 ? "pcm24KMono" : "pcm16KMono",
          startMediaStreaming: true,
          enableBidirectional: true,
        },
        abortSignal: this.signal,
      },
    );
    this.#connection = callConnection;
    this.#connectionId = callConnectionProperties.callConnectionId;
  }

  /** Takes up a call that another process answered; once. */
  adopt(connectionId: string): void {
    if (this.#state !== "incoming" || connectionId === "") return;
    this.#move("answering");
    this.#connection = this.#client.getCallConnection(connectionId);
    this.#connectionId = connectionId;
    this.#adopted.resolve();
  }

  /** Called with each event of this call, once however often it is delivered. */
  onEvent(listener: (event: MidCallEvent) => void): void {
    this.#onEvent = listener;
  }

  /** Event delivery is at least once and unordered: what does not fit the state changes nothing. */
  receive(event: MidCallEvent): void {
    if (!this.#isNew(event)) return;
    this.#logger.debug({ event: event.type, code: event.code, state: this.#state }, "event");
    this.#onEvent?.(event);
    switch (event.type) {
      case "CallConnected":
        return this.confirmConnected();
      case "AnswerFailed":
      case "CallDisconnected":
        return this.#disconnected(event);
      case "CallTransferAccepted":
        return this.#settle(event, { accepted: true });
      case "CallTransferFailed":
        return this.#settle(event, { accepted: false, code: transferCode(event) });
      case "MediaStreamingFailed":
        return this.#mediaFailed.resolve(undefined);
      default:
    }
  }

  /** Also called when audio flows although CallConnected was never delivered. */
  confirmConnected(): void {
    if (this.#state === "answering") this.#move("connected");
    if (this.#state === "connected") this.#connected.resolve();
  }

  /** Binds a media socket to the call; false if the call is over, has one, or is another. */
  attachMedia(socket: WebSocket, connectionId: string | undefined): boolean {
    const alive = this.#socket !== undefined && this.#socket.readyState <= this.#socket.OPEN;
    // The service always says which call a socket belongs to; before the answer's response is here,
    // only the token does.
    const belongs = this.#connectionId === undefined || connectionId === this.#connectionId;
    if (this.#state === "ended" || alive || !belongs) return false;
    if (this.#socket === undefined) this.#media.resolve(socket);
    else if (this.#onMediaReturned === undefined) this.#returned = socket;
    else this.#onMediaReturned(socket);
    this.#socket = socket;
    return true;
  }

  /**
   * Transfers the caller and waits for the outcome. Never throws for a refusal: the caller of this
   * function still has somebody on the line.
   */
  async transfer(options: TransferOptions): Promise<TransferResult> {
    if (this.#state !== "connected" || this.#connection === undefined) {
      return { accepted: false, code: `not-connected (${this.#state})` };
    }
    this.#move("transferring");
    const { promise, resolve } = Promise.withResolvers<TransferResult>();
    this.#transfers.set(options.operationContext, resolve);
    const timer = setTimeout(() => void this.#giveUpWaiting(resolve), options.timeoutMs);
    try {
      await this.#requestTransfer(this.#connection, options, resolve);
      return this.#afterTransfer(await promise);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The service's word for the call's state; "gone" without one, "unknown" without an answer. */
  async askState(): Promise<string> {
    try {
      const properties = await this.#connection?.getCallConnectionProperties();
      return properties?.callConnectionState ?? "unknown";
    } catch (error) {
      return codeOf(error).startsWith("404") ? "gone" : "unknown";
    }
  }

  /** Ends the call for everybody. A call that is already over is no error. */
  async hangUp(): Promise<void> {
    if (this.#state !== "ended" && !(await this.#isOurs())) this.letGo();
    if (this.#state !== "ended" && this.#connection !== undefined) {
      try {
        await this.#connection.hangUp(true);
      } catch (error) {
        this.#logger.warn({ err: describeError(error) }, "hang up was refused");
      }
    }
    this.end();
  }

  /** Another process runs the call: everything ends here, and nothing is asked of the service. */
  letGo(): void {
    this.#lost ||= this.#state !== "ended";
    this.end();
  }

  end(): void {
    if (this.#state === "ended") return;
    this.#move("ended");
    for (const settle of this.#transfers.values()) settle({ accepted: false, code: "call-ended" });
    this.#ended.abort(new DOMException("the call has ended", "AbortError"));
    this.#socket?.close(1000);
  }

  async #requestTransfer(
    connection: CallConnection,
    { number, headers, operationContext }: TransferOptions,
    settle: (result: TransferResult) => void,
  ): Promise<void> {
    if (!(await this.#isOurs())) return this.letGo();
    try {
      await connection.transferCallToParticipant(
        { phoneNumber: number },
        { operationContext, customCallingContext: [...headers], abortSignal: this.signal },
      );
    } catch (error) {
      this.#logger.warn({ err: describeError(error) }, "transfer request was refused");
      settle({ accepted: false, code: codeOf(error) });
    }
  }

  /** No event came: it may be lost, while the caller is long with somebody else. */
  async #giveUpWaiting(settle: (result: TransferResult) => void): Promise<void> {
    const state = await this.askState();
    this.#logger.warn({ state }, "nothing was heard of the transfer");
    this.#transferred ||= state === "transferAccepted";
    if (this.#transferred) settle({ accepted: true });
    else settle({ accepted: false, code: "timeout" });
    if (state === "gone" || state === "disconnected" || this.#transferred) this.end();
  }

  #afterTransfer(result: TransferResult): TransferResult {
    if (!result.accepted && this.#state === "transferring") this.#move("connected");
    return result;
  }

  #settle(event: MidCallEvent, result: TransferResult): void {
    // An accepted transfer that nobody here asked for is that of the process before.
    this.#transferred ||= result.accepted;
    this.#transfers.get(event.operationContext ?? "")?.(result);
  }

  #disconnected({ subCode }: MidCallEvent): void {
    const isCertain = this.#transferred || subCode === CALLER_HUNG_UP;
    if (this.#state !== "transferring" || isCertain) return this.end();
    // The service does not promise that CallTransferAccepted comes before CallDisconnected.
    setTimeout(() => this.end(), OVERTAKEN_MS).unref();
    for (const [context, settle] of this.#transfers) {
      this.#transfers.set(context, (result) => {
        settle(result);
        this.end();
      });
    }
  }

  #isNew(event: MidCallEvent): boolean {
    if (this.#isForeign(event.callConnectionId)) {
      this.#logger.warn({ event: event.type }, "event names another connection");
      return false;
    }
    if (event.id !== "" && this.#seen.has(event.id)) return false;
    if (this.#seen.size < SEEN_LIMIT) this.#seen.add(event.id);
    return true;
  }

  /** Before the answer's response is here, the connection's id is not known and nothing is foreign. */
  #isForeign(connectionId: string | undefined): boolean {
    return (
      this.#connectionId !== undefined &&
      connectionId !== undefined &&
      connectionId !== "" &&
      connectionId !== this.#connectionId
    );
  }

  #move(to: CallState): void {
    const allowed: readonly CallState[] = NEXT[this.#state];
    if (!allowed.includes(to)) throw new Error(`a call cannot go from ${this.#state} to ${to}`);
    this.#state = to;
  }
}

function transferCode({ code, subCode }: MidCallEvent): string {
  return [code, subCode].filter((part) => part !== undefined).join("/") || "unknown";
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const { statusCode, code } = Object.assign({ statusCode: undefined, code: undefined }, error);
  return [statusCode, code].filter((part) => part !== undefined).join("/") || error.name;
}
