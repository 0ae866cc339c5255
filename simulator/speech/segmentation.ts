import { type FrameLevel, type History, LIMIT_FRAMES, PRE_ROLL_FRAMES } from "./front-end.ts";
import { BANDS, HOP_MS, HOP_SAMPLES } from "./spectrum.ts";

/** What the background sounds like, frozen when speech begins. */
export interface Noise {
  /** dB per band. */
  readonly bands: Float32Array;
  /** Mean square of pre-emphasised samples. */
  readonly power: number;
}

/** `restart`: what was taken for speech was the background of louder speech that began just now. */
export type SpeechChange = "none" | "onset" | "restart" | "end";

/** Speech lies this far (mean over bands, in dB) above the noise: at once, and smoothed. */
const ONSET_DB = 3.2;
const ONSET_SMOOTHED_DB = 2.1;
const SPEECH_SMOOTHED_DB = 1.65;
const NOISE_SMOOTHED_DB = 1.75;
const SMOOTHING = 0.3;
/** One band's share of the mean, at most. */
const LIMIT_BAND_DB = 30;
/** Below this nothing is speech; below the second it is digital silence and no noise either. */
const QUIET_DBFS = -52;
const DIGITAL_SILENCE_DBFS = -76;
/** Speech ends where it has fallen this far below its own peak. */
const BELOW_PEAK_DB = 20;
const ONSET_OF_FRAMES = 5;
const ONSET_FRAMES = 3;
/** The noise is known after this many frames; without noise (digital silence) after this time. */
const LEARNING_FRAMES = 20;
const LIMIT_LEARNING_FRAMES = 60;
/** While learning: a jump like this is speech that has begun already. */
const LEARNING_JUMP_DB = 12;
const NOISE_RATE = 0.03;
const LOWEST_NOISE_DB = -80;
const JUMP_DB = 9;
const JUMP_FRAMES = 15;
const JUMP_AFTER_FRAMES = 30;
const START_OF_NOISE_DB = -70;
/**
 * Sound without a pause that stays so much the same for so long is no speech: eighths of 800 ms of white
 * or pink noise differ by 4.2 dB (median; 5.2 dB in nine of ten cases) in the bands that differ most,
 * clean speech by far more: 20 dB in a number with a syllable each 200 ms, which in quarters is all alike.
 */
const STEADY_FRAMES = 80;
const STEADY_PARTS = 8;
const STEADY_PART = STEADY_FRAMES / STEADY_PARTS;
const STEADY_DB = 7;
const STEADY_BANDS = 4;

/**
 * Finds where speech begins and ends, relative to a noise floor that it follows band by band. It
 * stays calm in steady noise down to 5 dB below speech; babble and music it cannot tell from speech.
 */
export class Segmenter {
  readonly #silenceFrames: number;
  readonly #floor = new Float32Array(BANDS).fill(START_OF_NOISE_DB);
  #floorPower = 1e-8;
  #learned = 0;
  #seen = 0;
  #smoothed = 0;
  #level: number | undefined;
  #recent: boolean[] = [];
  #peak = 0;
  #peaks: number[] = [];
  #silent = 0;
  #voiced = 0;

  speaking = false;
  /** Of the current or last segment. */
  noise: Noise = { bands: this.#floor, power: this.#floorPower };
  /** History row after the last frame of the segment that was speech. */
  voicedUntil = 0;

  constructor({ segmentationSilenceMs }: { segmentationSilenceMs: number }) {
    this.#silenceFrames = Math.max(1, Math.round(segmentationSilenceMs / HOP_MS));
  }

  /** Judges the newest frame of the history. */
  next(history: History, { dbfs, emphasisedPower }: FrameLevel): SpeechChange {
    this.#seen++;
    const excess = this.#excess(history);
    const known = this.#learned >= LEARNING_FRAMES;
    this.#smoothed = known ? this.#smoothed + (excess - this.#smoothed) * SMOOTHING : excess;
    if (!this.speaking) this.#followNoise(history, dbfs, emphasisedPower, excess);
    this.#level = this.#level === undefined ? dbfs : this.#level + (dbfs - this.#level) * SMOOTHING;
    const above = excess > ONSET_DB || this.#smoothed > ONSET_SMOOTHED_DB;
    this.#recent.push(above && dbfs > QUIET_DBFS);
    if (this.#recent.length > ONSET_OF_FRAMES) this.#recent.shift();
    return this.speaking ? this.#whileSpeaking(history, dbfs) : this.#whileQuiet(history);
  }

  /** Ends the segment from outside, because a known sentence is complete. */
  close(): void {
    this.speaking = false;
    this.#recent = [];
    this.#smoothed = Math.min(this.#smoothed, 1.5);
  }

  /** Mean over the bands of how far the newest frame is above the noise. */
  #excess({ bands, length }: History): number {
    const row = (length - 1) * BANDS;
    let sum = 0;
    for (let band = 0; band < BANDS; band++) {
      const above = (bands[row + band] ?? 0) - (this.#floor[band] ?? 0);
      if (above > 0) sum += Math.min(above, LIMIT_BAND_DB);
    }
    return sum / BANDS;
  }

  #followNoise(history: History, dbfs: number, power: number, excess: number): void {
    if (dbfs <= DIGITAL_SILENCE_DBFS) return;
    const learning = this.#learned < LEARNING_FRAMES;
    if (learning && this.#jumpsWhileLearning(dbfs)) return;
    const steady = this.#smoothed < NOISE_SMOOTHED_DB && excess < ONSET_DB;
    if (!learning && !steady && dbfs >= QUIET_DBFS) return;
    this.#adapt(history, power, learning ? 1 / ++this.#learned : NOISE_RATE);
  }

  /** Speech that begins while the noise is being learned must not be taken for it. */
  #jumpsWhileLearning(dbfs: number): boolean {
    if (this.#level === undefined || dbfs <= this.#level + LEARNING_JUMP_DB) return false;
    if (dbfs > QUIET_DBFS) this.#learned = LEARNING_FRAMES;
    return true;
  }

  #adapt(history: History, power: number, rate: number): void {
    const row = (history.length - 1) * BANDS;
    for (let band = 0; band < BANDS; band++) {
      const floor = this.#floor[band] ?? 0;
      const level = Math.max(history.bands[row + band] ?? 0, LOWEST_NOISE_DB);
      this.#floor[band] = floor + (level - floor) * rate;
    }
    this.#floorPower += (power - this.#floorPower) * rate;
  }

  #whileQuiet(history: History): SpeechChange {
    const ready = this.#learned >= LEARNING_FRAMES || this.#seen > LIMIT_LEARNING_FRAMES;
    if (ready && this.#recent.filter(Boolean).length >= ONSET_FRAMES) {
      history.keepLast(PRE_ROLL_FRAMES + ONSET_OF_FRAMES);
      this.#begin(history, { bands: this.#floor.slice(), power: this.#floorPower });
      return "onset";
    }
    if (history.length >= 4 * PRE_ROLL_FRAMES) history.keepLast(PRE_ROLL_FRAMES);
    return "none";
  }

