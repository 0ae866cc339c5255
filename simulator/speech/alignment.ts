import type { Candidate, Segment } from "./shortlist.ts";
import { HOP_SAMPLES } from "./spectrum.ts";
import { FINE_RATE } from "./template.ts";

/** Waveforms are judged in blocks of 100 ms of analysis samples. */
export const BLOCK_SAMPLES = 800;
/** A block is coherent from this share of the coherence that its noise allows. */
export const COHERENT_SHARE = 0.55;

/** ±20 ms, in fine samples. */
const LARGEST_LAG = 320;
/** A jitter buffer that slips does so by whole frames. */
const SLIPS = [-320, 320, -640, 640, -319, -321, 319, 321, -1, 1];
const SLIP_GAIN = 0.2;
/** From this much on a lag is as good as it gets. */
const SETTLED_SAMPLES = 8000;
const QUICK = { lengthSamples: 800, step: 2, pieces: 3 };
const THOROUGH = { lengthSamples: 1600, step: 1, pieces: 5 };

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

  #findLag(span: Span, { lengthSamples, step, pieces }: typeof QUICK): number {
    const starts = this.#loudest(span, lengthSamples).slice(0, pieces);
    if (starts.length === 0) starts.push(Math.max(0, Math.min(span.from, span.to - 400)));
    // The cube: after a slip, a lag that is right for some pieces beats one that is half right for all.
    const score = (lag: number) =>
      starts.reduce((sum, from) => {
        const to = Math.min(span.to, from + lengthSamples);
        return sum + this.#compare(from, to, lag).correlation ** 3;
      }, 0);
    let best = { lag: 0, score: Number.NEGATIVE_INFINITY };
    const consider = (lag: number) => {
      const reached = score(lag);
      if (reached > best.score) best = { lag, score: reached };
    };
    for (let lag = -LARGEST_LAG; lag <= LARGEST_LAG; lag += step) consider(lag);
    const { lag } = best;
    for (const near of [lag - 2, lag - 1, lag + 1, lag + 2]) consider(near);
    return best.lag;
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
