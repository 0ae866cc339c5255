import type { Audio } from "./frame.ts";
import type { StereoAudio } from "./wav.ts";

const DEFAULT_LIMIT_MS = 30 * 60_000;
/** A forwarded packet may come a little late without a hole being meant. */
const TOLERANCE_MS = 40;
/** Kept in pieces: one that grows is copied again and again, and all calls' at the same time. */
const PIECE_MS = 2_000;

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
  readonly #pieceSamples: number;
  /** None where nothing was appended. */
  readonly #pieces: (Int16Array | undefined)[] = [];
  #length = 0;
  #startedAtMs: number | undefined;
  #truncated = false;

  constructor({ rateHz = 8_000, limitMs = DEFAULT_LIMIT_MS } = {}) {
    this.rateHz = rateHz;
    this.#limit = Math.floor((limitMs * rateHz) / 1_000);
    this.#pieceSamples = (PIECE_MS * rateHz) / 1_000;
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
    const samples = new Int16Array(this.#length);
    for (const [index, piece] of this.#pieces.entries()) {
      const at = index * this.#pieceSamples;
      if (piece !== undefined) samples.set(piece.subarray(0, this.#length - at), at);
    }
    return { samples, rateHz: this.rateHz };
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
    this.#store(samples.subarray(0, end - start), start);
    this.#length = end;
  }

  #store(samples: Int16Array, start: number): void {
    for (let taken = 0; taken < samples.length; ) {
      const index = Math.floor((start + taken) / this.#pieceSamples);
      const piece = (this.#pieces[index] ??= new Int16Array(this.#pieceSamples));
      const at = start + taken - index * this.#pieceSamples;
      const part = samples.subarray(taken, taken + this.#pieceSamples - at);
      piece.set(part, at);
      taken += part.length;
    }
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
