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
/** They are tried an analysis sample apart. */
const LAG_STEP = FINE_RATE;
const LAGS = (2 * LARGEST_LAG) / LAG_STEP + 1;
/** A jitter buffer that slips does so by whole frames. */
const SLIPS = [-320, 320, -640, 640, -319, -321, 319, 321, -1, 1];
const SLIP_LAGS = 320 / LAG_STEP;
const SLIP_GAIN = 0.2;
/** Between pieces that slipped and a lag that is half right for all of them, a pitch period off, say. */
const SLIPPED_SHARE = 0.9;
/** A block with this share of the coherence that its noise allows has not slipped. */
const SURE_SHARE = 0.8;
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

interface FollowedBlock extends BlockMatch {
  readonly lag: number;
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
  /** Where the lag was found. */
  readonly #anchor: number;
  readonly #blocks = new Map<number, FollowedBlock>();

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
    const places = this.#loudest(span, thorough ? THOROUGH : QUICK);
    this.#lag = this.#findLag(places);
    const likeness = places.map((place) => this.#compare(place, this.#lag).correlation);
    this.#anchor = places[likeness.indexOf(Math.max(...likeness))]?.from ?? span.from;
  }

  /** Whether enough more has been heard since to look for the lag again. */
  outgrown(span: Span, whole: boolean): boolean {
    if (this.lengthSamples >= SETTLED_SAMPLES) return false;
    return whole || span.to - span.from > 2 * this.lengthSamples;
  }

  /**
   * Compares consecutive blocks, complete ones once. The lag is certain where it was found; from there
   * it is followed in both directions, because slips add up, and each is a step from the block beside it.
   */
  blocks(spans: readonly Span[]): BlockMatch[] {
    const after = spans.filter(({ to }) => to > this.#anchor);
    const before = spans.slice(0, spans.length - after.length).toReversed();
    return [...this.#followed(before).toReversed(), ...this.#followed(after)];
  }

  #followed(spans: readonly Span[]): BlockMatch[] {
    let lag = this.#lag;
    return spans.map((span) => {
      const block = this.#blocks.get(span.from) ?? this.#follow(span, lag);
      if (span.to - span.from === BLOCK_SAMPLES) this.#blocks.set(span.from, block);
      lag = block.lag;
      return block;
    });
  }

  #follow(span: Span, lag: number): FollowedBlock {
    const match = this.#compare(span, lag);
    const noisePower = this.#segment.noise.power * (span.to - span.from);
    const expectedPower = match.expectedPower * 10 ** (this.#candidate.gainDb / 10);
    const possible = Math.sqrt(expectedPower / (expectedPower + noisePower));
    let best = { ...match, lag };
    if (match.correlation >= SURE_SHARE * possible || expectedPower <= 0.1 * noisePower)
      return best;
    for (const slip of SLIPS) {
      const slipped = this.#compare(span, lag + slip);
      if (slipped.correlation < COHERENT_SHARE * possible) continue;
      if (slipped.correlation > best.correlation + SLIP_GAIN)
        best = { ...slipped, lag: lag + slip };
    }
    return best;
  }

  #findLag(places: readonly Span[]): number {
    const scores = new Float64Array(LAGS);
    for (const place of places) addWithSlips(scores, this.#cubes(place));
    const whole = LAG_STEP * scores.indexOf(Math.max(...scores)) - LARGEST_LAG;
    const halves = [whole, whole - 1, whole + 1];
    const reached = halves.map((lag) =>
      places.reduce((sum, place) => sum + this.#compare(place, lag).correlation ** 3, 0),
    );
    return halves[reached.indexOf(Math.max(...reached))] ?? whole;
  }

  /** The cube of the correlation at each lag: high where it is right, next to nothing elsewhere. */
  #cubes({ from, to }: Span): Float64Array {
    const length = to - from;
    const expected = this.#expectedFrom(FINE_RATE * from + this.#base - LARGEST_LAG, length + LAGS);
    const heard = { values: this.#segment.history.samples, at: from, length };
    const cross = new Float64Array(LAGS);
    addCorrelations(cross, heard, { values: expected, at: 0 });
    const heardPower = powerOf(heard);
    let power = powerOf({ values: expected, at: 0, length });
    return cross.map((sum, index) => {
      const comparable = heardPower > NO_POWER && power > NO_POWER;
      const correlation = comparable ? sum / Math.sqrt(heardPower * power) : 0;
      power += (expected[index + length] ?? 0) ** 2 - (expected[index] ?? 0) ** 2;
      return correlation ** 3;
    });
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

  /** Where both waveforms are strong. */
  #loudest(span: Span, { lengthSamples, pieces }: typeof QUICK): Span[] {
    const { template, offset, gainDb } = this.#candidate;
    const gain = 10 ** (gainDb / 10);
    const end = Math.min(span.to, (offset + template.frames) * HOP_SAMPLES);
    const places: (Span & { power: number })[] = [];
    for (let from = span.from; from + lengthSamples <= end; from += lengthSamples / 2) {
      const place = { from, to: from + lengthSamples };
      const { heardPower, expectedPower } = this.#compare(place, 0);
      places.push({ ...place, power: Math.min(heardPower, expectedPower * gain) });
    }
    if (places.length > 0) return places.toSorted((a, b) => b.power - a.power).slice(0, pieces);
    const from = Math.max(0, Math.min(span.from, span.to - 400));
    return [{ from, to: Math.min(span.to, from + lengthSamples) }];
  }

  #compare({ from, to }: Span, lag: number): BlockMatch {
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

/** Adds a piece's score at each lag, or that of a slip away: pieces have the same lag but for slips. */
function addWithSlips(scores: Float64Array, piece: Float64Array): void {
  for (let lag = 0; lag < scores.length; lag++) {
    const slipped = Math.max(piece[lag - SLIP_LAGS] ?? 0, piece[lag + SLIP_LAGS] ?? 0);
    scores[lag] = (scores[lag] ?? 0) + Math.max(piece[lag] ?? 0, SLIPPED_SHARE * slipped);
  }
}

function powerOf({ values, at, length }: Run): number {
  let power = 0;
  for (let index = at; index < at + length; index++) power += (values[index] ?? 0) ** 2;
  return power;
}
