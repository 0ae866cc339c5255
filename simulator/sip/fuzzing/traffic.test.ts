import { expect, test } from "vitest";
import { fuzzStack } from "./traffic.ts";

test("random traffic neither breaks a stack nor leaves a transaction behind", async () => {
  const report = await fuzzStack({ seed: 20_260_102, messages: 2000 });
  expect(report.received).toBeGreaterThan(1000);
  expect(report.requests).toBeGreaterThan(100);
  expect(report.left).toBe(0);
});
