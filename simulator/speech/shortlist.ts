import { LIMIT_FRAMES, PRE_ROLL_FRAMES, type Rows } from "./front-end.ts";
import type { Noise } from "./segmentation.ts";
import { BANDS } from "./spectrum.ts";
import type { Template } from "./template.ts";

/** The speech being judged: the history from its pre-roll on, and the noise it lies in. */
export interface Segment {
  readonly history: Rows;
  readonly noise: Noise;
}

/** What a comparison looks at. */
export interface Extent {
  /** Row after the last one that is heard speech. */
  frames: number;
  /** The speech is over: the template has to fit as a whole, not only as far as heard. */
  whole: boolean;
  /** Where templates may begin, instead of near the end of the pre-roll. What is before them is ignored. */
  start?: { row: number; within: number };
}

/** A template laid over the segment. */
export interface Candidate {
  readonly template: Template;
  /** History row on which the template's first frame lies; may be negative. */
  offset: number;
  /** What the template has to be raised by to be as loud as the segment. */
  gainDb: number;
  /** Correlation of the two spectrograms, -1 … 1. */
  similarity: number;
}

const AFTER_PRE_ROLL = { row: PRE_ROLL_FRAMES, within: PRE_ROLL_FRAMES };
/** Templates may be heard this much beyond the frames given, where a later offset would fit. */
const SPARE_FRAMES = 40;
const REFINED = 12;

/** Compares every template at every place the segment's start allows; best first. */
export function searchAll(
  segment: Segment,
  templates: readonly Template[],
  extent: Extent,
): Candidate[] {
  const comparison = new Comparison(segment, extent);
  const { row, within } = extent.start ?? AFTER_PRE_ROLL;
  const offsets = { from: row - within, to: row + within, by: 2 };
  const found = templates.map((template) => comparison.best(template, offsets, 2));
  const sorted = bySimilarity(found);
  for (const candidate of sorted.slice(0, REFINED)) {
    const { template, offset } = candidate;
    const near = { from: offset - 1, to: offset + 1, by: 1 };
    Object.assign(candidate, comparison.best(template, near, 1));
  }
  return bySimilarity(sorted);
}

/** Compares candidates again, now that more is heard, near the place they were found at. */
export function track<Kind extends Candidate>(
  segment: Segment,
  candidates: readonly Kind[],
  extent: Extent,
): Kind[] {
  const comparison = new Comparison(segment, extent);
  const found = candidates.map((candidate) => {
    const near = { from: candidate.offset - 2, to: candidate.offset + 2, by: 1 };
    return { ...candidate, ...comparison.best(candidate.template, near, 1) };
  });
  return bySimilarity(found);
}

function bySimilarity<Kind extends Candidate>(candidates: readonly Kind[]): Kind[] {
  return candidates.toSorted((a, b) => b.similarity - a.similarity);
}

interface Offsets {
  from: number;
  to: number;
  by: number;
}

/** Spectrograms above the noise, correlated. One is made per judgement and shared by the templates. */
class Comparison {
  readonly #extent: Extent;
  readonly #heard: number;
  readonly #excess: Float32Array;
  readonly #noise: Float32Array;
  readonly #speechRow: number;
  readonly #loudness: number;
  readonly #sums = new Map<number, HeardSums>();

