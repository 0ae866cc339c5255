import { PRE_ROLL_FRAMES, type Rows } from "./front-end.ts";
import type { Noise } from "./segmentation.ts";
import { correlation, crossSums, type RowSpan, Spectrogram } from "./spectrogram.ts";
import { BANDS } from "./spectrum.ts";
import { loudness, type Template } from "./template.ts";

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
/** Every third row is compared at every third place first; then the best at every row and near place. */
const COARSE_STEP = 3;
const REFINED = 12;
/** As many offsets as are compared at once, so that none is beyond the ends. */
const MARGIN_ROWS = PRE_ROLL_FRAMES + 1;

/** Compares every template at every place the segment's start allows; best first. */
export function searchAll(
  segment: Segment,
  templates: readonly Template[],
  extent: Extent,
): Candidate[] {
  const { row, within } = extent.start ?? AFTER_PRE_ROLL;
  const from = row - within;
  const count = Math.floor((2 * within) / COARSE_STEP) + 1;
  const coarse = new Comparison(segment, extent, COARSE_STEP);
  const offsets = { from, count, apart: COARSE_STEP };
  const sorted = bySimilarity(templates.map((template) => coarse.best(template, offsets)));
  const fine = new Comparison(segment, extent, 1);
  for (const candidate of sorted.slice(0, REFINED)) {
    const near = Math.max(from, candidate.offset - COARSE_STEP + 1);
    const places = { from: near, count: 2 * COARSE_STEP - 1, apart: 1 };
    Object.assign(candidate, fine.best(candidate.template, places));
  }
  return bySimilarity(sorted);
}

/**
 * Compares candidates again, now that more is heard, near the place they were found at: every third
 * row first, then the best at every row.
 */
export function track<Kind extends Candidate>(
  segment: Segment,
  candidates: readonly Kind[],
  extent: Extent,
): Kind[] {
  const near = ({ offset }: Kind) => ({ from: offset - 2, count: 5, apart: 1 });
  const compared = (comparison: Comparison) => (candidate: Kind) => {
    return { ...candidate, ...comparison.best(candidate.template, near(candidate)) };
  };
  const coarse = new Comparison(segment, extent, COARSE_STEP);
  const sorted = bySimilarity(candidates.map(compared(coarse)));
  const fine = new Comparison(segment, extent, 1);
  const refined = sorted.slice(0, REFINED).map(compared(fine));
  return bySimilarity([...refined, ...sorted.slice(REFINED)]);
}

function bySimilarity<Kind extends Candidate>(candidates: readonly Kind[]): Kind[] {
  return candidates.toSorted((a, b) => b.similarity - a.similarity);
}

/** Places a template may begin on: as far apart as the rows that are looked at, or all. */
interface Offsets {
  from: number;
  count: number;
  apart: number;
}

/** Of the template that is being compared; one at a time. */
const expected = new Spectrogram({ margin: 0 });

/**
 * Spectrograms above the noise, correlated. One is made per judgement and shared by the templates.
 * With `step` 3 every third row of a template is looked at, and what was heard where those lie.
 */
class Comparison {
  readonly #extent: Extent;
  readonly #step: number;
  readonly #segment: Segment;
  readonly #noise: Float32Array;
  readonly #speechRow: number;
  readonly #loudness: number;
  readonly #heardRows: number;
  /** By the row they begin with, below `step`. */
  readonly #heard: Spectrogram[] = [];

  constructor(segment: Segment, extent: Extent, step: number) {
    const { history, noise } = segment;
    this.#extent = extent;
    this.#step = step;
    this.#segment = segment;
    this.#noise = noise.bands;
    this.#heardRows = history.length;
    const { row } = extent.start ?? AFTER_PRE_ROLL;
    this.#speechRow = row;
    const speech = Math.min(row, extent.frames - 5);
    this.#loudness = loudness(history.energies.subarray(speech, extent.frames));
  }

