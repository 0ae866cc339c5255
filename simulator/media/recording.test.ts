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

test("an hour with holes is on its time line", () => {
  const recorder = new Recorder({ limitMs: 3_600_000 });
  for (let second = 0; second < 3_600; second += 60) recorder.append(level(second), second * 1_000);
  expect(recorder.durationMs).toBe(3_540_020);
  const { samples } = recorder.audio();
  const at = (ms: number) => samples[ms * 8];
  expect([at(1_800_019), at(1_800_020), at(3_540_000)]).toEqual([1_800, 0, 3_540]);
});

test("audio of any length is kept whole", () => {
  const ramp = Int16Array.from({ length: 50_000 }, (_, n) => n % 30_000);
  const recorder = new Recorder();
  for (const [from, to] of [
    [0, 15_999],
    [15_999, 16_002],
    [16_002, 50_000],
  ]) {
    recorder.append(ramp.subarray(from, to), (from ?? 0) / 8);
  }
  expect(recorder.audio().samples).toEqual(ramp);
});
