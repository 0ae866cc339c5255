import { createHash, randomBytes, randomUUID } from "node:crypto";
import { CallAutomationClient } from "@azure/communication-call-automation";
import type { WebSocket } from "ws";
import { Call } from "./call.ts";
import { type CallSessionOptions, rescueCall, runCall } from "./call-session.ts";
import type { Config } from "./config.ts";
import type { IncomingCall, MidCallEvent } from "./events.ts";
import type { Model } from "./llm.ts";
import { Ownership } from "./ownership.ts";
import type { PreparedSpeech } from "./prepared-voice.ts";
import type { Holder, Replicas } from "./replicas.ts";
import type { Store } from "./store.ts";
import { type Forwarding, Takeover } from "./takeover.ts";
import { describeError, type Logger } from "./telemetry.ts";
import { countTakeover } from "./tracing.ts";

export interface CallsOptions {
  readonly config: Config;
  readonly store: Store;
  readonly model: Model;
  readonly phrases: ReadonlyMap<string, PreparedSpeech>;
  readonly logger: Logger;
  /** What this process shares with the others that answer the same number. */
  readonly replicas: Replicas;
  /** Base of media URLs: of this replica, because a socket cannot be forwarded. */
  readonly mediaUrl: () => string;
  /** Base of callback URLs, without a trailing slash. */
  readonly publicUrl: () => string;
  readonly ids?: () => string;
  readonly tokens?: () => string;
  readonly date: () => Date;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export interface DrainTimes {
  /** How long running calls go on. */
  readonly timeoutMs: number;
  /** How long those left then have to be handed over. */
  readonly farewellMs: number;
}

/** What became of an IncomingCall event. */
export type Reception = "accepted" | "duplicate" | "busy" | "draining";

/** An IncomingCall may be delivered again for minutes; nobody else may answer it meanwhile. */
const ANNOUNCED_MS = 600_000;
/** Calls remembered after their end, so that late events are recognised as late. */
const REMEMBERED = 1000;

/** What a successor has to know of a call; the directory keeps it as JSON. */
interface Note {
  readonly connectionId?: string | undefined;
  readonly incoming: IncomingCall;
}

type Work = (options: Omit<CallSessionOptions, "incoming">) => Promise<void>;

/** All calls of this process. Each runs by itself and shares nothing with the others. */
export class Calls implements AsyncDisposable {
  readonly #options: CallsOptions;
  readonly #client: CallAutomationClient;
  readonly #ids: () => string;
  readonly #tokens: () => string;
  /** The name of this replica. */
  readonly #owner: string;
  readonly #active = new Map<string, { call: Call; done: Promise<void> }>();
  readonly #byToken = new Map<string, Call>();
  readonly #remembered = new Set<string>();
  /** Calls on their way in, about which the directory is being asked. */
  readonly #receptions = new Set<Promise<Reception>>();
  readonly #takeover: Takeover;
  readonly #closing = new AbortController();
  #draining = false;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#ids = options.ids ?? randomUUID;
    this.#owner = this.#ids();
    this.#tokens = options.tokens ?? (() => randomBytes(32).toString("base64url"));
    const { connectionString, allowInsecureConnection, retryDelayMs } = options.config.acs;
    this.#client = new CallAutomationClient(connectionString, {
      allowInsecureConnection,
      // The SDK's default waits a second and more: longer than a caller listens to ringing.
      retryOptions: { maxRetries: 2, retryDelayInMs: retryDelayMs, maxRetryDelayInMs: 2000 },
    });
    const { replicas, logger, now } = options;
    const onTaken = (holder: Holder) => this.#rescue(holder);
    this.#takeover = new Takeover({ replicas, owner: this.#owner, logger, now, onTaken });
  }

  get size(): number {
    return this.#active.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Takes a ringing call. The same call announced again is recognised by its context. */
  async receive(incoming: IncomingCall): Promise<Reception> {
    const key = createHash("sha256").update(incoming.incomingCallContext).digest("base64");
    if (this.#remembered.has(key)) return "duplicate";
    if (this.#draining) return "draining";
    this.#remember(key);
    const reception = this.#take(incoming, key);
    this.#receptions.add(reception);
    try {
      return await reception;
    } finally {
      this.#receptions.delete(reception);
    }
  }

  async #take(incoming: IncomingCall, key: string): Promise<Reception> {
    if (!(await this.#isFirst(key))) return "duplicate";
    if (this.#active.size >= this.#options.config.service.maxCalls) {
      this.#reject(incoming);
      return "busy";
    }
    const { call, ownership } = this.#open(this.#ids(), incoming);
    this.#byToken.set(call.mediaToken, call);
    this.#run(call, ownership, (options) => runCall({ ...options, incoming }));
    return "accepted";
  }

  /** Without the directory it answers: the service lets nobody answer a call twice. */
  async #isFirst(key: string): Promise<boolean> {
    const { replicas, logger } = this.#options;
    try {
      return await replicas.directory.first(`announcement:${key}`, ANNOUNCED_MS);
    } catch (error) {
      logger.warn({ err: describeError(error) }, "call is answered without the directory");
      return true;
    }
  }

  /** `unknown` for a call nobody has; one that ended here lately is known. */
  async deliver(callId: string, events: readonly MidCallEvent[]): Promise<Forwarding> {
    const entry = this.#active.get(callId);
    if (entry !== undefined) {
      for (const event of events) entry.call.receive(event);
      return "delivered";
    }
    if (this.#remembered.has(callId)) return "delivered";
    return this.#takeover.forward(callId, events);
  }

  byMediaToken(token: string): Call | undefined {
    return this.#byToken.get(token);
  }

  attachMedia(call: Call, socket: WebSocket, connectionId: string | undefined): boolean {
    return call.attachMedia(socket, connectionId);
  }

  /**
   * Takes no new calls and waits for the running ones. Those left at the time-out go to a human, or
   * are told goodbye, for which they have `farewellMs`; then they are hung up. Without a farewell
   * that is at once.
   */
  async drain({ timeoutMs, farewellMs }: DrainTimes): Promise<void> {
    this.#draining = true;
    await this.#takeover[Symbol.asyncDispose]();
    await this.#allDone(timeoutMs);
    if (farewellMs > 0) {
      this.#closing.abort();
      await this.#allDone(farewellMs);
      // To hang up while a human's phone rings would take the caller away from both.
      const { transferTimeoutMs } = this.#options.config.escalation;
      await this.#allDone(transferTimeoutMs, ({ state }) => state === "transferring");
    }
    await Promise.all(Array.from(this.#active.values(), ({ call }) => call.hangUp()));
    await this.#allDone();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain({ timeoutMs: 0, farewellMs: 0 });
  }

  /**
   * Resolves when every call that counts is over, also one that comes in meanwhile, or at the
   * time-out.
   */
  async #allDone(timeoutMs?: number, counts = (_call: Call) => true): Promise<void> {
    const { promise: isLate, resolve } = Promise.withResolvers<true>();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve(true), timeoutMs);
    let late = false;
    while (!late) {
      const calls = Array.from(this.#active.values()).filter(({ call }) => counts(call));
      const left: Promise<unknown>[] = [...this.#receptions, ...calls.map(({ done }) => done)];
      if (left.length === 0) break;
      late = await Promise.race([isLate, Promise.all(left).then(() => false)]);
    }
    clearTimeout(timer);
  }

  /** The call of a replica that is gone, which this one holds now. */
  #rescue({ callId, note }: Holder): void {
    countTakeover();
    const { connectionId, incoming } = JSON.parse(note) as Note;
    const { call, ownership } = this.#open(callId, incoming, (event) => {
      call.adopt(event.callConnectionId);
      call.receive(event);
    });
    call.adopt(connectionId ?? "");
    this.#run(call, ownership, (options) => rescueCall({ ...options, incoming }));
  }

  #open(id: string, incoming: IncomingCall, onEvent?: (event: MidCallEvent) => void) {
    const { replicas } = this.#options;
    const logger = this.#options.logger.child({ callId: id });
    const call = new Call({
      id,
      mediaToken: this.#tokens(),
      client: this.#client,
      logger,
      isOurs: () => ownership.confirm(),
    });
    // The context that answers is of no use any more, and kilobytes long.
    const kept = { ...incoming, incomingCallContext: "" };
    const ownership = new Ownership({
      replicas,
      callId: id,
      owner: this.#owner,
      note: () => JSON.stringify({ connectionId: call.connectionId, incoming: kept }),
      logger,
      onEvent: onEvent ?? ((event) => call.receive(event)),
      onLost: () => call.letGo(),
    });
    // By it a successor finds the call, so it is noted as soon as it is known.
    void call.connected.then(() => ownership.confirm());
    return { call, ownership };
  }

  #run(call: Call, ownership: Ownership, work: Work): void {
    const done = this.#attend(call, ownership, work).catch((error: unknown) => {
      // One call's fault must not end the process, and every other call with it.
      this.#options.logger.error({ callId: call.id, err: describeError(error) }, "call broke");
    });
    this.#active.set(call.id, { call, done });
  }

  async #attend(call: Call, ownership: Ownership, work: Work): Promise<void> {
    await using _ownership = ownership;
    try {
      // No event of the call may reach another replica before the directory knows whose it is.
      await ownership.claimed;
      await work(this.#sessionOf(call));
    } finally {
      this.#byToken.delete(call.mediaToken);
      this.#active.delete(call.id);
      this.#remember(call.id);
    }
  }

  #sessionOf(call: Call): Parameters<Work>[0] {
    const { config, store, model, phrases, publicUrl, mediaUrl, date, now } = this.#options;
    return {
      call,
      config,
      store,
      model,
      phrases,
      callbackUrl: `${publicUrl()}/callbacks/${call.id}`,
      mediaUrl: `${mediaUrl().replace(/^http/, "ws")}/media/${call.mediaToken}`,
      logger: this.#options.logger.child({ callId: call.id }),
      ids: this.#ids,
      date,
      now,
      closing: this.#closing.signal,
    };
  }

  #reject({ incomingCallContext }: IncomingCall): void {
    const { logger } = this.#options;
    logger.warn({ activeCalls: this.#active.size }, "call rejected: too many calls");
    this.#client
      .rejectCall(incomingCallContext, { callRejectReason: "busy" })
      .catch((error: unknown) =>
        logger.warn({ err: describeError(error) }, "rejection was refused"),
      );
  }

  #remember(key: string): void {
    this.#remembered.add(key);
    const oldest = this.#remembered.values().next();
    if (this.#remembered.size > REMEMBERED && !oldest.done) this.#remembered.delete(oldest.value);
  }
}
