import { expect, test } from "vitest";
import { faultPlan } from "./faults.ts";

test("a plan without the fault lets everything pass", () => {
  expect(faultPlan().strike("sbc.drop-header")).toBeUndefined();
});

test("a fault gives its parameters each time it strikes", () => {
  const plan = faultPlan([{ name: "sbc.drop-header", with: { header: "X-Customer-ID" } }]);
  expect(plan.strike("sbc.drop-header")).toEqual({ header: "X-Customer-ID" });
  expect(plan.strike("sbc.drop-header")).toEqual({ header: "X-Customer-ID" });
  expect(plan.strike("acs.ignore-stop-audio")).toBeUndefined();
});

test("a fault strikes as often as planned, after as many occasions as planned", () => {
  const plan = faultPlan([{ name: "openai.status", with: { status: 429 }, after: 1, times: 2 }]);
  const occasions = Array.from({ length: 5 }, () => plan.strike("openai.status") !== undefined);
  expect(occasions).toEqual([false, true, true, false, false]);
  expect(plan.struck).toEqual(["openai.status", "openai.status"]);
});

test("a cleared fault strikes no more", () => {
  const plan = faultPlan([{ name: "a.b" }]);
  plan.clear("a.b");
  expect(plan.strike("a.b")).toBeUndefined();
});
