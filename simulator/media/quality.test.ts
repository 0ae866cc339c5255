import { describe, expect, test } from "vitest";
import { envelope, FLOOR_DB, levelDb } from "./envelope.ts";
import { Fft } from "./fft.ts";
import { decodeMulaw, encodeMulaw } from "./g711.ts";
import { randomFrom } from "./impair.ts";
import { compareAudio, findGaps } from "./quality.ts";
import { legAudio, Recorder } from "./recording.ts";
import { RATE_HZ, speechLike } from "./testing/leg.ts";

const speech = speechLike(3);
const audio = (samples: Int16Array) => ({ samples, rateHz: RATE_HZ });

/** `samples` later, at another level, and with noise. */
function heard(samples: Int16Array, { delay = 0, noise = 0, gain = 1 } = {}): Int16Array {
  const random = randomFrom(1);
  const line = new Int16Array(delay + samples.length + 1_600);
  line.set(
    samples.map((sample) => gain * sample),
    delay,
  );
  return line.map((sample) => sample + noise * (random() + random() + random() - 1.5));
}

/** Every `nth` frame of 20 ms is silence. */
function withLoss(samples: Int16Array, nth: number): Int16Array {
  return samples.map((sample, n) => (Math.floor(n / 160) % nth === 0 ? 0 : sample));
}

function level(value: number): Int16Array {
  return new Int16Array(160).fill(value);
}

function score(line: Int16Array) {
  return compareAudio(audio(speech), audio(line));
}

describe("a comparison", () => {
  test("of a piece with itself is perfect, wherever it stands", () => {
    const { lagMs, correlation, gainDb, segmentalSnrDb, stoi } = compareAudio(
      audio(speech),
      audio(heard(speech, { delay: 1_234 })),
    );
    expect(lagMs).toBe(1_234 / 8);
    expect(correlation).toBeCloseTo(1, 6);
    expect(gainDb).toBeCloseTo(0, 3);
    expect(segmentalSnrDb).toBe(35);
    expect(stoi).toBeCloseTo(1, 6);
  });

  test("takes level and rate out", () => {
    const quiet = audio(heard(speech, { gain: 0.1 }));
    expect(compareAudio(audio(speech), quiet).gainDb).toBeCloseTo(-20, 0);
    expect(compareAudio(audio(speech), quiet).correlation).toBeGreaterThan(0.999);
    const wide = { samples: speech, rateHz: 16_000 };
    expect(compareAudio(wide, wide).correlation).toBeGreaterThan(0.999);
  });

  test("sees what G.711 costs: 30 dB and hardly any intelligibility", () => {
    const line = audio(decodeMulaw(encodeMulaw(speech)));
    const { segmentalSnrDb, stoi } = compareAudio(audio(speech), line);
    expect(segmentalSnrDb).toBeGreaterThan(30);
    expect(stoi).toBeGreaterThan(0.98);
  });

  test("falls with noise and with loss", () => {
    const noisy = [300, 1_000, 3_000].map((noise) => score(heard(speech, { noise })));
    const lossy = [20, 10, 5].map((nth) => score(withLoss(speech, nth)));
    for (const series of [noisy, lossy]) {
      const stoi = series.map((one) => one.stoi ?? 0);
      expect(stoi.toSorted((a, b) => b - a)).toEqual(stoi);
      expect(stoi[0]).toBeGreaterThan((stoi[2] ?? 1) + 0.02);
      const correlations = series.map(({ correlation }) => correlation);
      expect(correlations.toSorted((a, b) => b - a)).toEqual(correlations);
    }
    expect(noisy.map(({ segmentalSnrDb }) => Math.round(segmentalSnrDb))).toEqual(
      noisy.map(({ segmentalSnrDb }) => Math.round(segmentalSnrDb)).toSorted((a, b) => b - a),
    );
  });

  test("of something else finds nothing", () => {
    const random = randomFrom(5);
    const noise = Int16Array.from({ length: 40_000 }, () => 20_000 * (random() - 0.5));
    expect(compareAudio(audio(speech), audio(noise)).correlation).toBeLessThan(0.2);
    expect(compareAudio(audio(speech), audio(new Int16Array(8_000))).correlation).toBe(0);
  });

  test("of a blip has no intelligibility to speak of", () => {
    const blip = audio(speech.slice(0, 1_600));
    expect(compareAudio(blip, blip).stoi).toBeUndefined();
  });
});

