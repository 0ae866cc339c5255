import { setImmediate } from "node:timers/promises";
import type { Pause } from "../ownership.ts";

interface Waiter {
  readonly atMs: number;
  readonly wake: (isOver: boolean) => void;
}

/** Time that passes when the test says so. */
export class ManualTime {
  #nowMs = 0;
  readonly #waiters = new Set<Waiter>();

  readonly now = (): number => this.#nowMs;

  readonly pause: Pause = (durationMs, { signal }) => {
    if (signal.aborted) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { atMs: this.#nowMs + durationMs, wake: resolve };
    this.#waiters.add(waiter);
    signal.addEventListener("abort", () => resolve(false), { once: true });
    return promise.finally(() => this.#waiters.delete(waiter));
  };

  /** Second by second; what woke has done its work before the next one. */
  async pass(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await setImmediate();
    while (this.#nowMs < endMs) {
      this.#nowMs = Math.min(this.#nowMs + 1000, endMs);
      for (const { atMs, wake } of this.#waiters) if (atMs <= this.#nowMs) wake(true);
      await setImmediate();
    }
  }
}
