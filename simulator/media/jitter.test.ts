import { expect, test } from "vitest";
import { JitterBuffer } from "./jitter.ts";

const FRAME = 160;
const level = (value: number, length = FRAME) => new Int16Array(length).fill(value);

/** Puts frame `n` (all samples `n + 1`) as if it came `delayMs` late. */
function put(buffer: JitterBuffer, n: number, delayMs = 0, origin = 0) {
  return buffer.put((origin + n * FRAME) >>> 0, level(n + 1), n * 20 + delayMs);
}

/** The first sample of each frame from `fromMs` on; a made-up frame is negative. */
function play(buffer: JitterBuffer, fromMs: number, frames: number): number[] {
  return Array.from({ length: frames }, (_, index) => {
    const { samples, concealed } = buffer.take(fromMs + index * 20);
    return concealed ? -(samples[0] ?? 0) - 1 : (samples[0] ?? 0);
  });
}

test("play-out begins 60 ms after the first packet and loses nothing", () => {
  const buffer = new JitterBuffer();
  for (let n = 0; n < 5; n++) put(buffer, n);
  expect(play(buffer, 0, 8)).toEqual([0, 0, 0, 1, 2, 3, 4, 5]);
});

test("the depth is a matter of configuration", () => {
  const buffer = new JitterBuffer({ depthMs: 120 });
  put(buffer, 0);
  expect(play(buffer, 0, 7)).toEqual([0, 0, 0, 0, 0, 0, 1]);
});

test("packets are put into the order of their timestamps", () => {
  const buffer = new JitterBuffer();
  for (const n of [0, 2, 1, 3]) put(buffer, n);
  expect(play(buffer, 60, 4)).toEqual([1, 2, 3, 4]);
});

test("a packet delayed by less than the depth leaves no trace, one delayed by more is late", () => {
  const buffer = new JitterBuffer();
  put(buffer, 0);
  put(buffer, 2);
  expect(put(buffer, 1, 50)).toBe("stored");
  expect(play(buffer, 60, 4)).toEqual([1, 2, 3, -3]);
  expect(put(buffer, 3, 70)).toBe("late");
});

test("packets of 10 and 30 ms are cut into frames", () => {
  const buffer = new JitterBuffer();
  const ramp = Int16Array.from({ length: 480 }, (_, n) => n);
  buffer.put(0, ramp.subarray(0, 80), 0);
  buffer.put(80, ramp.subarray(80, 320), 10);
  buffer.put(320, ramp.subarray(320), 30);
  const heard = [60, 80, 100].flatMap((atMs) => Array.from(buffer.take(atMs).samples));
  expect(heard).toEqual([...ramp]);
});

test("a missing packet is the last one again, weaker each time, then silence", () => {
  const buffer = new JitterBuffer();
  buffer.put(0, level(10_000), 0);
  const frames = [60, 80, 100, 120, 140, 160, 180].map((atMs) => buffer.take(atMs));
  expect(frames.map(({ samples }) => samples[0])).toEqual([
    10_000, 8_000, 6_400, 5_120, 4_096, 3_276, 0,
  ]);
  expect(frames.map(({ concealed }) => concealed)).toEqual([
    false,
    true,
    true,
    true,
    true,
    true,
    true,
  ]);
});

test("half a missing frame keeps the half that came", () => {
  const buffer = new JitterBuffer();
  buffer.put(0, level(100, 80), 0);
  buffer.put(160, level(200), 20);
  const { samples, concealed } = buffer.take(60);
  expect([samples[0], samples[79], samples[80], concealed]).toEqual([100, 100, 0, true]);
  expect(buffer.take(80).concealed).toBe(false);
});

test("a telephone event is silence, and nothing is missing", () => {
  const buffer = new JitterBuffer();
  put(buffer, 0);
  buffer.putEvent(160, 160, 20);
  buffer.putEvent(160, 320, 40);
  put(buffer, 3);
  expect(play(buffer, 60, 4)).toEqual([1, 0, 0, 4]);
});

test("the wrap of the timestamp is no event", () => {
  const buffer = new JitterBuffer();
  for (let n = 0; n < 6; n++) put(buffer, n, 0, 0xffff_fe00);
  expect(play(buffer, 60, 6)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a jump of the timestamp starts the stream anew, with the full depth", () => {
  const buffer = new JitterBuffer();
  put(buffer, 0);
  expect(play(buffer, 60, 1)).toEqual([1]);
  buffer.put(1_000_000, level(50), 80);
  expect(play(buffer, 80, 4)).toEqual([0, 0, 0, 50]);
});

test("a path that got longer for good is followed after five late packets", () => {
  const buffer = new JitterBuffer();
  const heard: number[] = [];
  for (let n = 0; n < 40; n++) {
    const delayMs = n < 10 ? 0 : 200;
    // Arrivals fall into frame order: frame n is put in the tick in which it comes.
    const arrived = Array.from({ length: 41 }, (_, k) => k).filter((k) => {
      const at = k * 20 + (k < 10 ? 0 : 200);
      return at > (n - 1) * 20 && at <= n * 20;
    });
    for (const k of arrived) put(buffer, k, k < 10 ? 0 : delayMs);
    heard.push(buffer.take(n * 20).samples[0] ?? 0);
  }
  // Ten frames in time, silence while the new delay is learnt, then steady again.
  expect(heard.slice(3, 13)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(heard.slice(-10)).toEqual(Array.from({ length: 10 }, (_, k) => (heard.at(-10) ?? 0) + k));
});

test("a peer whose clock runs fast does not deepen the buffer: quiet frames are left out", () => {
  const buffer = new JitterBuffer();
  let sent = 0;
  let taken = 0;
  for (let atMs = 0; atMs < 60_000; atMs += 20) {
    // 1 % fast, 20 times what a bad oscillator does.
    for (; sent * 19.8 <= atMs; sent++) buffer.put(sent * FRAME, level(7), atMs);
    if (!buffer.take(atMs).concealed) taken += 1;
  }
  expect(taken).toBe(3_000);
  expect(play(buffer, 60_000, 40).filter((sample) => sample === 7).length).toBeLessThan(12);
});

test("a reset forgets what waits", () => {
  const buffer = new JitterBuffer();
  put(buffer, 0);
  buffer.reset();
  expect(play(buffer, 60, 2)).toEqual([0, 0]);
});

test("a datagram of a minute of audio is not taken for a packet", () => {
  const buffer = new JitterBuffer();
  expect(buffer.put(0, level(1, 20_000), 0)).toBe("late");
});
