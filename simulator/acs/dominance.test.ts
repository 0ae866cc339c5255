import { expect, test } from "vitest";
import { Dominance } from "./dominance.ts";

const frame = (level: number) => new Int16Array(160).fill(level);

test("the loudest are dominant, of equals those who spoke first", () => {
  const dominance = new Dominance(2);
  expect(dominance.hear("a", frame(100))).toBe(true);
  expect(dominance.hear("b", frame(100))).toBe(true);
  expect(dominance.hear("c", frame(100))).toBe(false);
});

test("who raises the voice takes the place of a quiet one, within a few frames", () => {
  const dominance = new Dominance(1);
  for (let n = 0; n < 20; n++) dominance.hear("a", frame(1000));
  const heard = Array.from({ length: 10 }, () => dominance.hear("b", frame(-3000)));
  expect(heard[0]).toBe(false);
  expect(heard.at(-1)).toBe(true);
  expect(dominance.hear("a", frame(0))).toBe(false);
});

test("who has left takes nobody's place", () => {
  const dominance = new Dominance(1);
  for (let n = 0; n < 20; n++) dominance.hear("a", frame(1000));
  dominance.forget("a");
  expect(dominance.hear("b", frame(10))).toBe(true);
});
