import { Fft } from "./fft.ts";
import { resample } from "./resample.ts";

const RATE_HZ = 10_000;
const WINDOW = 256;
const HOP = WINDOW / 2;
const FFT_SIZE = 512;
const BANDS = 15;
const LOWEST_HZ = 150;
/** 384 ms. */
const SEGMENT = 30;
const DYNAMIC_RANGE_DB = 40;
/** A processed band counts as at most 15 dB away from the clean one. */
const CLIP = 1 + 10 ** (15 / 20);

const fft = new Fft(FFT_SIZE);
const hann = Float64Array.from(
  { length: WINDOW },
  (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (n + 1)) / (WINDOW + 1)),
);
const bandEdges = Array.from({ length: BANDS }, (_, band) => {
  const centre = LOWEST_HZ * 2 ** (band / 3);
  return { from: binOf(centre * 2 ** (-1 / 6)), to: binOf(centre * 2 ** (1 / 6)) };
});

/**
 * Short-time objective intelligibility of `heard` against the clean `said`, 0 to 1 (Taal, Hendriks,
 * Heusdens and Jensen 2011). Both are aligned 8 kHz audio. `undefined` for less than 0.4 s of speech.
 */
export function intelligibility(said: Int16Array, heard: Int16Array, rateHz: number) {
  const clean = resample(said, rateHz, RATE_HZ);
  const processed = resample(heard, rateHz, RATE_HZ);
  const frames = spokenFrames(clean, Math.min(clean.length, processed.length));
  if (frames.length < SEGMENT) return undefined;
  const cleanBands = bandsOf(clean, frames);
  const processedBands = bandsOf(processed, frames);
  let sum = 0;
  let count = 0;
  for (let end = SEGMENT; end <= frames.length; end++) {
    for (let band = 0; band < BANDS; band++) {
      const row = (bands: Float64Array[]) => (bands[band] ?? hann).subarray(end - SEGMENT, end);
      sum += similarity(row(cleanBands), row(processedBands));
      count += 1;
    }
  }
  return sum / count;
}

/** Where the frames begin that are within 40 dB of the loudest: pauses say nothing about speech. */
function spokenFrames(clean: Int16Array, length: number): number[] {
  const starts: number[] = [];
  for (let at = 0; at + WINDOW <= length; at += HOP) starts.push(at);
  const levels = starts.map((at) => energy(clean.subarray(at, at + WINDOW)));
  const loudest = Math.max(...levels, 1);
  return starts.filter(
    (_, index) => (levels[index] ?? 0) > loudest * 10 ** (-DYNAMIC_RANGE_DB / 10),
  );
}

function energy(samples: Int16Array): number {
  return samples.reduce((sum, sample, n) => sum + (sample * (hann[n] ?? 0)) ** 2, 0);
}

function binOf(hz: number): number {
  return Math.round((hz * FFT_SIZE) / RATE_HZ);
}

/** Amplitude of each third-octave band over the frames. */
function bandsOf(samples: Int16Array, frames: readonly number[]): Float64Array[] {
  const bands = bandEdges.map(() => new Float64Array(frames.length));
  for (const [index, at] of frames.entries()) {
    const re = new Float64Array(FFT_SIZE);
    const im = new Float64Array(FFT_SIZE);
    for (let n = 0; n < WINDOW; n++) re[n] = (samples[at + n] ?? 0) * (hann[n] ?? 0);
    fft.transform({ re, im });
    for (const [band, { from, to }] of bandEdges.entries()) {
      const row = bands[band];
      if (row !== undefined) row[index] = Math.sqrt(power(re, im, from, to));
    }
  }
  return bands;
}

function power(re: Float64Array, im: Float64Array, from: number, to: number): number {
  let sum = 0;
  for (let bin = from; bin < to; bin++) sum += (re[bin] ?? 0) ** 2 + (im[bin] ?? 0) ** 2;
  return sum;
}

/** Correlation of two rows after the second was brought to the first's level and clipped. */
function similarity(clean: Float64Array, processed: Float64Array): number {
  const gain = norm(clean) / (norm(processed) || 1);
  const clipped = processed.map((value, n) => Math.min(value * gain, (clean[n] ?? 0) * CLIP));
  const [a, b] = [centred(clean), centred(clipped)];
  const cross = a.reduce((sum, value, n) => sum + value * (b[n] ?? 0), 0);
  return cross / (norm(a) * norm(b) || 1);
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