  best(template: Template, { from, count, apart }: Offsets): Candidate {
    const { frames, whole } = this.#extent;
    const step = this.#step;
    const compared = whole
      ? template.frames
      : Math.max(5, Math.min(template.frames, frames - this.#speechRow));
    const gainDb = this.#loudness - (template.loudness[compared] ?? 0);
    const rows = whole ? template.frames : Math.max(1, Math.min(template.frames, frames - from));
    expectExcess(template, { gainDb, noise: this.#noise, rows, step });
    const best = { template, offset: 0, gainDb, similarity: -2 };
    // Offsets that lie a step apart see the same rows of what was heard, and are compared together.
    const together = step / apart;
    for (let index = 0; index < Math.min(together, count); index++) {
      this.#compare(best, from + index * apart, Math.ceil((count - index) / together));
    }
    return best;
  }

  #compare(best: Candidate, from: number, count: number): void {
    const step = this.#step;
    const first = from - step * Math.floor(from / step);
    const heard = (this.#heard[first] ??= this.#heardFrom(first));
    const seen = (row: number) => Math.ceil((row - first) / step);
    const cross = crossSums(heard, expected, { from: seen(from), count });
    for (let index = 0; index < count; index++) {
      const offset = from + index * step;
      const { begin, end } = this.#spanOf(best.template, offset);
      const similarity = correlation(heard, expected, {
        offset: seen(offset),
        span: { begin: Math.max(0, seen(begin)), end: seen(end) },
        cross: cross[index] ?? 0,
      });
      if (similarity > best.similarity) Object.assign(best, { similarity, offset });
    }
  }

  #heardFrom(first: number): Spectrogram {
    const { history, noise } = this.#segment;
    const rows = this.#extent.whole ? history.length : this.#extent.frames;
    return heardExcess(history, noise.bands, { rows, step: this.#step, first });
  }

  /** The heard rows that a template at this offset has to explain. */
  #spanOf(template: Template, offset: number): RowSpan {
    const { frames, whole, start } = this.#extent;
    const end = whole
      ? Math.max(frames, Math.min(this.#heardRows, offset + template.frames))
      : frames;
    return { begin: start === undefined ? 0 : offset, end };
  }
}

function heardExcess(
  { bands }: Rows,
  noise: Float32Array,
  { rows, step, first }: { rows: number; step: number; first: number },
): Spectrogram {
  const heard = new Spectrogram({ margin: MARGIN_ROWS });
  heard.clear(Math.ceil((rows - first) / step));
  for (let band = 0; band < BANDS; band++) {
    const floor = noise[band] ?? 0;
    let at = heard.at(band, 0);
    for (let row = first; row < rows; row += step) {
      heard.values[at++] = Math.max(0, (bands[row * BANDS + band] ?? 0) - floor);
    }
  }
  heard.summed();
  return heard;
}

/** 10 log10(1 + 10^(x/10)) in steps of 0.1 dB from -60 to 60. */
const SOFT_MAXIMUM = Float32Array.from(
  { length: 1201 },
  (_, index) => 10 * Math.log10(1 + 10 ** ((index - 600) / 100)),
);

/** What a template would rise above this noise, by power addition. */
function expectExcess(
  { bands, frames }: Template,
  {
    gainDb,
    noise,
    rows,
    step,
  }: { gainDb: number; noise: Float32Array; rows: number; step: number },
): void {
  expected.clear(Math.ceil(rows / step));
  const { values } = expected;
  for (let band = 0; band < BANDS; band++) {
    const raised = gainDb - (noise[band] ?? 0);
    let at = expected.at(band, 0);
    for (let row = 0; row < rows; row += step) {
      values[at++] = softExcess((bands[band * frames + row] ?? 0) + raised);
    }
  }
  expected.summed();
}

function softExcess(above: number): number {
  if (above >= 60) return above;
  return above > -60 ? (SOFT_MAXIMUM[(above * 10 + 600) | 0] ?? 0) : 0;
}
