import type { LabCall } from "../../simulator/lab.ts";
import type { Trace } from "../../simulator/trace.ts";
import { whyNotQuiet } from "./failure.ts";
import { type Heard, Hearing } from "./hearing.ts";
import type { Steps } from "./steps.ts";
import { audibleSpans, type BargeIn, bargeIns, longestGapWithin, responseTimes } from "./timing.ts";

/** How long a step waits before it fails, unless it is told otherwise. */
const STEP_TIMEOUT_MS = 15_000;

export interface WithinOptions {
  /** Longest wait; default 15 s. */
  withinMs?: number;
}

export interface HearsOptions extends WithinOptions {
  /** The words count while they are still being spoken: for a caller who interrupts. */
  asTheyAreSpoken?: boolean;
}

/** One person's end of a call: what they hear, say and press. Every step waits by itself. */
export class Line {
  readonly #call: LabCall;
  readonly #hearing: Hearing;
  readonly #steps: Steps;
  readonly #trace: Trace;
  readonly #who: string;

  constructor(call: LabCall, { trace, steps }: { trace: Trace; steps: Steps }) {
    this.#call = call;
    this.#steps = steps;
    this.#trace = trace;
    this.#who = call.party === "phone" ? "customer" : "human agent";
    this.#hearing = new Hearing({ trace, party: call.party, call: call.id, ended: call.ended });
  }

  get id(): string {
    return this.#call.id;
  }

  /** Waits until these words came out of the line's earpiece: real audio, recognised. */
  hears(
    text: string,
    { withinMs = STEP_TIMEOUT_MS, ...options }: HearsOptions = {},
  ): Promise<Heard> {
    return this.#steps.run(`${this.#who} hears “${text}”`, (signal) =>
      this.#hearing.until(text, { timeoutMs: withinMs, signal, ...options }),
    );
  }

  /** Speaks: a text (recorded in `fixtures/audio`, else synthesised) or a WAV file's path. */
  says(text: string): Promise<void> {
    return this.#steps.run(`${this.#who} says “${text}”`, (signal) =>
      this.#call.say(text, { signal }),
    );
  }

  /** Plays a WAV file that is no speech to anybody: a tone, a cough. */
  plays(file: string): Promise<void> {
    return this.#steps.run(`${this.#who} plays ${file}`, (signal) =>
      this.#call.play(file, { signal }),
    );
  }

  /** Presses keys; they travel as RFC 4733 events. */
  presses(digits: string): Promise<void> {
    return this.#steps.run(`${this.#who} presses ${digits}`, (signal) =>
      this.#call.press(digits, { signal }),
    );
  }

  hangsUp(): Promise<void> {
    return this.#steps.run(`${this.#who} hangs up`, () => this.#call.hangUp());
  }

  /** Waits until the other side ended the call. */
  isEnded({ withinMs = STEP_TIMEOUT_MS }: WithinOptions = {}): Promise<void> {
    return this.#steps.run(`the ${this.#who}'s call ends`, (signal) =>
      this.#call.waitForEnd({ signal, timeoutMs: withinMs }),
    );
  }

  /** True while the call is up. */
  get isUp(): boolean {
    return !this.#call.ended.aborted;
  }

  /** Every phrase heard on this line, in order. */
  get transcript(): string {
    return this.#hearing.transcript;
  }

  /** For each thing said on this line: ms until the reply began, measured on the line's own audio. */
  get responseTimesMs(): readonly number[] {
    const { said, heard } = this.#spans();
    return responseTimes(said, heard);
  }

  /** The times this line spoke over the other side, and how long that could still be heard. */
  get bargeIns(): readonly BargeIn[] {
    const { said, heard } = this.#spans(120);
    return bargeIns(said, heard);
  }

  /** The link that did not carry a barge-in through, from what crossed the wires after it. */
  whyNotQuiet(bargeIn: BargeIn): string {
    return whyNotQuiet(this.#trace.events, bargeIn);
  }

  /** The longest hole within something that was heard on this line, in ms; between utterances none counts. */
  get longestGapMs(): number {
    return longestGapWithin(this.#call.gaps, this.#spans().heard);
  }

  #spans(joinMs?: number) {
    return {
      said: audibleSpans(this.#call.said()),
      heard: audibleSpans(this.#call.heard(), joinMs),
    };
  }
}
