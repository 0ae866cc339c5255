import { expect, test } from "vitest";
import type { Clock } from "../clock.ts";
import { manualClock, systemClock } from "../clock.ts";
import { pace } from "./pacer.ts";

function leg(clock: Clock) {
  const sent: number[] = [];
  const played: number[] = [];
  const paced = { send: (at: number) => sent.push(at), playOut: (at: number) => played.push(at) };
  return { sent, played, paced, stop: pace(clock, paced) };
}

test("a leg is served every 20 ms at its own time", async () => {
  const clock = manualClock();
  const one = leg(clock);
  await clock.advance(100);
  expect(one.sent).toEqual([1, 21, 41, 61, 81]);
  expect(one.played).toEqual(one.sent);
  one.stop[Symbol.dispose]();
});

test("legs are spread over the frame", async () => {
  const clock = manualClock();
  const legs = Array.from({ length: 21 }, () => leg(clock));
  await clock.advance(20);
  const firsts = legs.map(({ sent }) => sent[0]);
  expect(new Set(firsts.slice(0, 20)).size).toBe(20);
  expect(firsts[20]).toBe(firsts[0]);
  for (const { stop } of legs) stop[Symbol.dispose]();
});

test("a wheel without legs keeps no timer", async () => {
  const clock = manualClock();
  const one = leg(clock);
  expect(clock.pending).toBe(1);
  one.stop[Symbol.dispose]();
  one.stop[Symbol.dispose]();
  expect(clock.pending).toBe(0);
  await clock.advance(1_000);
  expect(one.sent).toEqual([]);
  const later = leg(clock);
  await clock.advance(40);
  expect(later.sent).toEqual([1_001, 1_021]);
  later.stop[Symbol.dispose]();
});

/** A clock whose timers can be held up, as a blocked event loop holds them. */
function blockableClock() {
  const inner = manualClock();
  let held = 0;
  const clock: Clock = {
    now: () => inner.now(),
    date: () => inner.date(),
    every: (periodMs, callback) => inner.every(periodMs, callback),
    sleep: (delayMs, options) => inner.sleep(delayMs, options),
    after: (delayMs, callback) => {
      const late = held;
      held = 0;
      return inner.after(delayMs + late, callback);
    },
  };
  return { clock, inner, hold: (durationMs: number) => (held = durationMs) };
}

async function loopTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

test("after a blockage every frame is made up, and play-out lets the sockets be read first", async () => {
  const { clock, inner, hold } = blockableClock();
  const order: string[] = [];
  hold(110);
  using _stop = pace(clock, {
    send: (at) => order.push(`send ${at}`),
    playOut: (at) => order.push(`play ${at} at ${inner.now()}`),
  });
  await inner.advance(111);
  expect(order).toEqual(["send 1", "send 21", "send 41", "send 61", "send 81", "send 101"]);
  await inner.advance(4);
  await loopTurns(20);
  expect(order.slice(6)).toEqual([
    "play 1 at 115",
    "play 21 at 115",
    "play 41 at 115",
    "play 61 at 115",
    "play 81 at 115",
    "play 101 at 115",
  ]);
  await inner.advance(6);
  expect(order.slice(12)).toEqual(["send 121", "play 121 at 121"]);
});

test("a machine that slept does not send an hour of silence at once", async () => {
  const { clock, inner, hold } = blockableClock();
  const sent: number[] = [];
  hold(3_600_000);
  using _stop = pace(clock, { send: (at) => sent.push(at), playOut: () => {} });
  await inner.advance(3_600_001);
  expect(sent.length).toBe(100);
});

test("a leg that leaves while frames wait is not played out", async () => {
  const { clock, inner, hold } = blockableClock();
  const played: number[] = [];
  hold(50);
  const stop = pace(clock, { send: () => {}, playOut: (at) => played.push(at) });
  await inner.advance(51);
  await inner.advance(4);
  stop[Symbol.dispose]();
  await inner.advance(100);
  await loopTurns(20);
  expect(played).toEqual([]);
});

test("on the system clock half a second brings 25 frames, 20 ms apart", async () => {
  const clock = systemClock();
  const one = leg(clock);
  const started = clock.now();
  await clock.sleep(500);
  const elapsed = clock.now() - started;
  one.stop[Symbol.dispose]();
  expect(Math.abs(one.sent.length - elapsed / 20)).toBeLessThanOrEqual(1.5);
  const steps = one.sent.slice(1).map((at, index) => at - (one.sent[index] ?? 0));
  expect(steps.every((step) => Math.abs(step - 20) < 1e-6)).toBe(true);
});
