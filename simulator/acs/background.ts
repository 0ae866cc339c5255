import type { PartyTrace } from "../trace.ts";

/**
 * The owner of work that goes on after its request was answered. Failures are traced; disposal
 * aborts the signal every task gets and waits for all of them.
 */
export class Background implements AsyncDisposable {
  readonly #tasks = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  readonly #trace: PartyTrace;

  constructor(trace: PartyTrace) {
    this.#trace = trace;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  run(what: string, task: (signal: AbortSignal) => Promise<unknown>): void {
    const done = this.#guard(what, task).finally(() => this.#tasks.delete(done));
    this.#tasks.add(done);
  }

  async #guard(what: string, task: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    try {
      await task(this.signal);
    } catch (error) {
      this.#failed(what, error);
    }
  }

  #failed(what: string, error: unknown): void {
    if (this.signal.aborted) return;
    this.#trace.record({
      type: "error",
      code: "ACS_INTERNAL",
      message: `${what}: ${String(error)}`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the ACS emulator is closing"));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }
}

/** What `promise` resolves to, or undefined when `signal` aborts first. */
export async function settledBefore<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value | undefined> {
  if (signal.aborted) return undefined;
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const abort = () => resolve(undefined);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
