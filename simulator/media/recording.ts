import type { Audio } from "./frame.ts";
import type { StereoAudio } from "./wav.ts";

const DEFAULT_LIMIT_MS = 30 * 60_000;
/** A forwarded packet may come a little late without a hole being meant. */
const TOLERANCE_MS = 40;

/** What one direction of a leg carried, on the lab's time line; pauses are filled with silence. */
export interface Recording {
  /** Everything so far (a copy). */
  audio(): Audio;
  /** Lab time of the first sample; `undefined` while there is none. */
  readonly startedAtMs: number | undefined;
  readonly durationMs: number;
  /** True when the limit was reached and later audio was not kept. */
  readonly truncated: boolean;
}

/** Mono PCM that grows by {@link Recorder.append}. */
export class Recorder implements Recording {
  readonly rateHz: number;
  readonly #limit: number;
  #samples: Int16Array;
  #length = 0;
  #startedAtMs: number | undefined;
  #truncated = false;

  constructor({ rateHz = 8_000, limitMs = DEFAULT_LIMIT_MS } = {}) {
    this.rateHz = rateHz;
    this.#limit = Math.floor((limitMs * rateHz) / 1_000);
    this.#samples = new Int16Array(Math.min(this.#limit, rateHz * 10));
  }

  get startedAtMs(): number | undefined {
    return this.#startedAtMs;
  }

  get durationMs(): number {
    return (this.#length / this.rateHz) * 1_000;
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  audio(): Audio {
    return { samples: this.#samples.slice(0, this.#length), rateHz: this.rateHz };
  }

  /** `atMs` is the time of the first sample; a hole since the last append becomes silence. */
  append(samples: Int16Array, atMs: number): void {
    this.#startedAtMs ??= atMs;
    const due = Math.round(((atMs - this.#startedAtMs) * this.rateHz) / 1_000);
    const hole = due - this.#length;
    const start = hole > (TOLERANCE_MS * this.rateHz) / 1_000 ? due : this.#length;
    const end = Math.min(start + samples.length, this.#limit);
    if (start + samples.length > this.#limit) this.#truncated = true;
    if (end <= start) return;
    if (end > this.#samples.length) this.#grow(end);
    this.#samples.set(samples.subarray(0, end - start), start);
    this.#length = end;
  }

  #grow(needed: number): void {
    const grown = new Int16Array(Math.min(this.#limit, Math.max(needed, this.#samples.length * 2)));
    grown.set(this.#samples.subarray(0, this.#length));
    this.#samples = grown;
  }
}

/**
 * A leg on one time line: what it said on the left, what it heard on the right. `startedAtMs` is
 * the lab time of the first sample of either.
 */
export function legAudio(said: Recording, heard: Recording): StereoAudio & { startedAtMs: number } {
  const starts = [said, heard].map(({ startedAtMs }) => startedAtMs ?? Number.POSITIVE_INFINITY);
  const startedAtMs = Math.min(...starts);
  if (!Number.isFinite(startedAtMs)) {
    return { left: said.audio(), right: heard.audio(), startedAtMs: 0 };
  }
  return { left: from(startedAtMs, said), right: from(startedAtMs, heard), startedAtMs };
}

function from(startMs: number, recording: Recording): Audio {
  const { samples, rateHz } = recording.audio();
  const lead = Math.round((((recording.startedAtMs ?? startMs) - startMs) * rateHz) / 1_000);
  const padded = new Int16Array(lead + samples.length);
  padded.set(samples, lead);
  return { samples: padded, rateHz };
}
