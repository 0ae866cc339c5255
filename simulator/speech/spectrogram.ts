import { addCorrelations } from "./cross-correlation.ts";
import { BANDS } from "./spectrum.ts";

/** Rows of a spectrogram. */
export interface RowSpan {
  readonly begin: number;
  readonly end: number;
}

/**
 * What rises above the noise, in dB. The rows of a band follow one another, with a margin of zeros on
 * both sides, so that two spectrograms are compared at many offsets band by band.
 */
export class Spectrogram {
  readonly #margin: number;
  #rows = 0;
  #values = new Float32Array(0);
  /** Of the rows before each row: the sum in each band, and the sum of all squares. */
  #sums = new Float64Array(0);
  #powers = new Float64Array(0);

  constructor({ margin }: { margin: number }) {
    this.#margin = margin;
  }

  get rows(): number {
    return this.#rows;
  }

  get values(): Float32Array {
    return this.#values;
  }

  /** Where in `values` a row of a band is. */
  at(band: number, row: number): number {
    return band * (this.#rows + 2 * this.#margin) + this.#margin + row;
  }

  /** Makes room for as many rows; what was there is gone. To be followed by {@link summed}. */
  clear(rows: number): void {
    this.#rows = rows;
    const values = BANDS * (rows + 2 * this.#margin);
    if (values > this.#values.length) {
      this.#values = new Float32Array(values);
      this.#sums = new Float64Array(BANDS * (rows + 1));
      this.#powers = new Float64Array(rows + 1);
    } else {
      this.#values.fill(0, 0, values);
      this.#powers.fill(0, 0, rows + 1);
    }
  }

  /** Every value has been written. */
  summed(): void {
    const values = this.#values;
    const sums = this.#sums;
    const powers = this.#powers;
    const rows = this.#rows;
    for (let band = 0; band < BANDS; band++) {
      let sum = 0;
      let at = this.at(band, 0);
      let total = band * (rows + 1);
      sums[total++] = 0;
      for (let row = 1; row <= rows; row++) {
        const value = values[at++] ?? 0;
        sum += value;
        sums[total++] = sum;
        powers[row] = (powers[row] ?? 0) + value * value;
      }
    }
    for (let row = 1; row <= rows; row++) {
      powers[row] = (powers[row] ?? 0) + (powers[row - 1] ?? 0);
    }
  }

  sum(band: number, { begin, end }: RowSpan): number {
    const at = band * (this.#rows + 1);
    return (this.#sums[at + end] ?? 0) - (this.#sums[at + begin] ?? 0);
  }

  power({ begin, end }: RowSpan): number {
    return (this.#powers[end] ?? 0) - (this.#powers[begin] ?? 0);
  }
}

/** The sums of products of two spectrograms, the second laid over the first at `count` offsets from `from` on. */
export function crossSums(
  heard: Spectrogram,
  expected: Spectrogram,
  { from, count }: { from: number; count: number },
): Float64Array {
  const cross = new Float64Array(count);
  const first = Math.max(0, 1 - from - count);
  const length = Math.min(expected.rows, heard.rows - from) - first;
  for (let band = 0; band < BANDS; band++) {
    const still = { values: expected.values, at: expected.at(band, first), length };
    addCorrelations(cross, still, { values: heard.values, at: heard.at(band, first + from) });
  }
  return cross;
}

/**
 * Normalised correlation over all bands of the rows `span` of `heard`, each band's mean removed, with
 * `expected` laid over it at `offset`. Outside its rows nothing is expected. `cross` is the sum of
 * their products.
 */
export function correlation(
  heard: Spectrogram,
  expected: Spectrogram,
  { offset, span, cross }: { offset: number; span: RowSpan; cross: number },
): number {
  const begin = Math.max(0, -offset);
  const overlaid = { begin, end: Math.max(begin, Math.min(expected.rows, span.end - offset)) };
  const rows = span.end - span.begin;
  let common = cross;
  let heardPower = heard.power(span);
  let expectedPower = expected.power(overlaid);
  for (let band = 0; band < BANDS; band++) {
    const heardSum = heard.sum(band, span);
    const expectedSum = expected.sum(band, overlaid);
    common -= (heardSum * expectedSum) / rows;
    heardPower -= (heardSum * heardSum) / rows;
    expectedPower -= (expectedSum * expectedSum) / rows;
  }
  const comparable = heardPower > 1e-6 && expectedPower > 1e-6;
  return comparable ? common / Math.sqrt(heardPower * expectedPower) : 0;
}
