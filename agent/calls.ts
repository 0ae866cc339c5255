import { createHash, randomBytes, randomUUID } from "node:crypto";
import { CallAutomationClient } from "@azure/communication-call-automation";
import type { WebSocket } from "ws";
import { Call } from "./call.ts";
import { runCall } from "./call-session.ts";
import type { Config } from "./config.ts";
import type { IncomingCall, MidCallEvent } from "./events.ts";
import type { Model } from "./llm.ts";
import { claimAnswer, forward, Ownership } from "./ownership.ts";
import type { PreparedSpeech } from "./prepared-voice.ts";
import type { Replicas } from "./replicas.ts";
import type { Store } from "./store.ts";
import { describeError, type Logger } from "./telemetry.ts";

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
  readonly date?: () => Date;
  readonly now?: () => number;
}

/** What became of an IncomingCall event. */
export type Reception = "accepted" | "duplicate" | "busy" | "draining";

/** Calls remembered after their end, so that late events are recognised as late. */
const REMEMBERED = 1000;

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
  }

  get size(): number {
    return this.#active.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Takes a ringing call. The same call announced again is recognised by its context. */
  async receive(incoming: IncomingCall): Promise<Reception> {
    const { logger, config, replicas } = this.#options;
    const key = createHash("sha256").update(incoming.incomingCallContext).digest("base64");
    if (this.#remembered.has(key)) return "duplicate";
    if (this.#draining) return "draining";
    this.#remember(key);
    if (!(await claimAnswer(replicas, key, this.#owner))) return "duplicate";
    if (this.#active.size >= config.service.maxCalls) {
      this.#reject(incoming);
      return "busy";
    }
    const id = this.#ids();
    const call = new Call({
      id,
      mediaToken: this.#tokens(),
      client: this.#client,
      logger: logger.child({ callId: id }),
    });
    this.#byToken.set(call.mediaToken, call);
    this.#active.set(id, { call, done: this.#run(call, incoming) });
    return "accepted";
  }

  /** `unknown` for a call this process never had; a call that ended lately is known. */
  async deliver(callId: string, events: readonly MidCallEvent[]): Promise<"delivered" | "unknown"> {
    const entry = this.#active.get(callId);
    if (entry !== undefined) {
      for (const event of events) entry.call.receive(event);
      return "delivered";
    }
    if (this.#remembered.has(callId)) return "delivered";
    return (await forward(this.#options.replicas, callId, events)) ? "delivered" : "unknown";
  }

  byMediaToken(token: string): Call | undefined {
    return this.#byToken.get(token);
  }

  attachMedia(call: Call, socket: WebSocket, connectionId: string | undefined): boolean {
    return call.attachMedia(socket, connectionId);
  }

  /** Takes no new calls; waits for the running ones, and hangs up those left at the time-out. */
  async drain({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#draining = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([promise, this.#allDone()]);
    clearTimeout(timer);
    await Promise.all(Array.from(this.#active.values(), ({ call }) => call.hangUp()));
    await this.#allDone();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain({ timeoutMs: 0 });
  }

  async #allDone(): Promise<void> {
    await Promise.all(Array.from(this.#active.values(), ({ done }) => done));
  }

  async #run(call: Call, incoming: IncomingCall): Promise<void> {
    const {
      config,
      store,
      model,
      phrases,
      replicas,
      publicUrl,
      mediaUrl,
      date = () => new Date(),
      now = () => performance.now(),
    } = this.#options;
    const logger = this.#options.logger.child({ callId: call.id });
    await using _ownership = new Ownership({
      replicas,
      callId: call.id,
      owner: this.#owner,
      logger,
      onEvent: (event) => call.receive(event),
    });
    await runCall({
      call,
      incoming,
      config,
      store,
      model,
      phrases,
      callbackUrl: `${publicUrl()}/callbacks/${call.id}`,
      mediaUrl: `${mediaUrl().replace(/^http/, "ws")}/media/${call.mediaToken}`,
      logger,
      ids: this.#ids,
      date,
      now,
    });
    this.#byToken.delete(call.mediaToken);
    this.#active.delete(call.id);
    this.#remember(call.id);
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
