/** The recogniser works on telephone bandwidth: 8 kHz, frames of 25 ms every 10 ms. */
export const ANALYSIS_RATE_HZ = 8000;
export const HOP_SAMPLES = 80;
export const HOP_MS = 10;
export const FRAME_SAMPLES = 200;
/** Triangular mel bands from 200 to 3,500 Hz. */
export const BANDS = 20;

const LOWEST_HZ = 200;
const HIGHEST_HZ = 3500;
const FFT_SIZE = 256;
const FULL_SCALE = 32_768;
const POWER_FLOOR = 1e-9;

const toMel = (hz: number) => 2595 * Math.log10(1 + hz / 700);
const fromMel = (mel: number) => 700 * (10 ** (mel / 2595) - 1);

const WINDOW = Float64Array.from(
  { length: FRAME_SAMPLES },
  (_, index) => (0.5 - 0.5 * Math.cos((2 * Math.PI * index) / (FRAME_SAMPLES - 1))) / FULL_SCALE,
);
const FILTERS = Array.from({ length: BANDS }, (_, band) => triangle(band));
const COSINE = Float64Array.from({ length: FFT_SIZE / 2 }, (_, i) => Math.cos(angle(i)));
const SINE = Float64Array.from({ length: FFT_SIZE / 2 }, (_, i) => -Math.sin(angle(i)));
const REVERSED = Uint16Array.from({ length: FFT_SIZE }, (_, index) => reversedBits(index));
/** Hann window's mean square (0.375) times the two halves of the spectrum. */
const ENERGY_SCALE = 2 / (FRAME_SAMPLES * 0.375 * (FFT_SIZE / 2));

/** The bins a band takes from, and how much of each. */
interface Filter {
  readonly first: number;
  readonly weights: Float64Array;
}

function triangle(band: number): Filter {
  const step = (toMel(HIGHEST_HZ) - toMel(LOWEST_HZ)) / (BANDS + 1);
  const edge = (index: number) =>
    (fromMel(toMel(LOWEST_HZ) + step * index) * FFT_SIZE) / ANALYSIS_RATE_HZ;
  const [low, middle, high] = [edge(band), edge(band + 1), edge(band + 2)];
  const first = Math.floor(low) + 1;
  const weights = Float64Array.from({ length: Math.ceil(high) - first }, (_, index) => {
    const bin = first + index;
    return bin < middle ? (bin - low) / (middle - low) : (high - bin) / (high - middle);
  });
  return { first, weights };
}

function angle(index: number): number {
  return (2 * Math.PI * index) / FFT_SIZE;
}

function reversedBits(index: number): number {
  let reversed = 0;
  for (let bit = 1; bit < FFT_SIZE; bit <<= 1) {
    reversed = (reversed << 1) | ((index & bit) === 0 ? 0 : 1);
  }
  return reversed;
}

const real = new Float64Array(FFT_SIZE);
const imaginary = new Float64Array(FFT_SIZE);

/**
 * Writes the log power (dB re full scale) of each band of the frame that starts at `offset` to
 * `bands` from `at` on, and returns the frame's total in dB.
 */
export function logMel(
  samples: Float32Array | Int16Array,
  offset: number,
  bands: Float32Array,
  at: number,
): number {
  imaginary.fill(0);
  for (let index = 0; index < FFT_SIZE; index++) {
    const windowed =
      index < FRAME_SAMPLES ? (samples[offset + index] ?? 0) * (WINDOW[index] ?? 0) : 0;
    real[REVERSED[index] ?? 0] = windowed;
  }
  transform();
  let total = 0;
  for (let band = 0; band < BANDS; band++) {
    const power = bandPower(band);
    total += power;
    bands[at + band] = 10 * Math.log10(power + POWER_FLOOR);
  }
  return 10 * Math.log10(total * ENERGY_SCALE + 1e-10);
}

function bandPower(band: number): number {
  const filter = FILTERS[band];
  if (filter === undefined) return 0;
  let power = 0;
  for (let index = 0; index < filter.weights.length; index++) {
    const re = real[filter.first + index] ?? 0;
    const im = imaginary[filter.first + index] ?? 0;
    power += (filter.weights[index] ?? 0) * (re * re + im * im);
  }
  return power;
}

/** Radix-2 FFT, in place, on input that is already in bit-reversed order. */
function transform(): void {
  for (let size = 2; size <= FFT_SIZE; size <<= 1) {
    for (let start = 0; start < FFT_SIZE; start += size) butterflies(start, size >> 1);
  }
}

function butterflies(start: number, half: number): void {
  const stride = FFT_SIZE / (2 * half);
  for (let index = 0; index < half; index++) {
    const cosine = COSINE[index * stride] ?? 0;
    const sine = SINE[index * stride] ?? 0;
    const upper = start + index;
    const lower = upper + half;
    const lowerReal = real[lower] ?? 0;
    const lowerImaginary = imaginary[lower] ?? 0;
    const turnedReal = lowerReal * cosine - lowerImaginary * sine;
    const turnedImaginary = lowerReal * sine + lowerImaginary * cosine;
    const upperReal = real[upper] ?? 0;
    const upperImaginary = imaginary[upper] ?? 0;
    real[lower] = upperReal - turnedReal;
    imaginary[lower] = upperImaginary - turnedImaginary;
    real[upper] = upperReal + turnedReal;
    imaginary[upper] = upperImaginary + turnedImaginary;
  }
}
