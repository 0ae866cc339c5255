import { expect, test } from "vitest";
import { Recorder } from "./recording.ts";

const level = (value: number, length = 160) => new Int16Array(length).fill(value);

test("frames stand one after the other from the first one's time on", () => {
  const recorder = new Recorder();
  expect(recorder.startedAtMs).toBeUndefined();
  recorder.append(level(1), 500);
  recorder.append(level(2), 520);
  expect(recorder.startedAtMs).toBe(500);
  expect(recorder.durationMs).toBe(40);
  expect(recorder.audio()).toEqual({
    samples: Int16Array.of(...level(1), ...level(2)),
    rateHz: 8_000,
  });
});

test("a pause becomes silence, a packet's small delay does not", () => {
  const recorder = new Recorder();
  recorder.append(level(1), 0);
  recorder.append(level(2), 55);
  recorder.append(level(3), 200);
  const { samples } = recorder.audio();
  expect(samples.length).toBe(220 * 8);
  expect([samples[160], samples[319], samples[320], samples[1_599], samples[1_600]]).toEqual([
    2, 2, 0, 0, 3,
  ]);
});

test("an earlier copy does not change when the recording goes on", () => {
  const recorder = new Recorder();
  recorder.append(level(1), 0);
  const { samples } = recorder.audio();
  recorder.append(level(2), 20);
  expect(samples.length).toBe(160);
});

test("the limit is kept and told", () => {
  const recorder = new Recorder({ limitMs: 30 });
  recorder.append(level(1), 0);
  expect(recorder.truncated).toBe(false);
  recorder.append(level(2), 20);
  recorder.append(level(3), 3_600_000);
  expect(recorder.durationMs).toBe(30);
  expect(recorder.truncated).toBe(true);
});

test("an hour grows by doubling", () => {
  const recorder = new Recorder({ limitMs: 3_600_000 });
  for (let second = 0; second < 3_600; second += 60) recorder.append(level(second), second * 1_000);
  expect(recorder.durationMs).toBe(3_540_020);
});
