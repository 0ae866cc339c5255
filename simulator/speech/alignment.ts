import { addCorrelations, type Run } from "./cross-correlation.ts";
import type { Candidate, Segment } from "./shortlist.ts";
import { HOP_SAMPLES } from "./spectrum.ts";
import { FINE_RATE } from "./template.ts";

/** Waveforms are judged in blocks of 100 ms of analysis samples. */
export const BLOCK_SAMPLES = 800;
/** A block is coherent from this share of the coherence that its noise allows. */
export const COHERENT_SHARE = 0.55;

/** ±20 ms, in fine samples. */
const LARGEST_LAG = 320;
/** As many analysis samples, one after the other. */
const WHOLE_LAGS: Lags = { first: -LARGEST_LAG, count: LARGEST_LAG + 1 };
/** A jitter buffer that slips does so by whole frames. */
const SLIPS = [-320, 320, -640, 640, -319, -321, 319, 321, -1, 1];
const SLIP_GAIN = 0.2;
/** From this much on a lag is as good as it gets. */
const SETTLED_SAMPLES = 8000;
const QUICK = { lengthSamples: 800, pieces: 3 };
const THOROUGH = { lengthSamples: 1600, pieces: 5 };
/** Less than the power of one sample that is not zero: what rounding leaves of a sum. */
const NO_POWER = 1e-12;

/** How a block of heard samples compares with the template's. */
export interface BlockMatch {
  /** Normalised correlation. */
  readonly correlation: number;
  readonly heardPower: number;
  /** Of the template, before gain. */
  readonly expectedPower: number;
}

/** The span of heard samples that is compared. */
export interface Span {
  from: number;
  to: number;
}

/** Lags an analysis sample apart, from `first` on; in fine samples. */
interface Lags {
  readonly first: number;
  readonly count: number;
}

/** Lays a candidate's waveform over the heard one, to half a sample, and follows it through slips. */
export class Alignment {
  readonly #segment: Segment;
  readonly #candidate: Candidate;
  readonly #base: number;
  readonly #lag: number;
  /** How much was heard when the lag was found. */
  readonly lengthSamples: number;
  readonly #blocks = new Map<number, BlockMatch>();
  #slip = 0;

  constructor(
    segment: Segment,
    candidate: Candidate,
    span: Span,
    { thorough = false }: { thorough?: boolean } = {},
  ) {
    this.#segment = segment;
    this.#candidate = candidate;
    const { template, offset } = candidate;
    this.#base = template.origin - FINE_RATE * offset * HOP_SAMPLES;
    this.lengthSamples = span.to - span.from;
    this.#lag = this.#findLag(span, thorough ? THOROUGH : QUICK);
  }

  /** Whether enough more has been heard since to look for the lag again. */
  outgrown(span: Span, whole: boolean): boolean {
    if (this.lengthSamples >= SETTLED_SAMPLES) return false;
    return whole || span.to - span.from > 2 * this.lengthSamples;
  }

  /** Compares one block; complete blocks are remembered. */
  block(from: number, to: number): BlockMatch {
    const known = this.#blocks.get(from);
    if (known !== undefined) return known;
    const match = this.#followSlip(from, to, this.#compare(from, to, this.#lag + this.#slip));
    if (to - from === BLOCK_SAMPLES) this.#blocks.set(from, match);
    return match;
  }

  #followSlip(from: number, to: number, match: BlockMatch): BlockMatch {
    const noisePower = this.#segment.noise.power * (to - from);
    const expectedPower = match.expectedPower * 10 ** (this.#candidate.gainDb / 10);
    const enough = COHERENT_SHARE * Math.sqrt(expectedPower / (expectedPower + noisePower));
    if (match.correlation >= enough || expectedPower <= 0.1 * noisePower) return match;
    let best = match;
    const lag = this.#lag + this.#slip;
    for (const slip of SLIPS) {
      const slipped = this.#compare(from, to, lag + slip);
      if (slipped.correlation < enough || slipped.correlation <= best.correlation + SLIP_GAIN)
        continue;
      best = slipped;
      this.#slip = lag - this.#lag + slip;
    }
    return best;
  }

