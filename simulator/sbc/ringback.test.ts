import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { ring, ringbackTone } from "./ringback.ts";

test("ringing is two seconds of 440 and 480 Hz and four of silence", () => {
  const { samples, rateHz } = ringbackTone();
  const power = (toneHz: number) => {
    const correlate = (wave: (phase: number) => number) =>
      samples
        .subarray(0, 16_000)
        .reduce((sum, sample, n) => sum + sample * wave((2 * Math.PI * toneHz * n) / 8_000), 0);
    return Math.hypot(correlate(Math.sin), correlate(Math.cos)) / 8_000;
  };

  expect([samples.length / rateHz, rateHz]).toEqual([6, 8_000]);
  expect([440, 480].map((toneHz) => Math.round(power(toneHz) / 100))).toEqual([18, 18]);
  expect(power(700)).toBeLessThan(20);
  expect(samples.subarray(16_000).every((sample) => sample === 0)).toBe(true);
});

test("ringing goes on until it is aborted, and ends without an error", async () => {
  const clock = manualClock();
  const stop = new AbortController();
  let played = 0;
  const media = {
    async play(_audio: unknown, { signal }: { signal?: AbortSignal } = {}) {
      played += 1;
      await clock.sleep(6_000, { signal }).catch(() => {});
      return { playedMs: 6_000 };
    },
  };

  const ringing = ring(media, stop.signal);
  await clock.advance(13_000);
  stop.abort(new Error("answered"));

  await expect(ringing).resolves.toBeUndefined();
  expect([played, clock.pending]).toEqual([3, 0]);
});

test("a closed session is not rung for ever", async () => {
  const media = { play: async () => ({ playedMs: 0 }) };

  await expect(ring(media, new AbortController().signal)).resolves.toBeUndefined();
});
