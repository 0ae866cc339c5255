import { FRAME_MS } from "../media/frame.ts";
import { Resampler } from "../media/resample.ts";
import type { PstnLeg } from "./pstn.ts";
import { SampleQueue } from "./sample-queue.ts";

/** The telephone side's rate, at which a call is mixed. */
export const BRIDGE_RATE_HZ = 8000;
export const FRAME_SAMPLES = (BRIDGE_RATE_HZ * FRAME_MS) / 1000;
/** What a leg keeps when the mixer takes over, so that it has something to say until then. */
const LEAD_SAMPLES = 2 * FRAME_SAMPLES;

/** Audio put into a call by something that is no telephone: the application's stream, a prompt. */
export interface AudioSource extends Disposable {
  readonly targets: readonly string[] | undefined;
  /** The participant who speaks by it; undefined for prompts. */
  readonly rawId: string | undefined;
  write(samples: Int16Array, rateHz: number): void;
  /** Drops what is queued; returns how many ms were dropped. */
  flush(): number;
  readonly queuedMs: number;
  /** Ms not taken because the queue was full. */
  readonly overflowMs: number;
}

interface SourceOptions {
  readonly targets: readonly string[] | undefined;
  readonly owner: string | undefined;
  readonly limitMs: number;
  readonly onDrop: (droppedMs: number) => void;
  readonly direct: () => PstnLeg | undefined;
  readonly legs: () => PstnLeg[];
  readonly close: () => void;
}

export class BridgeSource implements AudioSource {
  readonly targets: readonly string[] | undefined;
  readonly rawId: string | undefined;
  readonly #options: SourceOptions;
  readonly #queue = new SampleQueue();
  /** What was passed straight to a leg and may still wait there, newest last. */
  readonly #passed: { samples: Int16Array; rateHz: number }[] = [];
  #passedMs = 0;
  #passedTo: PstnLeg | undefined;
  #isFlowing = false;
  #lastLength = 0;
  #resampler: Resampler | undefined;
  #rateHz = BRIDGE_RATE_HZ;
  #overflowMs = 0;

  constructor(options: SourceOptions) {
    this.targets = options.targets;
    this.rawId = options.owner;
    this.#options = options;
  }

  get overflowMs(): number {
    return this.#overflowMs;
  }

  get queuedMs(): number {
    const legs = this.#options.legs().map((leg) => leg.queuedMs);
    return (this.#queue.length * 1000) / BRIDGE_RATE_HZ + Math.max(0, ...legs);
  }

  write(samples: Int16Array, rateHz: number): void {
    const durationMs = (samples.length * 1000) / rateHz;
    if (this.queuedMs + durationMs > this.#options.limitMs) {
      this.#overflowMs += durationMs;
      this.#options.onDrop(durationMs);
      return;
    }
    const leg = this.#options.direct();
    if (leg !== undefined) this.#pass(leg, samples, rateHz);
    else this.#queue.push(this.#resample(samples, rateHz));
  }

  /** The next frame for the mixer; nothing while it waits for more. */
  shift(): Int16Array {
    this.#isFlowing = this.#isFlowing ? this.#goesOn() : this.#begins();
    this.#lastLength = this.#isFlowing ? -1 : this.#queue.length;
    return this.#queue.shift(this.#isFlowing ? FRAME_SAMPLES : 0);
  }

  /** A writer in step with the clock may be this late; less is only played when no more comes. */
  #begins(): boolean {
    const { length } = this.#queue;
    return length >= 2 * FRAME_SAMPLES || (length > 0 && length === this.#lastLength);
  }

  /** Part of a frame waits for its rest, so that no gap is cut into the middle of a word. */
  #goesOn(): boolean {
    return this.#queue.length >= FRAME_SAMPLES;
  }

  flush(): number {
    const queuedMs = (this.#queue.clear() * 1000) / BRIDGE_RATE_HZ;
    this.#forgetPassed();
    // While mixing a leg holds a frame or two of everybody, and nothing that is ours alone.
    return queuedMs + (this.#options.direct()?.flush() ?? 0);
  }

  /** Hands over what waited for the mixer, once it is no longer needed. */
  release(): void {
    const leg = this.#options.direct();
    if (leg === undefined || this.#queue.length === 0) return;
    this.#pass(leg, this.#queue.shift(this.#queue.length), BRIDGE_RATE_HZ);
  }

  /**
   * Queues for the mixer what was passed to `leg` within the last `durationMs`, which the leg no
   * longer has; returns how much of it was this source's.
   */
  takeBack(leg: PstnLeg, durationMs: number): number {
    if (leg !== this.#passedTo) return 0;
    const tail = this.#tail(durationMs);
    this.#forgetPassed();
    this.#resampler = undefined;
    for (const { samples, rateHz } of tail) this.#queue.push(this.#resample(samples, rateHz));
    if (tail.length > 0 && this.#options.legs().includes(leg)) {
      leg.write(this.#queue.shift(LEAD_SAMPLES), BRIDGE_RATE_HZ);
    }
    return tail.reduce((sumMs, chunk) => sumMs + lengthMs(chunk), 0);
  }

  #tail(durationMs: number): { samples: Int16Array; rateHz: number }[] {
    const tail = [];
    let missingMs = durationMs;
    for (const { samples, rateHz } of this.#passed.toReversed()) {
      const count = Math.min(samples.length, Math.round((missingMs * rateHz) / 1000));
      if (count <= 0) break;
      tail.unshift({ samples: samples.subarray(samples.length - count), rateHz });
      missingMs -= (count * 1000) / rateHz;
    }
    return tail;
  }

  #pass(leg: PstnLeg, samples: Int16Array, rateHz: number): void {
    if (leg !== this.#passedTo) this.#forgetPassed();
    this.#passedTo = leg;
    leg.write(samples, rateHz);
    this.#passed.push({ samples, rateHz });
    this.#passedMs += lengthMs({ samples, rateHz });
    for (let [oldest] = this.#passed; oldest !== undefined; [oldest] = this.#passed) {
      if (this.#passedMs - lengthMs(oldest) < leg.queuedMs) break;
      this.#passedMs -= lengthMs(oldest);
      this.#passed.shift();
    }
  }

  #forgetPassed(): void {
    this.#passed.length = 0;
    this.#passedMs = 0;
  }

  [Symbol.dispose](): void {
    this.#options.close();
  }

  #resample(samples: Int16Array, rateHz: number): Int16Array {
    if (rateHz === BRIDGE_RATE_HZ) return samples;
    if (this.#resampler === undefined || rateHz !== this.#rateHz) {
      this.#resampler = new Resampler(rateHz, BRIDGE_RATE_HZ);
      this.#rateHz = rateHz;
    }
    return this.#resampler.process(samples);
  }
}

function lengthMs({ samples, rateHz }: { samples: Int16Array; rateHz: number }): number {
  return (samples.length * 1000) / rateHz;
}
