import { expect, test } from "vitest";
import { faultPlan, parseFault, parseSetting } from "./faults.ts";

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

test("a fault is read from text with its parameters and how often it strikes", () => {
  expect(parseFault("sbc.drop-header:header=X-Customer-ID,times=2,after=1")).toEqual({
    name: "sbc.drop-header",
    with: { header: "X-Customer-ID" },
    times: 2,
    after: 1,
  });
  expect(parseFault("acs.ignore-stop-audio")).toEqual({ name: "acs.ignore-stop-audio", with: {} });
  expect(parseFault("acs.fail-operation.AnswerCall").name).toBe("acs.fail-operation.AnswerCall");
});

test.each(["nonsense", "sbc.", ".x", "sbc.drop-header:header", ""])("%j is no fault", (text) => {
  expect(() => parseFault(text)).toThrow(/expected .*, got "/);
});

test("a setting's value may be empty and may hold an equals sign", () => {
  expect(parseSetting("A=b=c")).toEqual(["A", "b=c"]);
  expect(parseSetting("A=")).toEqual(["A", ""]);
  expect(() => parseSetting("=x")).toThrow("expected name=value");
});

test.each(["a.b:times=abc", "a.b:after=-1", "a.b:times="])("%j counts nothing", (text) => {
  expect(() => parseFault(text)).toThrow(/expected a whole number, got "/);
});
