import type { Trace } from "../../simulator/trace.ts";
import { toFailure } from "./failure.ts";

export interface StepsOptions {
  readonly trace: Trace;
  readonly traceFile: string;
  /** Ends every step when the scenario is over. */
  readonly signal: AbortSignal;
  /** Tells the reporter what runs now. */
  readonly announce: (title: string) => void;
}

/** Runs a scenario's steps: each has a title, a deadline and a failure that explains itself. */
export class Steps {
  readonly #options: StepsOptions;

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  async run<Result>(
    title: string,
    action: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { trace, traceFile, signal, announce } = this.#options;
    trace.record("scenario", { type: "step", title, outcome: "begin" });
    announce(title);
    try {
      signal.throwIfAborted();
      const result = await action(signal);
      trace.record("scenario", { type: "step", title, outcome: "pass" });
      return result;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      trace.record("scenario", { type: "step", title, outcome: "fail", detail });
      throw toFailure(error, { step: title, events: trace.events, traceFile });
    }
  }
}
