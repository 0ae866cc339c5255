import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { createVoipPair } from "./voip-leg.ts";

function setUp() {
  const clock = manualClock();
  const pair = createVoipPair({
    clock,
    id: "v",
    from: "8:acs:a",
    to: "8:acs:b",
    correlationId: "c",
  });
  return { clock, ...pair };
}

test("what one end writes the other hears, 20 ms at a time, once answered", async () => {
  const { clock, near, far, answered } = setUp();
  const heard: number[] = [];
  far.onFrame(({ samples, rateHz }) => heard.push(samples[0] ?? -1, samples.length, rateHz));
  near.write(new Int16Array(240).fill(5), 8000);
  await clock.advance(40);
  expect(heard).toEqual([]);
  await far.answer();
  await answered;
  await clock.advance(40);
  expect(heard).toEqual([5, 160, 8000, 5, 160, 8000]);
  await clock.advance(20);
  expect(heard.slice(6)).toEqual([0, 160, 8000]);
  await near.hangUp();
  await clock.advance(0);
  expect(clock.pending).toBe(0);
});

test("another rate is converted, and a flush says what was dropped", async () => {
  const { near } = setUp();
  near.write(new Int16Array(640), 16_000);
  expect(near.queuedMs).toBeCloseTo(40, 0);
  expect(near.flush()).toBeCloseTo(40, 0);
  expect(near.queuedMs).toBe(0);
  await near.hangUp();
});

test("digits cross, and each end learns who hung up", async () => {
  const { near, far } = setUp();
  const digits: string[] = [];
  far.onDigit((digit) => digits.push(digit));
  await near.sendDigits("4#");
  await far.hangUp();
  expect(digits).toEqual(["4", "#"]);
  expect([await near.ended, await far.ended]).toEqual([{ by: "peer" }, { by: "local" }]);
});

test("a refused and a cancelled call reject with their results", async () => {
  const refused = setUp();
  refused.far.reject(486, "Busy Here");
  await expect(refused.answered).rejects.toMatchObject({ code: 486, subCode: 0 });
  const cancelled = setUp();
  await cancelled.near.hangUp();
  await expect(cancelled.answered).rejects.toMatchObject({ code: 487, subCode: 8542 });
});

test("a transfer to a telephone is not supported", async () => {
  const { near } = setUp();
  await expect(near.transfer("+14255550100", {})).rejects.toMatchObject({
    code: 405,
    subCode: 8520,
  });
  await near.hangUp();
});
