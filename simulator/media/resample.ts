import type { Audio } from "./frame.ts";

/** A filter's shape: zero crossings per side at the lower rate, Kaiser beta, cut-off over Nyquist. */
interface Design {
  readonly zeros: number;
  readonly beta: number;
  readonly rolloff: number;
}

/** 80 dB and better between any two rates, 2 ms of delay at 8 kHz. */
const GENERAL: Design = { zeros: 16, beta: 8, rolloff: 0.9 };
/** 8 <-> 16 kHz: a 95-tap half-band, flat to 3.4 kHz, -63 dB at 4.4 kHz; every second tap is zero. */
const HALF_BAND: Design = { zeros: 24, beta: 8, rolloff: 1 };

/** What rounding leaves of a tap that is zero. */
const LEAST_TAP = 1e-9;

/** Filters kept for one pair of rates; telephone and studio rates need at most 441. */
const LIMIT_PHASES = 1_000;

/**
 * Streaming sample rate conversion by any rational ratio: one windowed-sinc filter per output
 * phase. Feed chunks of any size; the output's length varies by a sample around the exact ratio,
 * and is late by {@link Resampler.delayMs}.
 */
export class Resampler {
  readonly fromHz: number;
  readonly toHz: number;
  readonly #phases: readonly Filter[];
  readonly #step: number;
  readonly #taps: number;
  #history: Float64Array;
  #filled: number;
  #phase = 0;

