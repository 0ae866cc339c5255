import type { Audio } from "../media/frame.ts";
import { resample } from "../media/resample.ts";
import type { Word } from "./flite.ts";
import { PRE_EMPHASIS } from "./front-end.ts";
import { ANALYSIS_RATE_HZ, BANDS, FRAME_SAMPLES, HOP_MS, HOP_SAMPLES, logMel } from "./spectrum.ts";
import { type Phone, shareByLength } from "./word-timing.ts";

/** Waveforms are compared at twice the analysis rate, so that lags are found to half a sample. */
export const FINE_RATE = 2;
/** What lies further below the loudest frame is not part of the sentence. */
const EDGE_BELOW_PEAK_DB = 35;
/** What fades out after it, down to here, is no new speech. */
const TAIL_BELOW_PEAK_DB = 60;
const LIMIT_TAIL_FRAMES = 12;
const SHORTEST_FRAMES = 5;

/** A known sentence, prepared for comparison. */
export interface Template {
  readonly text: string;
  readonly language: string;
  readonly rare: boolean;
  /** Times count from the template's first frame. */
  readonly words: readonly Word[];
  readonly frames: number;
  /** How long the last sound fades out after the last frame. */
  readonly tailFrames: number;
  /** Log-mel in dB, BANDS × `frames`: the rows of a band follow one another. */
  readonly bands: Float32Array;
  /** {@link loudness} of as many of its first frames. */
  readonly loudness: Float32Array;
  /** Pre-emphasised at {@link FINE_RATE} × 8 kHz, with what was before and after the sentence. */
  readonly waveform: Float32Array;
  /** Where in `waveform` the first frame begins. */
  readonly origin: number;
}

export interface Enrolment {
  text: string;
  audio: Audio;
  /** Where each word lies in the audio. Default: in proportion to their letters. */
  words?: readonly Word[];
  /** BCP 47. Default en-US. */
  language?: string;
  /** Known only to those who expect it: whose phrase list has the text. Default false. */
  rare?: boolean;
}

/** `undefined` where the audio is too short (50 ms) to be told from anything. */
export function makeTemplate(enrolment: Enrolment): Template | undefined {
  const { text, audio, words, language = "en-US", rare = false } = enrolment;
  const samples = resample(audio.samples, audio.rateHz, ANALYSIS_RATE_HZ);
  const total = Math.floor((samples.length - FRAME_SAMPLES) / HOP_SAMPLES) + 1;
  if (total < SHORTEST_FRAMES) return undefined;
  const bands = new Float32Array(total * BANDS);
  const energies = Float32Array.from({ length: total }, (_, row) =>
    logMel(samples, row * HOP_SAMPLES, bands, row * BANDS),
  );
  const peak = energies.reduce((loudest, energy) => Math.max(loudest, energy));
  const loud = peak - EDGE_BELOW_PEAK_DB;
  const first = energies.findIndex((energy) => energy >= loud);
  const end = energies.findLastIndex((energy) => energy >= loud) + 1;
  if (end - first < SHORTEST_FRAMES) return undefined;
  return {
    text,
    language,
    rare,
    words: (words ?? spread(text, first, end)).map((word) => within(word, first, end)),
    frames: end - first,
    tailFrames: tailFrames(energies.subarray(end), peak),
    bands: byBand(bands.subarray(first * BANDS, end * BANDS)),
    loudness: loudnessOfBeginnings(energies.subarray(first, end)),
    waveform: emphasised(resample(samples, ANALYSIS_RATE_HZ, FINE_RATE * ANALYSIS_RATE_HZ)),
    origin: FINE_RATE * first * HOP_SAMPLES,
  };
}

function byBand(rows: Float32Array): Float32Array {
  const frames = rows.length / BANDS;
  const bands = new Float32Array(rows.length);
  for (let band = 0; band < BANDS; band++) {
    for (let row = 0; row < frames; row++) {
      bands[band * frames + row] = rows[row * BANDS + band] ?? 0;
    }
  }
  return bands;
}

/** The 90th percentile of frame energies, in dB: not moved by pauses or a click. */
export function loudness(energies: Float32Array): number {
  return ninetieth(energies.toSorted(), energies.length);
}

function loudnessOfBeginnings(energies: Float32Array): Float32Array {
  const sorted = new Float32Array(energies.length);
  return Float32Array.from({ length: energies.length + 1 }, (_, count) => {
    if (count === 0) return 0;
    const energy = energies[count - 1] ?? 0;
    let at = count - 1;
    for (; at > 0 && (sorted[at - 1] ?? 0) > energy; at--) sorted[at] = sorted[at - 1] ?? 0;
    sorted[at] = energy;
    return ninetieth(sorted, count);
  });
}

function ninetieth(sorted: Float32Array, count: number): number {
  return sorted[Math.min(count - 1, Math.floor(count * 0.9))] ?? 0;
}

function tailFrames(energies: Float32Array, peak: number): number {
  const quiet = energies.findIndex((energy) => energy < peak - TAIL_BELOW_PEAK_DB);
  return Math.min(LIMIT_TAIL_FRAMES, quiet === -1 ? energies.length : quiet);
}

/** From the audio's time line to the template's, not beyond its end. */
function within({ text, startMs, durationMs }: Word, first: number, end: number): Word {
  const from = Math.max(0, startMs - first * HOP_MS);
  const lengthMs = (end - first) * HOP_MS;
  return { text, startMs: from, durationMs: Math.max(0, Math.min(durationMs, lengthMs - from)) };
}

function spread(text: string, first: number, end: number): Word[] {
  const sentence: Phone = { name: text, startMs: first * HOP_MS, endMs: end * HOP_MS };
  return shareByLength(text.split(/\s+/).filter(Boolean), [sentence]);
}

/** The pre-emphasis of the front end, whose sample before is {@link FINE_RATE} samples before here. */
function emphasised(samples: Int16Array): Float32Array {
  const waveform = new Float32Array(samples.length);
  for (let index = 0; index < samples.length; index++) {
    const before = index < FINE_RATE ? 0 : (samples[index - FINE_RATE] ?? 0);
    waveform[index] = ((samples[index] ?? 0) - PRE_EMPHASIS * before) / 32_768;
  }
  return waveform;
}
