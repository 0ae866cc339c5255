import { expect, test } from "vitest";
import { activeLevelDbfs } from "./level.ts";

const tone = (amplitude: number) =>
  Int16Array.from(
    { length: 16_000 },
    (_, i) => amplitude * Math.sin((2 * Math.PI * 400 * i) / 16_000),
  );

test("a tone at full scale has -3 dBFS", () => {
  expect(activeLevelDbfs(tone(32_767), 16_000)).toBeCloseTo(-3, 1);
});

test("pauses do not lower the level", () => {
  const withPause = new Int16Array(64_000);
  withPause.set(tone(3277), 20_000);
  expect(activeLevelDbfs(withPause, 16_000)).toBeCloseTo(-23, 0);
});

test("silence, and nothing at all, are -120 dBFS", () => {
  expect(activeLevelDbfs(new Int16Array(8000), 8000)).toBe(-120);
  expect(activeLevelDbfs(new Int16Array(0), 8000)).toBe(-120);
});
