import { expect, test } from "vitest";
import { Mutator } from "../simulator/acs/testing/hostile.ts";
import { attackAgent, attackAnswers, attackMedia, attackRest } from "./hostile-attacks.ts";

const SEED = 20_260_103;

test.each([
  ["REST requests", attackRest],
  ["media messages", attackMedia],
  ["answers to events", attackAnswers],
  ["events at the agent", attackAgent],
])(`mutated %s break nothing (seed ${SEED})`, async (name, open) => {
  await using attack = await open(new Mutator(SEED));
  expect(attack.name).toBe(name);
  await attack.send(200);
  const outcomes = Object.keys(attack.tally.counts);
  expect(outcomes).not.toEqual([]);
  for (const outcome of outcomes) expect(outcome).not.toMatch(/^5(?:xx|\d\d)$|^internal errors$/);
});