/** The speech with silence from one sample to another. */
function cut(from: number, to: number): Int16Array {
  return speech.map((sample, n) => (n >= from && n < to ? 0 : sample));
}

describe("gaps", () => {
  test("of 60 ms and more are found where the original speaks", () => {
    const line = audio(heard(cut(8_000, 8_800), { delay: 400 }));
    expect(findGaps(line, { said: audio(speech) })).toEqual([{ startMs: 1_050, durationMs: 100 }]);
  });

  test("shorter ones, and the original's own pauses, are none", () => {
    const line = audio(heard(cut(8_000, 8_400), { delay: 400 }));
    expect(findGaps(line, { said: audio(speech) })).toEqual([]);
    expect(findGaps(line, { said: audio(speech), fromMs: 40 })).toEqual([
      { startMs: 1_050, durationMs: 50 },
    ]);
  });

  test("without an original are the silences too short for a pause", () => {
    const tone = new Int16Array(24_000).fill(5_000);
    tone.fill(0, 4_000, 4_800);
    tone.fill(0, 12_000, 16_000);
    tone.fill(0, 23_500);
    expect(findGaps(audio(tone))).toEqual([{ startMs: 500, durationMs: 100 }]);
  });
});

describe("envelopes", () => {
  test("say the level of each frame in dB below full scale", () => {
    const half = new Int16Array(320).fill(16_384);
    half.fill(0, 160);
    const levels = envelope(audio(half));
    expect(levels.length).toBe(2);
    expect(levels[0]).toBeCloseTo(-6.02, 2);
    expect(levels[1]).toBe(FLOOR_DB);
  });

  test("end with what is left, and are empty for nothing", () => {
    expect(envelope(audio(new Int16Array(161))).length).toBe(2);
    expect(envelope(audio(new Int16Array(0))).length).toBe(0);
    expect(levelDb(new Int16Array(0))).toBe(FLOOR_DB);
  });
});

test("the Fourier transform finds a tone, and its inverse gives it back", () => {
  const fft = new Fft(64);
  const re = Float64Array.from({ length: 64 }, (_, n) => Math.cos((2 * Math.PI * 5 * n) / 64));
  const original = re.slice();
  const im = new Float64Array(64);
  fft.transform({ re, im });
  expect(re.map((value) => Math.round(value * 1e6) / 1e6).indexOf(32)).toBe(5);
  fft.invert({ re, im });
  expect(Math.max(...re.map((value, n) => Math.abs(value - (original[n] ?? 0))))).toBeLessThan(
    1e-12,
  );
  expect(() => new Fft(48)).toThrow("expected a power of two, got 48");
});

describe("a leg's two directions", () => {
  test("are put on one time line", () => {
    const [said, heardBack] = [new Recorder(), new Recorder()];
    said.append(level(1), 100);
    heardBack.append(level(2), 140);
    const { left, right, startedAtMs } = legAudio(said, heardBack);
    expect(startedAtMs).toBe(100);
    expect(Array.from(left.samples)).toEqual([...level(1)]);
    expect(Array.from(right.samples)).toEqual([...new Int16Array(320), ...level(2)]);
  });

  test("may both be empty", () => {
    const { left, right, startedAtMs } = legAudio(new Recorder(), new Recorder());
    expect([left.samples.length, right.samples.length, startedAtMs]).toEqual([0, 0, 0]);
  });
});
