import { expect, test } from "vitest";
import { atRate, Resampler, resample } from "./resample.ts";

const LEVEL = 10_000;

function tone(hz: number, rateHz: number, seconds = 1): Int16Array {
  return Int16Array.from({ length: rateHz * seconds }, (_, n) =>
    Math.round(LEVEL * Math.sin((2 * Math.PI * hz * n) / rateHz)),
  );
}

/** Least-squares fit of a tone to the middle half: its gain, and how far it is above the rest. */
function fit(samples: Int16Array, hz: number, rateHz: number): { gainDb: number; snrDb: number } {
  const middle = samples.subarray(samples.length >> 2, (samples.length * 3) >> 2);
  const angle = (n: number) => (2 * Math.PI * hz * n) / rateHz;
  const project = (wave: (x: number) => number) =>
    middle.reduce((sum, sample, n) => sum + sample * wave(angle(n)), 0) * (2 / middle.length);
  const [a, b] = [project(Math.sin), project(Math.cos)];
  const rest = middle.reduce(
    (sum, sample, n) => sum + (sample - a * Math.sin(angle(n)) - b * Math.cos(angle(n))) ** 2,
    0,
  );
  const power = (a * a + b * b) / 2;
  const gainDb = 20 * Math.log10(Math.sqrt(a * a + b * b) / LEVEL);
  return { gainDb, snrDb: 10 * Math.log10(power / (rest / middle.length)) };
}

const pairs = [
  [8_000, 16_000],
  [16_000, 8_000],
  [24_000, 8_000],
  [8_000, 24_000],
  [48_000, 8_000],
  [44_100, 8_000],
] as const;

test.for(pairs)("%d to %d Hz keeps speech tones clean and level", ([fromHz, toHz]) => {
  for (const hz of [300, 1_000, 2_000, 3_000]) {
    const { gainDb, snrDb } = fit(resample(tone(hz, fromHz), fromHz, toHz), hz, toHz);
    expect(Math.abs(gainDb)).toBeLessThan(0.1);
    expect(snrDb).toBeGreaterThan(75);
  }
});

test("what lies above the new Nyquist frequency does not fold back", () => {
  for (const hz of [4_600, 5_000, 6_000, 7_500]) {
    const folded = resample(tone(hz, 16_000), 16_000, 8_000).subarray(1_000, 7_000);
    expect(folded.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)).toBeLessThan(10);
  }
});

test("a whole piece keeps its length and its time", () => {
  const click = new Int16Array(1_600);
  click[800] = 20_000;
  const slower = resample(click, 16_000, 8_000);
  expect(slower.length).toBe(800);
  expect(slower.indexOf(slower.reduce((a, b) => Math.max(a, b)))).toBe(400);
  const faster = resample(click, 8_000, 24_000);
  expect(faster.length).toBe(4_800);
  expect(faster.indexOf(faster.reduce((a, b) => Math.max(a, b)))).toBe(2_400);
});

test("chunks of any size give the same stream as one piece", () => {
  const samples = tone(440, 24_000);
  const whole = new Resampler(24_000, 8_000).process(samples);
  const streaming = new Resampler(24_000, 8_000);
  const chunked: number[] = [];
  for (let at = 0, size = 1; at < samples.length; at += size, size = (size * 7) % 611) {
    chunked.push(...streaming.process(samples.subarray(at, at + size)));
  }
  expect(chunked).toEqual([...whole]);
});

test("after a flush the stream starts anew", () => {
  const resampler = new Resampler(16_000, 8_000);
  const first = [...resampler.process(tone(500, 16_000, 0.1)), ...resampler.flush()];
  const second = [...resampler.process(tone(500, 16_000, 0.1)), ...resampler.flush()];
  expect(first).toEqual(second);
  expect(first.length).toBeGreaterThanOrEqual(800);
});

test("the same rate copies", () => {
  const audio = { samples: tone(500, 8_000, 0.01), rateHz: 8_000 };
  expect(atRate(audio, 8_000)).toBe(audio);
  expect(new Resampler(8_000, 8_000).process(audio.samples)).toEqual(audio.samples);
});

test("a loud square wave is clipped, not wrapped", () => {
  const square = Int16Array.from({ length: 1_600 }, (_, n) => (n % 16 < 8 ? 32_767 : -32_768));
  const converted = resample(square, 16_000, 8_000);
  expect(converted.every((sample, n) => n < 8 || Math.abs(sample) > 2_000)).toBe(true);
});

test("a rate no telephone has is refused", () => {
  expect(() => new Resampler(0, 8_000)).toThrow("expected 1000 to 192000 Hz, got 0");
  expect(() => new Resampler(8_000, 8_000.5)).toThrow("got 8000.5");
  expect(() => new Resampler(44_101, 8_000)).toThrow("the ratio is not a simple one");
});
