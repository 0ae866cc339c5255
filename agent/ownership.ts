import { setTimeout } from "node:timers/promises";
import type { MidCallEvent } from "./events.ts";
import type { Replicas } from "./replicas.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface OwnershipOptions {
  readonly replicas: Replicas;
  readonly callId: string;
  /** The name of this replica. */
  readonly owner: string;
  /** What a successor has to know; asked for at every renewal. */
  readonly note: () => string;
  readonly logger: Logger;
  /** Called with every event that reached another replica first. */
  readonly onEvent: (event: MidCallEvent) => void;
  /** Called when another replica has taken the call. */
  readonly onLost: () => void;
  readonly pause?: Pause;
}

/** Resolves with true after that time, with false at once when aborted. */
export type Pause = (durationMs: number, options: { signal: AbortSignal }) => Promise<boolean>;

/** A replica that is killed is found out after this long. */
export const LEASE_MS = 15_000;
export const RENEW_MS = 5000;
/** After a renewal that failed; soon, so that a short failure of the directory costs no lease. */
export const RETRY_MS = 1000;

/**
 * That this replica runs a call: its claim in the directory, renewed while the call lasts, and what
 * the others forward to it. A directory that fails costs the forwarding, never the call; one that
 * says that another replica has the call ends it here.
 */
export class Ownership implements AsyncDisposable {
  /** Resolves when the call has been claimed for the first time, or that has failed. Never rejects. */
  readonly claimed: Promise<unknown>;
  readonly #options: OwnershipOptions;
  readonly #ended = new AbortController();
  readonly #work: Promise<unknown>;
  readonly #pause: Pause;
  #isLost = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#pause = options.pause ?? pause;
    this.claimed = this.#claim();
    this.#work = this.claimed.then(() => Promise.all([this.#renew(), this.#read()]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { replicas, callId, owner } = this.#options;
    this.#ended.abort();
    await this.#work;
    if (this.#isLost) return;
    await this.#attempt(async () => {
      await replicas.inbox.close(callId);
      await replicas.directory.release(callId, owner);
    });
  }

  /**
   * Renews the claim. False when another replica has the call: this one must not touch it again. A
   * directory that fails cannot have given it to anybody.
   */
  async confirm(): Promise<boolean> {
    await this.#claim();
    return !this.#isLost;
  }

  async #claim(): Promise<boolean> {
    const { replicas, callId, owner, note, onLost } = this.#options;
    if (this.#isLost) return true;
    return this.#attempt(async () => {
      const lease = { owner, leaseMs: LEASE_MS, note: note() };
      if ((await replicas.directory.claim(callId, lease)) || this.#isLost) return;
      this.#isLost = true;
      this.#ended.abort();
      onLost();
    });
  }

  async #renew(): Promise<void> {
    let succeeded = true;
    while (await this.#pause(succeeded ? RENEW_MS : RETRY_MS, this.#ended)) {
      succeeded = await this.#claim();
    }
  }

  async #read(): Promise<void> {
    const { replicas, callId, owner, onEvent } = this.#options;
    const { signal } = this.#ended;
    do {
      await this.#attempt(async () => {
        for await (const letter of replicas.inbox.read(callId, { owner, signal })) {
          onEvent(JSON.parse(letter) as MidCallEvent);
        }
      });
    } while (await this.#pause(RETRY_MS, this.#ended));
  }

  #attempt(work: () => Promise<void>): Promise<boolean> {
    return attempt(work, this.#options.logger);
  }
}

/** Work on the directory or the inbox; false when it failed. */
export async function attempt(work: () => Promise<void>, logger: Logger): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    logger.warn({ err: describeError(error) }, "call directory failed");
    return false;
  }
}

export const pause: Pause = (durationMs, { signal }) =>
  setTimeout(durationMs, true, { signal }).catch(() => false);
