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

test("a packet delayed by less than the depth leaves no trace, a straggler comes too late", () => {
  const buffer = new JitterBuffer();
  put(buffer, 0);
  put(buffer, 2);
  expect(put(buffer, 1, 50)).toBe("stored");
  put(buffer, 4);
  expect(play(buffer, 60, 5)).toEqual([1, 2, 3, -3, 5]);
  expect(put(buffer, 3, 90)).toBe("late");
});

test("audio that comes after its time is played late, not dropped", () => {
  const buffer = new JitterBuffer();
  for (const n of [0, 1, 2]) put(buffer, n);
  expect(play(buffer, 60, 5)).toEqual([1, 2, 3, -3, -2]);
  for (const n of [3, 4, 5, 6, 7]) expect(put(buffer, n, 120)).toBe("stored");
  expect(play(buffer, 160, 5)).toEqual([4, 5, 6, 7, 8]);
  expect(buffer.skippedMs).toBe(0);
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

test("a path that got longer is followed at once, one that got very long after five packets", () => {
  for (const { longerMs, lost } of [
    { longerMs: 300, lost: 0 },
    { longerMs: 900, lost: 4 },
  ]) {
    const buffer = new JitterBuffer();
    const heard: number[] = [];
    const arrivals = Array.from({ length: 60 }, (_, n) => n * 20 + (n < 10 ? 0 : longerMs));
    for (let atMs = 0; atMs < 2_400; atMs += 20) {
      const arrived = arrivals.flatMap((at, n) => (at > atMs - 20 && at <= atMs ? [n] : []));
      for (const n of arrived) buffer.put(n * FRAME, level(1_000 + n), atMs);
      const { samples, concealed } = buffer.take(atMs);
      if (!concealed && samples[0]) heard.push(samples[0] - 1_000);
    }
    const expected = Array.from({ length: 60 }, (_, n) => n).filter(
      (n) => n < 10 || n >= 10 + lost,
    );
    expect(heard).toEqual(expected);
  }
});

/** Whether frame `n` of an utterance with a pause of 300 ms is spoken. */
function speaks(n: number): boolean {
  return n < 60 && !(n >= 25 && n < 40);
}

test("a buffer that got too deep keeps the pauses of an utterance, and catches up in silence", () => {
  const buffer = new JitterBuffer();
  const taken: number[] = [];
  for (let tick = 0; tick < 140; tick++) {
    // The first packet is 200 ms late, the others come with it or in time.
    const newest = tick < 10 ? -1 : tick;
    const oldest = tick === 10 ? 0 : tick;
    for (let n = oldest; n <= newest; n++) {
      buffer.put(n * FRAME, speaks(n) ? level(1_000 + n) : level(5), tick * 20);
    }
    taken.push(buffer.take(tick * 20).samples[0] ?? 0);
  }
  const first = taken.indexOf(1_000);
  const expected = Array.from({ length: 60 }, (_, n) => (speaks(n) ? 1_000 + n : 5));
  expect(taken.slice(first, first + 60)).toEqual(expected);
  // The frame to be played and one in reserve remain.
  expect(buffer.skippedMs).toBe(240);
});

/**
 * Sends quiet frames so long before each tick, the n-th `lateMs(n)` later; returns the frames concealed.
 */
function keepTime(
  buffer: JitterBuffer,
  { frames, earlyMs = 5 }: { frames: number; earlyMs?: number },
  lateMs: (n: number) => number = () => 0,
): number {
  const arrivals = Array.from({ length: frames }, (_, n) => n * 20 - earlyMs + lateMs(n));
  let concealed = 0;
  for (let atMs = 0; atMs < frames * 20; atMs += 20) {
    for (const [n, at] of arrivals.entries()) {
      if (at > atMs - 20 && at <= atMs) buffer.put(n * FRAME, level(5), at);
    }
    if (buffer.take(atMs).concealed) concealed += 1;
  }
  return concealed;
}

test("on a path that keeps its time packets wait for the next tick that is 6 ms away", () => {
  for (const { earlyMs, played } of [
    { earlyMs: 5, played: [5, 1_000] },
    { earlyMs: 7, played: [1_000, -801] },
  ]) {
    const buffer = new JitterBuffer();
    expect(keepTime(buffer, { frames: 200, earlyMs })).toBe(0);
    buffer.put(200 * FRAME, level(1_000), 4_000 - earlyMs);
    expect(play(buffer, 4_000, 2)).toEqual(played);
  }
});

test("packets that a process which stood still read late, but before it played, need no reserve", () => {
  const buffer = new JitterBuffer();
  for (let n = 0; n < 200; n++) {
    const readLateMs = n % 50 >= 47 ? 40 : 0;
    buffer.put(n * FRAME, level(5), n * 20 - 7 + readLateMs);
    expect(buffer.take(n * 20).concealed).toBe(false);
  }
  buffer.put(200 * FRAME, level(1_000), 3_993);
  expect(play(buffer, 4_000, 1)).toEqual([1_000]);
});

test("a path that stands still for 120 ms every second is given its time once", () => {
  const concealed = keepTime(
    new JitterBuffer(),
    { frames: 500 },
    (n) => Math.max(0, (n % 50) - 43) && 120,
  );
  expect(concealed).toBeLessThanOrEqual(3);
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
