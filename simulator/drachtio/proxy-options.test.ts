import { expect, test } from "vitest";
import { SipResponse } from "../sip/message.ts";
import { parseDuration, parseProxyOptions } from "./proxy-options.ts";
import { bestResponse } from "./response-choice.ts";

test("every token of the proxy command has its meaning", () => {
  const line =
    "p1|proxy|txn|remainInDialog|fullResponse|followRedirects|simultaneous|2s|90s|sip:a|sip:b";
  expect(parseProxyOptions(line.split("|"))).toEqual({
    transactionId: "txn",
    remainInDialog: true,
    fullResponse: true,
    followRedirects: true,
    simultaneous: true,
    provisionalTimeoutMs: 2_000,
    finalTimeoutMs: 90_000,
    destinations: ["sip:a", "sip:b"],
  });
});

test("empty tokens mean no, and timer C", () => {
  expect(parseProxyOptions("p1|proxy|txn||||serial|||sip:a".split("|"))).toEqual({
    transactionId: "txn",
    remainInDialog: false,
    fullResponse: false,
    followRedirects: false,
    simultaneous: false,
    provisionalTimeoutMs: undefined,
    finalTimeoutMs: 185_000,
    destinations: ["sip:a"],
  });
});

test.each([
  ["1500ms", 1_500],
  ["2s", 2_000],
  ["", undefined],
  ["2", undefined],
  ["soon", undefined],
])("a duration of %s is %s ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  [[404, 603, 401], 603],
  [[503, 404, 407], 407],
  [[500, 302, 404], 302],
  [[500, 486], 486],
  [[503], 503],
])("of %s the caller gets %s", (statuses, best) => {
  expect(bestResponse(statuses.map((status) => new SipResponse({ status })))?.status).toBe(best);
});

test("without any answer there is none to choose", () => {
  expect(bestResponse([])).toBeUndefined();
});
