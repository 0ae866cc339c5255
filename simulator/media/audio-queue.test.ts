import { expect, test } from "vitest";
import { AudioQueue } from "./audio-queue.ts";

const FRAME = 160;

/** Takes frames until the queue has nothing to say; the first number of each says which it was. */
function drain(queue: AudioQueue): Int16Array[] {
  const frames: Int16Array[] = [];
  for (let frame = new Int16Array(FRAME); queue.take(frame); frame = new Int16Array(FRAME)) {
    frames.push(frame);
  }
  return frames;
}

const counted = (from: number, length: number) =>
  Int16Array.from({ length }, (_, index) => from + index);

const join = (frames: Int16Array[]) => frames.flatMap((frame) => Array.from(frame));

test("a whole piece is played frame by frame and reports when it is done", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  const done: number[] = [];
  queue.play(counted(1, 400), (playedMs) => done.push(playedMs));
  expect(queue.queuedMs).toBe(50);
  expect(join(drain(queue))).toEqual([...counted(1, 400), ...new Int16Array(80)]);
  expect(done).toEqual([50]);
  expect(queue.queuedMs).toBe(0);
});

test("two pieces follow each other without a gap", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  queue.play(counted(1, 200), () => {});
  queue.play(counted(201, 120), () => {});
  expect(join(drain(queue))).toEqual([...counted(1, 320)]);
});

test("a dropped piece reports what was played, and the next one moves up", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  const done: number[] = [];
  const drop = queue.play(counted(1, 480), (playedMs) => done.push(playedMs));
  queue.play(counted(1_000, 160), (playedMs) => done.push(playedMs));
  queue.take(new Int16Array(FRAME));
  drop();
  drop();
  expect(done).toEqual([20]);
  expect(queue.queuedMs).toBe(20);
  expect(join(drain(queue))).toEqual([...counted(1_000, 160)]);
  expect(done).toEqual([20, 20]);
});

test("streamed audio waits for two frames, so that a late writer leaves no gap", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  queue.write(counted(1, FRAME), 8_000);
  expect(queue.take(new Int16Array(FRAME))).toBe(false);
  queue.write(counted(161, FRAME), 8_000);
  const heard: Int16Array[] = [];
  for (let next = 321; next < 2_000; next += FRAME) {
    const frame = new Int16Array(FRAME);
    expect(queue.take(frame)).toBe(true);
    heard.push(frame);
    queue.write(counted(next, FRAME), 8_000);
  }
  heard.push(...drain(queue));
  expect(join(heard)).toEqual([...counted(1, heard.length * FRAME)]);
});

test("a short streamed piece is not kept waiting for ever", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  queue.write(counted(1, 100), 8_000);
  const taken = [1, 2, 3, 4].map(() => queue.take(new Int16Array(FRAME)));
  expect(taken).toEqual([false, false, true, false]);
});

test("streams at other rates come out whole, whatever the chunk size", () => {
  for (const rateHz of [16_000, 24_000, 48_000]) {
    const queue = new AudioQueue({ limitMs: 2_000 });
    const samples = Int16Array.from({ length: rateHz }, (_, n) =>
      Math.round(9_000 * Math.sin((2 * Math.PI * 300 * n) / rateHz)),
    );
    for (let at = 0; at < samples.length; at += 333)
      queue.write(samples.subarray(at, at + 333), rateHz);
    const heard = join(drain(queue));
    expect(Math.abs(heard.length - 8_000)).toBeLessThanOrEqual(2 * FRAME);
    const steps = heard
      .slice(200, 7_800)
      .map((sample, n) => Math.abs(sample - (heard[n + 199] ?? 0)));
    expect(Math.max(...steps)).toBeLessThan(9_000 * 2 * Math.PI * (300 / 8_000) * 1.05);
  }
});

test("a flush drops everything and says how much that was", () => {
  const queue = new AudioQueue({ limitMs: 1_000 });
  const done: number[] = [];
  queue.play(counted(1, 320), (playedMs) => done.push(playedMs));
  queue.write(counted(1, 1_600), 16_000);
  queue.take(new Int16Array(FRAME));
  expect(queue.flush()).toBe(120);
  expect(done).toEqual([20]);
  expect(queue.take(new Int16Array(FRAME))).toBe(false);
});

test("what does not fit is dropped and counted", () => {
  const queue = new AudioQueue({ limitMs: 100 });
  const done: number[] = [];
  queue.write(counted(1, 640), 8_000);
  queue.write(counted(1, 320), 8_000);
  queue.play(counted(1, 320), (playedMs) => done.push(playedMs));
  expect(queue.queuedMs).toBe(80);
  expect(queue.droppedMs).toBe(80);
  expect(done).toEqual([0]);
});
