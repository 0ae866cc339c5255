import { createHash } from "node:crypto";
import type { MidCallEvent } from "./events.ts";
import { attempt, LEASE_MS, type Pause, pause, RENEW_MS, RETRY_MS } from "./ownership.ts";
import type { Holder, Replicas } from "./replicas.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface TakeoverOptions {
  readonly replicas: Replicas;
  /** The name of this replica. */
  readonly owner: string;
  readonly logger: Logger;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Called with a call that this replica holds from now on. */
  readonly onTaken: (call: Holder) => void;
  readonly pause?: Pause;
}

/** What became of events that reached a replica which does not run their call. */
export type Forwarding = "delivered" | "unknown" | "unavailable";

/** The service says so when it has given up on a call's media socket, or was told to. */
const MEDIA_IS_GONE: ReadonlySet<string> = new Set([
  "MediaStreamingFailed",
  "MediaStreamingStopped",
]);
/** A replica that is there takes an event within milliseconds. */
const ACKNOWLEDGE_MS = 1000;

/**
 * What this replica does about the calls of others: it sends their events on, and takes over the
 * calls of a replica that is gone. Gone is one whose lease ran out, or, much sooner, one that does
 * not take the news that its call's media socket is lost: that caller hears nothing already.
 */
export class Takeover implements AsyncDisposable {
  readonly #options: TakeoverOptions;
  readonly #ended = new AbortController();
  readonly #watching: Promise<void>;
  readonly #vigils = new Set<Promise<void>>();
  readonly #pause: Pause;

  constructor(options: TakeoverOptions) {
    this.#options = options;
    this.#pause = options.pause ?? pause;
    this.#watching = this.#watch();
  }

  /** Takes nothing over any more; goes on forwarding. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.all([this.#watching, ...this.#vigils]);
  }

  /** Sends events to whoever runs their call. Never rejects. */
  async forward(callId: string, events: readonly MidCallEvent[]): Promise<Forwarding> {
    const { directory, inbox } = this.#options.replicas;
    try {
      const holder = await directory.holder(callId);
      if (holder === undefined) return "unknown";
      for (const event of events) {
        const isNew = await inbox.post(callId, idOf(event), JSON.stringify(event));
        if (isNew && MEDIA_IS_GONE.has(event.type)) this.#suspect(holder);
      }
      return "delivered";
    } catch (error) {
      this.#options.logger.warn({ err: describeError(error) }, "event could not be forwarded");
      return "unavailable";
    }
  }

  /** Gives the owner time to take its events; one that does not is gone. */
  #suspect(holder: Holder): void {
    const { replicas, logger } = this.#options;
    const vigil = (async () => {
      if (!(await this.#pause(ACKNOWLEDGE_MS, this.#ended))) return;
      await attempt(async () => {
        if ((await replicas.inbox.backlog(holder.callId)) > 0) await this.#take(holder);
      }, logger);
    })();
    this.#vigils.add(vigil);
    void vigil.finally(() => this.#vigils.delete(vigil));
  }

  /**
   * Looks for leases that ran out. Those of living replicas run out, too, while the directory fails:
   * after a failure, and at the start, they are given the time to renew them.
   */
  async #watch(): Promise<void> {
    const { replicas, now, logger } = this.#options;
    let succeeded = true;
    let reliableSince = now();
    while (await this.#pause(succeeded ? RENEW_MS : RETRY_MS, this.#ended)) {
      succeeded = await attempt(async () => {
        const orphans = await replicas.directory.orphans();
        if (now() - reliableSince < LEASE_MS) return;
        for (const orphan of orphans) await this.#take(orphan);
      }, logger);
      if (!succeeded) reliableSince = now();
    }
  }

  async #take(holder: Holder): Promise<void> {
    const { replicas, owner, logger, onTaken } = this.#options;
    const { callId, note, owner: replaces } = holder;
    const lease = { owner, leaseMs: LEASE_MS, note, replaces };
    if (this.#ended.signal.aborted || replaces === owner) return;
    if (!(await replicas.directory.claim(callId, lease))) return;
    logger.warn({ callId }, "the call of a lost replica is taken over");
    onTaken(holder);
  }
}

/** CloudEvents have an id; what has none is the same event when it says the same. */
function idOf(event: MidCallEvent): string {
  if (event.id !== "") return event.id;
  return createHash("sha256").update(JSON.stringify(event)).digest("base64");
}
