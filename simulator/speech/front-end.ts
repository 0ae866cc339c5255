import { BANDS, FRAME_SAMPLES, HOP_SAMPLES, logMel } from "./spectrum.ts";

/** Frames kept before speech begins, so that its first sounds are compared, too. */
export const PRE_ROLL_FRAMES = 30;
/** Longer speech is cut: 20 s. */
const LIMIT_SPEECH_FRAMES = 2000;
export const LIMIT_FRAMES = LIMIT_SPEECH_FRAMES + PRE_ROLL_FRAMES + 10;
/** Flattens speech, so that waveform comparison is not ruled by the lowest formant. */
export const PRE_EMPHASIS = 0.6;

/** What segmentation needs of one frame besides its spectrum. */
export interface FrameLevel {
  /** dB re full scale of the newest 10 ms. */
  readonly dbfs: number;
  /** Mean square of the pre-emphasised samples. */
  readonly emphasisedPower: number;
}

/** dB of rows that stand for nothing heard. */
const BLANK_DB = -90;

/** Consecutive frames: row `i` of `bands` is frame `i`. */
export interface Rows {
  readonly bands: Float32Array;
  readonly energies: Float32Array;
  /** Pre-emphasised, -1 … 1. */
  readonly samples: Float32Array;
  readonly length: number;
}

/** The rows from `row` on, as rows of their own. */
export function rowsFrom({ bands, energies, samples, length }: Rows, row: number): Rows {
  return {
    bands: bands.subarray(row * BANDS),
    energies: energies.subarray(row),
    samples: samples.subarray(row * HOP_SAMPLES),
    length: length - row,
  };
}

/** The rows before `row`, as if nothing had been heard since. */
export function rowsBefore({ bands, energies, samples }: Rows, row: number): Rows {
  return { bands, energies, samples, length: row };
}

/**
 * The latest frames of a stream, oldest first. Rows from `length`
 * to `available` are there but have not been looked at, after {@link History.rewind}.
 */
export class History implements Rows {
  readonly bands = new Float32Array(LIMIT_FRAMES * BANDS);
  readonly energies = new Float32Array(LIMIT_FRAMES);
  readonly samples = new Float32Array(LIMIT_FRAMES * HOP_SAMPLES);
  readonly #levels: FrameLevel[] = [];
  /** The stream begins after as much silence as a pre-roll wants. */
  length = PRE_ROLL_FRAMES;
  available = PRE_ROLL_FRAMES;
  /** The frame that row 0 is; negative for the silence before the stream. */
  first = -PRE_ROLL_FRAMES;

  constructor() {
    this.#blank(PRE_ROLL_FRAMES);
  }

  append(level: FrameLevel): void {
    this.#levels[this.available++] = level;
  }

  /** Shows one more row; `undefined` when all are shown. */
  advance(): FrameLevel | undefined {
    const level = this.length < this.available ? this.#levels[this.length] : undefined;
    if (level !== undefined) this.length++;
    return level;
  }

  /** Forgets what was before `row` and goes back to it. */
  rewind(row: number): void {
    const later = this.available - row;
    this.#dropFirst(Math.max(0, row - PRE_ROLL_FRAMES));
    this.length = this.available - later;
    this.#blank(this.length);
  }

  keepLast(frames: number): void {
    this.#dropFirst(Math.max(0, this.length - frames));
  }

  #dropFirst(rows: number): void {
    this.bands.copyWithin(0, rows * BANDS, this.available * BANDS);
    this.energies.copyWithin(0, rows, this.available);
    this.samples.copyWithin(0, rows * HOP_SAMPLES, this.available * HOP_SAMPLES);
    this.#levels.splice(0, rows);
    this.length -= rows;
    this.available -= rows;
    this.first += rows;
  }

  #blank(rows: number): void {
    this.bands.fill(BLANK_DB, 0, rows * BANDS);
    this.energies.fill(BLANK_DB, 0, rows);
    this.samples.fill(0, 0, rows * HOP_SAMPLES);
    for (let row = 0; row < rows; row++) this.#levels[row] = { dbfs: -120, emphasisedPower: 0 };
  }
}

/** Cuts 8 kHz audio of any chunk size into frames and appends them to its history. */
export class FrontEnd {
  readonly history = new History();
  #carry = new Int16Array(0);
  #previous = 0;

  /** Yields when a frame has been appended; the caller advances through the history. */
  *append(samples: Int16Array): Generator<void> {
    const joined = new Int16Array(this.#carry.length + samples.length);
    joined.set(this.#carry);
    joined.set(samples, this.#carry.length);
    let offset = 0;
    for (; offset + FRAME_SAMPLES <= joined.length; offset += HOP_SAMPLES) {
      this.#appendFrame(joined, offset);
      yield;
    }
    this.#carry = joined.slice(offset);
  }

  #appendFrame(source: Int16Array, offset: number): void {
    const { history } = this;
    if (history.available >= LIMIT_FRAMES) history.keepLast(PRE_ROLL_FRAMES);
    const row = history.available;
    history.energies[row] = logMel(source, offset, history.bands, row * BANDS);
    let power = 0;
    let emphasisedPower = 0;
    for (let index = 0; index < HOP_SAMPLES; index++) {
      const value = (source[offset + index] ?? 0) / 32_768;
      const emphasised = value - PRE_EMPHASIS * this.#previous;
      this.#previous = value;
      history.samples[row * HOP_SAMPLES + index] = emphasised;
      power += value * value;
      emphasisedPower += emphasised * emphasised;
    }
    history.append({
      dbfs: 10 * Math.log10(power / HOP_SAMPLES + 1e-12),
      emphasisedPower: emphasisedPower / HOP_SAMPLES,
    });
  }
}
