/** Below this amplitude (-44 dBFS) nothing of a voice is heard on a telephone. */
const QUIET_AMPLITUDE = 200;
/** Kept before the first sound: a voice begins softer than it is. */
const KEPT_MS = 10;
/** A longer silence is meant. */
const LONGEST_CUT_MS = 400;

/**
 * Cuts the silence off the beginning of one utterance: synthesised speech starts with some, which a
 * caller who waits for an answer would have to wait for as well. 16-bit little-endian mono PCM.
 */
export class LeadSilence {
  readonly #bytesPerMs: number;
  #leftBytes: number;
  #cutBytes = 0;
  #begun = false;

  constructor(rateHz: number) {
    this.#bytesPerMs = (rateHz * 2) / 1000;
    this.#leftBytes = LONGEST_CUT_MS * this.#bytesPerMs;
  }

  /** How much has been cut off so far. */
  get cutMs(): number {
    return this.#cutBytes / this.#bytesPerMs;
  }

  /** What is to be played of the next piece; nothing while it is silent. */
  cut(samples: Uint8Array): Uint8Array {
    if (this.#begun) return samples;
    const sound = firstSound(samples);
    const kept = KEPT_MS * this.#bytesPerMs;
    const quiet = Math.max(0, (sound ?? samples.length) - kept);
    const length = Math.min(quiet, this.#leftBytes) & ~1;
    this.#begun = sound !== undefined || length < quiet;
    this.#cutBytes += length;
    this.#leftBytes -= length;
    return samples.subarray(length);
  }
}

/** Byte offset of the first audible sample. */
function firstSound(samples: Uint8Array): number | undefined {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  for (let offset = 0; offset + 1 < samples.length; offset += 2) {
    if (Math.abs(view.getInt16(offset, true)) > QUIET_AMPLITUDE) return offset;
  }
  return undefined;
}
