import type { Policy } from "./policy.ts";
import { refusal } from "./service-error.ts";

/** Operations that exclude each other within one call. */
export type MediaActionKind = "play" | "recognize";

interface Running {
  readonly kind: MediaActionKind;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/**
 * The one place of a call where a prompt is played or an answer is awaited. A second operation is
 * refused (400/8500, or 412/8583 for another kind), waits, or cancels the first.
 */
export class MediaActions {
  readonly #policy: Policy["mediaOperations"];
  readonly #running: Running[] = [];

  constructor(policy: Policy["mediaOperations"]) {
    this.#policy = policy;
  }

  /**
   * Takes the place. The result runs the operation when its turn has come; its signal aborts when
   * the operation is cancelled.
   */
  begin(
    kind: MediaActionKind,
    isInterrupting: boolean,
  ): (operation: (signal: AbortSignal) => Promise<void>) => Promise<void> {
    const before = this.#running.at(-1);
    if (isInterrupting) this.cancelAll();
    else if (before !== undefined && this.#policy === "refuse") {
      throw before.kind === kind ? refusal.mediaOperationActive() : refusal.incompatibleMedia();
    }
    const done = Promise.withResolvers<void>();
    const entry: Running = { kind, abort: new AbortController(), done: done.promise };
    this.#running.push(entry);
    return async (operation) => {
      await before?.done;
      try {
        await operation(entry.abort.signal);
      } finally {
        this.#running.splice(this.#running.indexOf(entry), 1);
        done.resolve();
      }
    };
  }

  /** Cancels what runs and what waits. */
  cancelAll(): void {
    for (const { abort } of this.#running) abort.abort(new Error("the operation was cancelled"));
  }
}