  #findLag(span: Span, { lengthSamples, pieces }: typeof QUICK): number {
    const starts = this.#loudest(span, lengthSamples).slice(0, pieces);
    if (starts.length === 0) starts.push(Math.max(0, Math.min(span.from, span.to - 400)));
    const places = starts.map((from) => ({ from, to: Math.min(span.to, from + lengthSamples) }));
    const whole = this.#bestLag(places, WHOLE_LAGS);
    const half = this.#bestLag(places, { first: whole.lag - 1, count: 2 });
    return half.score > whole.score ? half.lag : whole.lag;
  }

  #bestLag(places: readonly Span[], { first, count }: Lags): { lag: number; score: number } {
    const scores = new Float64Array(count);
    for (const place of places) this.#addScores(scores, place, first);
    const score = Math.max(...scores);
    return { lag: first + FINE_RATE * scores.indexOf(score), score };
  }

  /**
   * Adds the cube of the correlation at each lag: after a slip, a lag that is right for some pieces
   * beats one that is half right for all.
   */
  #addScores(scores: Float64Array, { from, to }: Span, firstLag: number): void {
    const length = to - from;
    const expected = this.#expectedFrom(
      FINE_RATE * from + this.#base + firstLag,
      length + scores.length,
    );
    const heard = { values: this.#segment.history.samples, at: from, length };
    const cross = new Float64Array(scores.length);
    addCorrelations(cross, heard, { values: expected, at: 0 });
    const heardPower = powerOf(heard);
    let power = powerOf({ values: expected, at: 0, length });
    for (let index = 0; index < scores.length; index++) {
      const comparable = heardPower > NO_POWER && power > NO_POWER;
      const correlation = comparable ? (cross[index] ?? 0) / Math.sqrt(heardPower * power) : 0;
      scores[index] = (scores[index] ?? 0) + correlation ** 3;
      power += (expected[index + length] ?? 0) ** 2 - (expected[index] ?? 0) ** 2;
    }
  }

  /** The template's waveform at the analysis rate, from a fine sample on; beyond its ends silence. */
  #expectedFrom(fine: number, count: number): Float32Array {
    const { waveform } = this.#candidate.template;
    const expected = new Float32Array(count);
    const first = Math.max(0, Math.ceil(-fine / FINE_RATE));
    const end = Math.min(count, Math.ceil((waveform.length - fine) / FINE_RATE));
    for (let index = first; index < end; index++) {
      expected[index] = waveform[fine + FINE_RATE * index] ?? 0;
    }
    return expected;
  }

  /** Where both waveforms are strong, strongest first. */
  #loudest(span: Span, lengthSamples: number): number[] {
    const { template, offset, gainDb } = this.#candidate;
    const gain = 10 ** (gainDb / 10);
    const end = Math.min(span.to, (offset + template.frames) * HOP_SAMPLES);
    const places: { from: number; power: number }[] = [];
    for (let from = span.from; from + lengthSamples <= end; from += lengthSamples / 2) {
      const { heardPower, expectedPower } = this.#compare(from, from + lengthSamples, 0);
      places.push({ from, power: Math.min(heardPower, expectedPower * gain) });
    }
    return places.toSorted((a, b) => b.power - a.power).map(({ from }) => from);
  }

  #compare(from: number, to: number, lag: number): BlockMatch {
    const { samples } = this.#segment.history;
    const { waveform } = this.#candidate.template;
    let cross = 0;
    let heardPower = 0;
    let expectedPower = 0;
    let fine = FINE_RATE * from + this.#base + lag;
    for (let index = from; index < to; index++, fine += FINE_RATE) {
      const x = samples[index] ?? 0;
      const y = fine >= 0 && fine < waveform.length ? (waveform[fine] ?? 0) : 0;
      cross += x * y;
      heardPower += x * x;
      expectedPower += y * y;
    }
    const comparable = heardPower > 0 && expectedPower > 0;
    const correlation = comparable ? cross / Math.sqrt(heardPower * expectedPower) : 0;
    return { correlation, heardPower, expectedPower };
  }
}

function powerOf({ values, at, length }: Run): number {
  let power = 0;
  for (let index = at; index < at + length; index++) power += (values[index] ?? 0) ** 2;
  return power;
}
