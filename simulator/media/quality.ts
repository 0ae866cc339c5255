import { envelope } from "./envelope.ts";
import { Fft } from "./fft.ts";
import { type Audio, FRAME_MS } from "./frame.ts";
import { atRate } from "./resample.ts";
import { intelligibility } from "./stoi.ts";

const RATE_HZ = 8_000;
const SEGMENT_SAMPLES = 256;
/** Segments outside are drawn to these, as is usual, lest one of them decide the mean. */
const WORST_DB = -10;
const BEST_DB = 35;
/** A segment this far below the loudest is a pause. */
const PAUSE_DB = 40;
/** Level below which a telephone line is silent, and above which somebody speaks. */
const SILENT_DB = -60;
const SPEECH_DB = -45;

/** How well a piece that was said can be found again in what was heard. */
export interface Comparison {
  /** Where in `heard` the piece begins. */
  readonly lagMs: number;
  /** Normalised cross-correlation there, 0 to 1. */
  readonly correlation: number;
  readonly gainDb: number;
  /** Mean over 32 ms segments with speech, after the gain is taken out. */
  readonly segmentalSnrDb: number;
  /** Short-time objective intelligibility, 0 to 1; absent for less than 0.4 s of speech. */
  readonly stoi?: number;
}

/** Aligns `said` with `heard` (any rates) and compares them. */
export function compareAudio(said: Audio, heard: Audio): Comparison {
  const reference = atRate(said, RATE_HZ).samples;
  const whole = atRate(heard, RATE_HZ).samples;
  const { lag, correlation } = align(reference, whole);
  const found = new Int16Array(reference.length);
  found.set(whole.subarray(lag, lag + reference.length));
  const gain = projection(reference, found);
  const stoi = intelligibility(reference, found, RATE_HZ);
  return {
    lagMs: (lag / RATE_HZ) * 1_000,
    correlation,
    gainDb: 20 * Math.log10(Math.max(1e-5, Math.abs(gain))),
    segmentalSnrDb: segmentalSnr(reference, found, gain),
    ...(stoi === undefined ? {} : { stoi }),
  };
}

/** A stretch of silence where there should be sound. */
export interface Gap {
  readonly startMs: number;
  readonly durationMs: number;
}

/**
 * Silences inside the utterances of `heard` that last at least `fromMs`. With `said`, a gap is where
 * the aligned original speaks and the line is silent; without it, every silence shorter than
 * `pauseMs`, which is taken to end an utterance.
 */
export function findGaps(
  heard: Audio,
  { said, fromMs = 60, pauseMs = 300 }: { said?: Audio; fromMs?: number; pauseMs?: number } = {},
): Gap[] {
  const frameMs = FRAME_MS / 4;
  const levels = envelope(heard, frameMs);
  const silent = (frame: number) => (levels[frame] ?? SILENT_DB) < SILENT_DB;
  if (said === undefined) {
    return runs(levels.length, silent, frameMs).filter(
      ({ startMs, durationMs }) =>
        durationMs >= fromMs &&
        durationMs < pauseMs &&
        startMs > 0 &&
        startMs + durationMs < levels.length * frameMs,
    );
  }
  const { lagMs } = compareAudio(said, heard);
  const spoken = envelope(said, frameMs);
  const shift = Math.round(lagMs / frameMs);
  const missing = (frame: number) =>
    silent(frame) && (spoken[frame - shift] ?? SILENT_DB) > SPEECH_DB;
  return runs(levels.length, missing, frameMs).filter(({ durationMs }) => durationMs >= fromMs);
}

function runs(length: number, isIn: (frame: number) => boolean, frameMs: number): Gap[] {
  const found: Gap[] = [];
  let start: number | undefined;
  for (let frame = 0; frame <= length; frame++) {
    const inside = frame < length && isIn(frame);
    if (inside) start ??= frame;
    if (inside || start === undefined) continue;
    found.push({ startMs: start * frameMs, durationMs: (frame - start) * frameMs });
    start = undefined;
  }
  return found;
}

/** The lag with the greatest normalised cross-correlation, over the whole of `heard`. */
export function align(said: Int16Array, heard: Int16Array): { lag: number; correlation: number } {
  const products = crossCorrelation(said, heard);
  const own = Math.sqrt(sumOfSquares(said)) || 1;
  let power = sumOfSquares(heard.subarray(0, said.length));
  let best = { lag: 0, correlation: 0 };
  for (let lag = 0; lag < heard.length; lag++) {
    const correlation = (products[lag] ?? 0) / (own * Math.sqrt(Math.max(1, power)));
    if (correlation > best.correlation) best = { lag, correlation };
    power += (heard[lag + said.length] ?? 0) ** 2 - (heard[lag] ?? 0) ** 2;
  }
  return best;
}

function crossCorrelation(said: Int16Array, heard: Int16Array): Float64Array {
  const size = 2 ** Math.ceil(Math.log2(Math.max(2, said.length + heard.length)));
  const fft = new Fft(size);
  const one = { re: new Float64Array(size), im: new Float64Array(size) };
  const other = { re: new Float64Array(size), im: new Float64Array(size) };
  one.re.set(heard);
  other.re.set(said);
  fft.transform(one);
  fft.transform(other);
  for (let bin = 0; bin < size; bin++) {
    const [a, b] = [one.re[bin] ?? 0, one.im[bin] ?? 0];
    const [c, d] = [other.re[bin] ?? 0, -(other.im[bin] ?? 0)];
    one.re[bin] = a * c - b * d;
    one.im[bin] = a * d + b * c;
  }
  fft.invert(one);
  return one.re;
}

function segmentalSnr(said: Int16Array, heard: Int16Array, gain: number): number {
  const segments: { signal: number; noise: number }[] = [];
  for (let at = 0; at + SEGMENT_SAMPLES <= said.length; at += SEGMENT_SAMPLES) {
    const clean = said.subarray(at, at + SEGMENT_SAMPLES);
    const noise = clean.reduce(
      (sum, sample, n) => sum + ((heard[at + n] ?? 0) / (gain || 1) - sample) ** 2,
      0,
    );
    segments.push({ signal: sumOfSquares(clean), noise });
  }
  const loudest = Math.max(...segments.map(({ signal }) => signal), 1);
  const spoken = segments.filter(({ signal }) => signal > loudest * 10 ** (-PAUSE_DB / 10));
  const ratios = spoken.map(({ signal, noise }) => 10 * Math.log10(signal / Math.max(noise, 1e-3)));
  const bounded = ratios.map((ratio) => Math.max(WORST_DB, Math.min(BEST_DB, ratio)));
  return bounded.reduce((sum, ratio) => sum + ratio, 0) / Math.max(1, bounded.length);
}

/** The gain that brings `said` nearest to `heard`. */
function projection(said: Int16Array, heard: Int16Array): number {
  const cross = said.reduce((sum, sample, n) => sum + sample * (heard[n] ?? 0), 0);
  return cross / (sumOfSquares(said) || 1);
}

function sumOfSquares(samples: Int16Array): number {
  return samples.reduce((sum, sample) => sum + sample * sample, 0);
}