  constructor({ history, noise }: Segment, extent: Extent) {
    this.#extent = extent;
    this.#heard = history.length;
    this.#noise = noise.bands;
    const rows = extent.whole ? history.length : extent.frames;
    this.#excess = new Float32Array(rows * BANDS);
    for (let index = 0; index < rows * BANDS; index++) {
      const above = (history.bands[index] ?? 0) - (noise.bands[index % BANDS] ?? 0);
      this.#excess[index] = Math.max(0, above);
    }
    this.#speechRow = (extent.start ?? AFTER_PRE_ROLL).row;
    const speech = Math.min(this.#speechRow, extent.frames - 5);
    this.#loudness = loudness(history.energies.subarray(speech, extent.frames));
  }

  best(template: Template, offsets: Offsets, step: number): Candidate {
    const { frames, whole, start } = this.#extent;
    const compared = whole
      ? template.frames
      : Math.max(5, Math.min(template.frames, frames - this.#speechRow));
    const gainDb = this.#loudness - loudness(template.energies.subarray(0, compared));
    const rows = whole ? template.frames : Math.min(template.frames, frames + SPARE_FRAMES);
    const expected = expectedExcess(template, gainDb, this.#noise, rows);
    const best = { template, offset: 0, gainDb, similarity: -2 };
    for (let offset = offsets.from; offset <= offsets.to; offset += offsets.by) {
      const end = whole
        ? Math.max(frames, Math.min(this.#heard, offset + template.frames))
        : frames;
      const begin = start === undefined ? 0 : offset;
      const overlay = { offset, end, step, sums: this.#sumsOf(begin, end, step) };
      const similarity = correlation(this.#excess, expected, overlay);
      if (similarity > best.similarity) Object.assign(best, { similarity, offset });
    }
    return best;
  }

  #sumsOf(begin: number, end: number, step: number): HeardSums {
    const key = (begin * LIMIT_FRAMES + end) * 2 + step;
    const known = this.#sums.get(key);
    if (known !== undefined) return known;
    const sums = heardSums(this.#excess, { begin, end, step });
    this.#sums.set(key, sums);
    return sums;
  }
}

/** The 90th percentile of the frame energies, in dB: not moved by pauses or a click. */
function loudness(energies: Float32Array): number {
  const sorted = energies.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.9))] ?? 0;
}

/** 10 log10(1 + 10^(x/10)) in steps of 0.1 dB from -60 to 60. */
const SOFT_MAXIMUM = Float32Array.from(
  { length: 1201 },
  (_, index) => 10 * Math.log10(1 + 10 ** ((index - 600) / 100)),
);

/** What a template would rise above this noise, by power addition. */
function expectedExcess(
  { bands }: Template,
  gainDb: number,
  noise: Float32Array,
  rows: number,
): Float32Array {
  const expected = new Float32Array(rows * BANDS);
  for (let index = 0, band = 0; index < expected.length; index++) {
    const above = (bands[index] ?? 0) + gainDb - (noise[band] ?? 0);
    if (above >= 60) expected[index] = above;
    else if (above > -60) expected[index] = SOFT_MAXIMUM[(above * 10 + 600) | 0] ?? 0;
    band = band === BANDS - 1 ? 0 : band + 1;
  }
  return expected;
}

/** Sums over rows, of what does not depend on the template. */
interface HeardSums {
  readonly bands: Float64Array;
  readonly power: number;
  readonly rows: number;
}

function heardSums(
  heard: Float32Array,
  { begin, end, step }: { begin: number; end: number; step: number },
): HeardSums {
  const bands = new Float64Array(BANDS);
  let power = 0;
  let rows = 0;
  for (let row = begin; row < end; row += step) {
    rows++;
    for (let band = 0; band < BANDS; band++) {
      const value = heard[row * BANDS + band] ?? 0;
      bands[band] = (bands[band] ?? 0) + value;
      power += value * value;
    }
  }
  for (const sum of bands) power -= (sum * sum) / rows;
  return { bands, power, rows };
}

interface Overlay {
  offset: number;
  end: number;
  step: number;
  sums: HeardSums;
}

const sumsExpected = new Float64Array(BANDS);

/**
 * Normalised correlation over all bands and rows [0, end), each band's mean removed. Outside the
 * template nothing is expected. `step` 2 looks at every second row.
 */
function correlation(
  heard: Float32Array,
  expected: Float32Array,
  { offset, end, step, sums }: Overlay,
): number {
  sumsExpected.fill(0);
  let cross = 0;
  let power = 0;
  const first = Math.max(0, Math.ceil(offset / step) * step);
  const last = Math.min(end, offset + expected.length / BANDS);
  for (let row = first; row < last; row += step) {
    const at = row * BANDS;
    const from = at - offset * BANDS;
    for (let band = 0; band < BANDS; band++) {
      const value = expected[from + band] ?? 0;
      sumsExpected[band] = (sumsExpected[band] ?? 0) + value;
      cross += (heard[at + band] ?? 0) * value;
      power += value * value;
    }
  }
  for (let band = 0; band < BANDS; band++) {
    const sum = sumsExpected[band] ?? 0;
    cross -= ((sums.bands[band] ?? 0) * sum) / sums.rows;
    power -= (sum * sum) / sums.rows;
  }
  const comparable = sums.power > 1e-6 && power > 1e-6;
  return comparable ? cross / Math.sqrt(sums.power * power) : 0;
}
