/** A complex signal, real and imaginary parts apart. */
export interface Spectrum {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** The discrete Fourier transform of `size` (a power of two) points, in place. */
export class Fft {
  readonly #size: number;
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;

  constructor(size: number) {
    if (size < 2 || !Number.isInteger(Math.log2(size))) {
      throw new RangeError(`FFT: expected a power of two, got ${size}`);
    }
    this.#size = size;
    const angle = (index: number) => (-2 * Math.PI * index) / size;
    this.#cos = Float64Array.from({ length: size / 2 }, (_, index) => Math.cos(angle(index)));
    this.#sin = Float64Array.from({ length: size / 2 }, (_, index) => Math.sin(angle(index)));
  }

  transform({ re, im }: Spectrum): void {
    this.#permute(re, im);
    for (let span = 2; span <= this.#size; span *= 2) this.#combine(re, im, span);
  }

  /** The inverse, scaled by 1/size: the conjugate's transform, conjugated. */
  invert({ re, im }: Spectrum): void {
    this.transform({ re: im, im: re });
    for (let index = 0; index < this.#size; index++) {
      re[index] = (re[index] ?? 0) / this.#size;
      im[index] = (im[index] ?? 0) / this.#size;
    }
  }

  #permute(re: Float64Array, im: Float64Array): void {
    for (let index = 1, mirror = 0; index < this.#size; index++) {
      let bit = this.#size >> 1;
      for (; mirror & bit; bit >>= 1) mirror ^= bit;
      mirror ^= bit;
      if (index >= mirror) continue;
      swap(re, index, mirror);
      swap(im, index, mirror);
    }
  }

  #combine(re: Float64Array, im: Float64Array, span: number): void {
    const half = span / 2;
    const stride = this.#size / span;
    for (let at = 0; at < this.#size; at++) {
      if (at & half) continue;
      const turn = (at % half) * stride;
      const [cos, sin] = [this.#cos[turn] ?? 0, this.#sin[turn] ?? 0];
      const [x, y] = [re[at + half] ?? 0, im[at + half] ?? 0];
      const [a, b] = [x * cos - y * sin, x * sin + y * cos];
      re[at + half] = (re[at] ?? 0) - a;
      im[at + half] = (im[at] ?? 0) - b;
      re[at] = (re[at] ?? 0) + a;
      im[at] = (im[at] ?? 0) + b;
    }
  }
}

function swap(values: Float64Array, one: number, other: number): void {
  const kept = values[one] ?? 0;
  values[one] = values[other] ?? 0;
  values[other] = kept;
}
