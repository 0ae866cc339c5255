import { expect, test, vi } from "vitest";
import { manualClock, systemClock } from "./clock.ts";

test("a manual clock runs what is due, in order, and stops at the end", async () => {
  const clock = manualClock();
  const ran: string[] = [];
  clock.after(30, () => ran.push(`b${clock.now()}`));
  clock.after(10, () => ran.push(`a${clock.now()}`));
  clock.after(31, () => ran.push("late"));
  await clock.advance(30);
  expect(ran).toEqual(["a10", "b30"]);
  expect(clock.now()).toBe(30);
});

test("a manual clock follows a sleeper that sleeps again", async () => {
  const clock = manualClock();
  const woke: number[] = [];
  const sleeper = (async () => {
    for (const _ of [1, 2, 3]) {
      await clock.sleep(10);
      woke.push(clock.now());
    }
  })();
  await clock.advance(30);
  await sleeper;
  expect(woke).toEqual([10, 20, 30]);
});

test("a periodic timer does not drift and can be cancelled", async () => {
  const clock = manualClock();
  const ticks: number[] = [];
  const timer = clock.every(20, () => ticks.push(clock.now()));
  await clock.advance(60);
  timer.cancel();
  await clock.advance(60);
  expect(ticks).toEqual([20, 40, 60]);
  expect(clock.pending).toBe(0);
});

test("an aborted sleep rejects with the signal's reason and leaves no timer", async () => {
  const clock = manualClock();
  const controller = new AbortController();
  const sleep = clock.sleep(1000, { signal: controller.signal });
  controller.abort(new Error("caller hung up"));
  await expect(sleep).rejects.toThrow("caller hung up");
  expect(clock.pending).toBe(0);
});

test("calendar time follows lab time", async () => {
  const clock = manualClock({ start: new Date("2026-01-02T03:04:05Z") });
  await clock.advance(1500);
  expect(clock.date().toISOString()).toBe("2026-01-02T03:04:06.500Z");
});

test("a fast clock counts more lab time than wall time", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const wall = vi.spyOn(performance, "now").mockReturnValue(0);
  try {
    const clock = systemClock({ rate: 50 });
    const sleep = clock.sleep(500);
    await vi.advanceTimersByTimeAsync(9);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await sleep;
    wall.mockReturnValue(10);
    expect(clock.now()).toBe(500);
  } finally {
    wall.mockRestore();
    vi.useRealTimers();
  }
});

test("a delay beyond Node's longest timer runs when it is due, not at once", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const ran: string[] = [];
    const clock = systemClock();
    clock.after(2 ** 32, () => ran.push("due"));
    const cancelled = clock.after(2 ** 32, () => ran.push("cancelled"));
    vi.advanceTimersByTime(2 ** 32 - 1);
    cancelled.cancel();
    expect(ran).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(ran).toEqual(["due"]);
  } finally {
    vi.useRealTimers();
  }
});