  constructor(fromHz: number, toHz: number) {
    checkRate(fromHz);
    checkRate(toHz);
    const divisor = greatestCommonDivisor(fromHz, toHz);
    if (toHz / divisor > LIMIT_PHASES) {
      throw new RangeError(`resampling ${fromHz} to ${toHz} Hz: the ratio is not a simple one`);
    }
    this.fromHz = fromHz;
    this.toHz = toHz;
    this.#step = fromHz / divisor;
    ({ phases: this.#phases, taps: this.#taps } = designOf(fromHz, toHz));
    this.#filled = this.#taps - 1;
    this.#history = new Float64Array(this.#filled);
  }

  /** How long a sample takes from input to output. */
  get delayMs(): number {
    return (this.#taps / 2 / this.fromHz) * 1_000;
  }

  process(samples: Int16Array): Int16Array {
    if (this.fromHz === this.toHz) return samples.slice();
    this.#append(samples);
    const phases = this.#phases.length;
    const step = this.#step;
    const positions = Math.max(0, this.#filled - this.#taps + 1);
    const produced = Math.max(0, Math.ceil((positions * phases - this.#phase) / step));
    const sums = new Float64Array(produced);
    for (let first = 0; first < phases && first < produced; first++) {
      const at = this.#phase + first * step;
      const place = { at: Math.floor(at / phases), step, first, every: phases };
      for (const comb of this.#phases[at % phases] ?? []) addComb(sums, comb, this.#history, place);
    }
    const next = this.#phase + produced * step;
    const consumed = Math.floor(next / phases);
    this.#phase = next % phases;
    this.#history.copyWithin(0, consumed, this.#filled);
    this.#filled -= consumed;
    const output = new Int16Array(produced);
    for (let index = 0; index < produced; index++) output[index] = clip(sums[index] ?? 0);
    return output;
  }

  /** What is still inside the filter; afterwards the stream starts anew. */
  flush(): Int16Array {
    if (this.fromHz === this.toHz) return new Int16Array(0);
    const tail = this.process(new Int16Array(this.#taps >> 1)).slice();
    this.#history.fill(0);
    this.#filled = this.#taps - 1;
    this.#phase = 0;
    return tail;
  }

  #append(samples: Int16Array): void {
    const needed = this.#filled + samples.length;
    if (needed > this.#history.length) {
      const grown = new Float64Array(needed * 2);
      grown.set(this.#history.subarray(0, this.#filled));
      this.#history = grown;
    }
    this.#history.set(samples, this.#filled);
    this.#filled = needed;
  }
}

/** Taps that follow each other at a distance; those between are zero. */
interface Comb {
  readonly first: number;
  readonly every: number;
  readonly taps: Float64Array;
}

/** The sum of its combs; a half-band has two, one of a single tap. */
type Filter = readonly Comb[];

/** Every `every`-th sum from `first` on; the history lies `at` for the first, `step` further for each. */
interface Place {
  readonly at: number;
  readonly step: number;
  readonly first: number;
  readonly every: number;
}

/** Adds what a comb makes of the history. Four are summed side by side: a tap is read once for them. */
function addComb(sums: Float64Array, comb: Comb, history: Float64Array, place: Place): void {
  const { step, every } = place;
  let { at, first } = place;
  for (; first + 3 * every < sums.length; first += 4 * every, at += 4 * step) {
    addFour(sums, comb, history, { at, step, first, every });
  }
  for (; first < sums.length; first += every, at += step) {
    let sum = 0;
    let from = at + comb.first;
    for (let tap = 0; tap < comb.taps.length; tap++, from += comb.every) {
      sum += (comb.taps[tap] ?? 0) * (history[from] ?? 0);
    }
    sums[first] = (sums[first] ?? 0) + sum;
  }
}

function addFour(
  sums: Float64Array,
  { first: start, every: apart, taps }: Comb,
  history: Float64Array,
  { at, step, first, every }: Place,
): void {
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  let from = at + start;
  for (let tap = 0; tap < taps.length; tap++, from += apart) {
    const weight = taps[tap] ?? 0;
    sum0 += weight * (history[from] ?? 0);
    sum1 += weight * (history[from + step] ?? 0);
    sum2 += weight * (history[from + 2 * step] ?? 0);
    sum3 += weight * (history[from + 3 * step] ?? 0);
  }
  sums[first] = (sums[first] ?? 0) + sum0;
  sums[first + every] = (sums[first + every] ?? 0) + sum1;
  sums[first + 2 * every] = (sums[first + 2 * every] ?? 0) + sum2;
  sums[first + 3 * every] = (sums[first + 3 * every] ?? 0) + sum3;
}

/** A whole piece at another rate, without the filter's delay: sample 0 stays at time 0. */
export function resample(samples: Int16Array, fromHz: number, toHz: number): Int16Array {
  if (fromHz === toHz) return samples;
  const resampler = new Resampler(fromHz, toHz);
  const skip = Math.round((resampler.delayMs * toHz) / 1_000);
  const head = resampler.process(samples).slice();
  const tail = resampler.flush();
  const whole = new Int16Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole.subarray(skip, skip + Math.round((samples.length * toHz) / fromHz));
}

/** `audio` at `rateHz`; the same object when it has that rate already. */
export function atRate(audio: Audio, rateHz: number): Audio {
  if (audio.rateHz === rateHz) return audio;
  return { samples: resample(audio.samples, audio.rateHz, rateHz), rateHz };
}

interface Designed {
  readonly phases: readonly Filter[];
  /** Length of every phase. */
  readonly taps: number;
}

const designs = new Map<string, Designed>();

/** Filters depend on the two rates only; a call opens several resamplers of the same kind. */
function designOf(fromHz: number, toHz: number): Designed {
  const key = `${fromHz}:${toHz}`;
  const known = designs.get(key);
  if (known !== undefined) return known;
  const halfBand = fromHz === 2 * toHz || toHz === 2 * fromHz;
  const filters = design(fromHz, toHz, halfBand ? HALF_BAND : GENERAL);
  const phases = filters.map((filter) => (halfBand ? combsOf(filter) : [wholeOf(filter)]));
  const designed = { phases, taps: filters[0]?.length ?? 1 };
  designs.set(key, designed);
  return designed;
}

function wholeOf(taps: Float64Array): Comb {
  return { first: 0, every: 1, taps };
}

/** A half-band without its zeros: the middle tap, and either all others or every second. */
function combsOf(filter: Float64Array): Filter {
  const middle = filter.indexOf(Math.max(...filter));
  const isZero = (tap: number) => Math.abs(filter[tap] ?? 0) < LEAST_TAP;
  if (!isZero(middle + 2)) return [wholeOf(filter)];
  const first = (middle + 1) % 2;
  const others = filter.filter((_, tap) => tap % 2 === first);
  const single = { first: middle, every: 1, taps: filter.slice(middle, middle + 1) };
  return others.every((tap) => Math.abs(tap) < LEAST_TAP)
    ? [single]
    : [single, { first, every: 2, taps: others }];
}

function design(fromHz: number, toHz: number, { zeros, beta, rolloff }: Design): Float64Array[] {
  const narrowing = Math.min(1, toHz / fromHz);
  const cutoff = narrowing * rolloff;
  const half = Math.ceil(zeros / narrowing);
  const phases = toHz / greatestCommonDivisor(fromHz, toHz);
  return Array.from({ length: phases }, (_, phase) => {
    const filter = Float64Array.from({ length: 2 * half }, (_tap, tap) => {
      const distance = tap - half + 1 - phase / phases;
      const window = Math.sqrt(Math.max(0, 1 - (distance / half) ** 2));
      return (sinc(distance * cutoff) * bessel(beta * window)) / bessel(beta);
    });
    const gain = filter.reduce((sum, tap) => sum + tap, 0);
    return filter.map((tap) => tap / gain);
  });
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function clip(value: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round(value)));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function checkRate(rateHz: number): void {
  if (Number.isInteger(rateHz) && rateHz >= 1_000 && rateHz <= 192_000) return;
  throw new RangeError(`sample rate: expected 1000 to 192000 Hz, got ${rateHz}`);
}
