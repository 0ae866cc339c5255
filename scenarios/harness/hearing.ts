import type { HeardEvent, Trace, TraceEvent } from "../../simulator/trace.ts";
import { contains } from "./words.ts";

/** One thing that the ear on a line made out, with its place in the line's audio. */
export interface Heard {
  readonly text: string;
  readonly known: boolean;
  readonly startMs: number;
  readonly endMs: number;
}

export interface HearOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** True: the words count as soon as a hypothesis has them, while they are still being spoken. */
  readonly asTheyAreSpoken?: boolean;
}

/** The words did not come. Carries what came instead. */
export class NotHeard extends Error {
  readonly code = "NOT_HEARD";
  override readonly name = "NotHeard";
  readonly expected: string;
  readonly heard: readonly Heard[];

  constructor(message: string, expected: string, heard: readonly Heard[]) {
    super(message);
    this.expected = expected;
    this.heard = heard;
  }
}

type HeardRecord = TraceEvent & HeardEvent;

export interface HearingOptions {
  trace: Trace;
  /** The line: the trace's party and call id. */
  party: "phone" | "human";
  call: string;
  /** Aborted when the call is over; its reason says how it ended. */
  ended: AbortSignal;
}

/**
 * What one end of a call hears, in order. Each expectation looks behind the one before it, so a
 * sentence said twice has to be expected twice.
 */
export class Hearing {
  readonly #options: HearingOptions;
  #cursor = 0;

  constructor(options: HearingOptions) {
    this.#options = options;
  }

  /** Everything heard since the last expectation that was met. */
  get unexpected(): readonly Heard[] {
    return this.#records()
      .filter((event) => event.kind === "phrase" || event.kind === "noMatch")
      .map(toHeard);
  }

  /** Every phrase heard since the call began, in order. */
  get transcript(): string {
    return this.#all()
      .filter((event) => event.kind === "phrase")
      .map((event) => event.text)
      .join(" ");
  }

  /** Waits until the line has heard `expected`, at most `timeoutMs`. Rejects with {@link NotHeard}. */
  async until(expected: string, options: HearOptions): Promise<Heard> {
    const { timeoutMs, signal, asTheyAreSpoken = false } = options;
    const { trace, ended } = this.#options;
    let found = this.#find(expected, asTheyAreSpoken);
    if (found !== undefined) return found;
    const refuse = (why: string) =>
      new NotHeard(`did not hear “${expected}”: ${why}`, expected, this.unexpected);
    if (ended.aborted) throw refuse(`the call is over (${String(ended.reason)})`);
    const isIt = (event: TraceEvent) => {
      // Once it is found the cursor is behind it, and what follows in the same turn would not be it.
      if (this.#isHere(event)) found ??= this.#find(expected, asTheyAreSpoken);
      return found !== undefined;
    };
    try {
      await trace.waitFor(isIt, {
        timeoutMs,
        what: `“${expected}”`,
        from: trace.events.length,
        signal: AbortSignal.any([signal, ended]),
      });
    } catch (error) {
      if (ended.aborted) throw refuse(`the call is over (${String(ended.reason)})`);
      if (signal.aborted) throw refuse(`the scenario is over (${String(signal.reason)})`);
      if (!(error instanceof Error && error.name === "TraceTimeout")) throw error;
    }
    if (found === undefined) throw refuse(`not within ${timeoutMs} ms`);
    return found;
  }

  #records(): HeardRecord[] {
    return this.#all(this.#cursor);
  }

  #all(from = 0): HeardRecord[] {
    const { trace } = this.#options;
    return trace.events.slice(from).filter((event) => this.#isHere(event));
  }

  #isHere(event: TraceEvent): event is HeardRecord {
    const { party, call } = this.#options;
    return event.type === "heard" && event.party === party && event.call === call;
  }

  #find(expected: string, asTheyAreSpoken: boolean): Heard | undefined {
    const records = this.#records();
    const phrases = records.filter((event) => event.kind === "phrase");
    const last = phrases.find((_, index) =>
      contains(
        phrases
          .slice(0, index + 1)
          .map((phrase) => phrase.text)
          .join(" "),
        expected,
      ),
    );
    const partial = asTheyAreSpoken
      ? records.find((event) => event.kind === "hypothesis" && contains(event.text, expected))
      : undefined;
    const found = last ?? partial;
    if (found === undefined) return undefined;
    this.#cursor = this.#options.trace.events.indexOf(found) + 1;
    return toHeard(found);
  }
}

function toHeard({ text, kind, startMs, endMs }: HeardEvent): Heard {
  return { text, known: kind !== "noMatch", startMs, endMs };
}
