import type { Clock } from "./clock.ts";

/** Nothing came within the deadline. */
export class WaitTimeout extends Error {
  override readonly name = "WaitTimeout";
  readonly code = "WAIT_TIMEOUT";
}

export interface WaitingOptions {
  clock: Clock;
  /** What is awaited, for messages: "call at +14255550100". */
  what: string;
  /** Items kept while nobody waits. */
  limit: number;
  /** At the limit the oldest item makes room, instead of the new one being refused. */
  dropOldest?: boolean;
}

/** Items that arrive and callers that wait for them, each served once and in order. */
export class Waiting<Item> {
  readonly #options: WaitingOptions;
  readonly #items: Item[] = [];
  readonly #takers = new Set<PromiseWithResolvers<Item>>();
  #seen = 0;

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  /** False when the limit is reached and nobody waits: the item was not taken. */
  push(item: Item): boolean {
    this.#seen += 1;
    const [taker] = this.#takers;
    if (taker !== undefined) {
      this.#takers.delete(taker);
      taker.resolve(item);
      return true;
    }
    const { limit, dropOldest = false } = this.#options;
    if (this.#items.length >= limit && !dropOldest) return false;
    if (this.#items.length >= limit) this.#items.shift();
    this.#items.push(item);
    return true;
  }

  /** Takes back an item that nobody has taken yet. */
  remove(item: Item): void {
    const index = this.#items.indexOf(item);
    if (index >= 0) this.#items.splice(index, 1);
  }

  /** Rejects with {@link WaitTimeout} or the signal's reason. Default: waits 10 s. */
  async next({ signal, timeoutMs = 10_000 }: { signal?: AbortSignal; timeoutMs?: number } = {}) {
    signal?.throwIfAborted();
    const item = this.#items.shift();
    if (item !== undefined) return item;
    const { clock, what } = this.#options;
    const taker = Promise.withResolvers<Item>();
    this.#takers.add(taker);
    // Who gives up leaves the queue in the same breath: an item pushed right after is not for them.
    const giveUp = (reason: unknown) => {
      this.#takers.delete(taker);
      taker.reject(reason);
    };
    using _deadline = clock.after(timeoutMs, () =>
      giveUp(new WaitTimeout(`no ${what} within ${timeoutMs} ms (${this.#seen} so far)`)),
    );
    const abort = () => giveUp(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await taker.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Everyone who still waits is told; what arrived and was not taken is forgotten. */
  close(): void {
    this.#items.length = 0;
    for (const taker of this.#takers)
      taker.reject(new Error(`stopped waiting for a ${this.#options.what}`));
    this.#takers.clear();
  }
}