  #whileSpeaking(history: History, dbfs: number): SpeechChange {
    const level = this.#level ?? dbfs;
    this.#peak = Math.max(this.#peak, level);
    this.#peaks.push(this.#peak);
    if (this.#jumped(level) && history.length > PRE_ROLL_FRAMES + JUMP_AFTER_FRAMES) {
      const noise = noiseBefore(history, history.length - JUMP_FRAMES, JUMP_AFTER_FRAMES);
      history.keepLast(PRE_ROLL_FRAMES + JUMP_FRAMES);
      this.#begin(history, noise);
      return "restart";
    }
    const loud = dbfs > QUIET_DBFS && dbfs > this.#peak - BELOW_PEAK_DB;
    if (loud && this.#smoothed > SPEECH_SMOOTHED_DB) {
      this.#silent = 0;
      this.#voiced++;
      this.voicedUntil = history.length;
    } else {
      this.#silent++;
      this.#voiced = 0;
    }
    if (this.#voiced >= STEADY_FRAMES && steadily(history)) {
      this.#takeForNoise(history);
      return "end";
    }
    if (this.#silent < this.#silenceFrames && history.length < LIMIT_FRAMES) return "none";
    this.speaking = false;
    return "end";
  }

  /** Noise that set in suddenly, or that was not there while the noise was learned. */
  #takeForNoise(history: History): void {
    const { bands, power } = noiseBefore(history, history.length, STEADY_FRAMES);
    this.#floor.set(bands);
    this.#floorPower = power;
    this.#learned = LEARNING_FRAMES;
    this.voicedUntil = history.length - STEADY_FRAMES;
    this.close();
  }

  #jumped(level: number): boolean {
    const { length } = this.#peaks;
    const earlier = this.#peaks[length - 1 - JUMP_FRAMES];
    return length > JUMP_AFTER_FRAMES && earlier !== undefined && level > earlier + JUMP_DB;
  }

  #begin(history: History, noise: Noise): void {
    this.speaking = true;
    this.noise = noise;
    this.voicedUntil = history.length;
    this.#silent = 0;
    this.#voiced = 0;
    this.#peak = this.#level ?? QUIET_DBFS;
    this.#peaks = [];
  }
}

/** Whether the newest frames have been the same sound all the time. */
function steadily(history: History): boolean {
  const from = history.length - STEADY_FRAMES;
  const changes = Array.from({ length: BANDS }, (_, band) => {
    const levels = Array.from({ length: STEADY_PARTS }, (_part, index) => {
      return meanLevel(history, from + index * STEADY_PART, band);
    });
    return Math.max(...levels) - Math.min(...levels);
  });
  const largest = changes.toSorted((a, b) => b - a).slice(0, STEADY_BANDS);
  return largest.reduce((sum, change) => sum + change, 0) < STEADY_DB * STEADY_BANDS;
}

function meanLevel({ bands }: History, row: number, band: number): number {
  let sum = 0;
  for (let each = row; each < row + STEADY_PART; each++) {
    sum += Math.max(LOWEST_NOISE_DB, bands[each * BANDS + band] ?? 0);
  }
  return sum / STEADY_PART;
}

/** The mean of so many frames before `row`, taken as background. */
function noiseBefore(history: History, row: number, frames: number): Noise {
  const from = row - frames;
  const bands = new Float32Array(BANDS);
  for (let index = from * BANDS; index < row * BANDS; index++) {
    bands[index % BANDS] = (bands[index % BANDS] ?? 0) + (history.bands[index] ?? 0);
  }
  let power = 0;
  for (const sample of history.samples.subarray(from * HOP_SAMPLES, row * HOP_SAMPLES)) {
    power += sample * sample;
  }
  return {
    bands: bands.map((sum) => sum / frames),
    power: power / (frames * HOP_SAMPLES),
  };
}
