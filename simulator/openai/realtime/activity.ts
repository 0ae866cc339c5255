/** What the detector made out, in milliseconds of audio since the session began. */
export interface Activity {
  readonly type: "started" | "stopped";
  readonly atMs: number;
}

export interface ActivityOptions {
  /** `threshold` of `server_vad`, 0 … 1. */
  readonly threshold: number;
  /** Silence that ends a turn. */
  readonly silenceMs: number;
}

const FRAME_MS = 20;
const FULL_SCALE = 32_768;
const SILENCE_DBFS = -96;
/** A click is no speech: so many frames in a row begin a turn. */
const ONSET_FRAMES = 3;
/** What is louder than this from the start is no background. */
const LOUDEST_FLOOR_DBFS = -30;
/** How fast the estimate of the background rises while somebody speaks; it falls at once. */
const FLOOR_RISE_DB_PER_FRAME = 0.02;

/**
 * Voice activity by energy: speech is what is loud enough, and stands out from the background. It
 * counts audio, not time. The service uses a model; what its threshold means in decibels is an
 * assumption: 0 is -60 dBFS and 6 dB above the background, 1 is -20 dBFS and 18 dB.
 */
export class ActivityDetector {
  readonly #levelDbfs: number;
  readonly #marginDb: number;
  readonly #silenceFrames: number;
  #carry = new Int16Array(0);
  #frames: number;
  #floorDbfs = LOUDEST_FLOOR_DBFS;
  #active = 0;
  #quiet = 0;
  #speaking = false;

  constructor({ threshold, silenceMs }: ActivityOptions, startMs: number) {
    this.#levelDbfs = -60 + 40 * threshold;
    this.#marginDb = 6 + 12 * threshold;
    this.#silenceFrames = Math.max(1, Math.round(silenceMs / FRAME_MS));
    this.#frames = Math.round(startMs / FRAME_MS);
  }

  get speaking(): boolean {
    return this.#speaking;
  }

  /** Chunks of any size. */
  accept(samples: Int16Array, rateHz: number): Activity[] {
    const joined = new Int16Array(this.#carry.length + samples.length);
    joined.set(this.#carry);
    joined.set(samples, this.#carry.length);
    const length = (rateHz * FRAME_MS) / 1000;
    const found: Activity[] = [];
    let offset = 0;
    for (; offset + length <= joined.length; offset += length) {
      const change = this.#judge(levelOf(joined.subarray(offset, offset + length)));
      if (change !== undefined) found.push(change);
    }
    this.#carry = joined.slice(offset);
    return found;
  }

  #judge(levelDbfs: number): Activity | undefined {
    this.#frames += 1;
    this.#floorDbfs = Math.min(levelDbfs, this.#floorDbfs + FLOOR_RISE_DB_PER_FRAME);
    const loud = levelDbfs > Math.max(this.#levelDbfs, this.#floorDbfs + this.#marginDb);
    this.#active = loud ? this.#active + 1 : 0;
    this.#quiet = loud ? 0 : this.#quiet + 1;
    if (!this.#speaking && this.#active >= ONSET_FRAMES) return this.#turn("started", ONSET_FRAMES);
    if (this.#speaking && this.#quiet >= this.#silenceFrames) return this.#turn("stopped", 0);
    return undefined;
  }

  #turn(type: Activity["type"], framesAgo: number): Activity {
    this.#speaking = type === "started";
    return { type, atMs: (this.#frames - framesAgo) * FRAME_MS };
  }
}

function levelOf(frame: Int16Array): number {
  let sum = 0;
  for (const sample of frame) sum += (sample / FULL_SCALE) ** 2;
  const power = sum / frame.length;
  return power === 0 ? SILENCE_DBFS : Math.max(SILENCE_DBFS, 10 * Math.log10(power));
}
