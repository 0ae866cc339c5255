import { expect } from "vitest";
import { BUDGETS } from "./budgets.ts";
import { type CarriesHeaders, decoded } from "./headers.ts";
import type { Line } from "./line.ts";
import { percentile } from "./timing.ts";
import { contains } from "./words.ts";

export interface ResponseTimeBudget {
  p50Ms?: number;
  p95Ms?: number;
}

declare module "vitest" {
  // The type parameters are vitest's; their names and defaults have to be the same.
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> {
    /** The header arrived; with `value`: exactly so, after percent-decoding. */
    toHaveHeader(name: string, value?: string): R;
    /** These words came out of the line's earpiece, at any time. */
    toHaveHeard(text: string): R;
    /** Response times measured at the caller's ear. Default budget: budgets.ts. */
    toHaveResponseTime(budget?: ResponseTimeBudget): R;
    /** After each barge-in the agent fell silent in time. Default 300 ms. */
    toGoQuietWithin(limitMs?: number): R;
    /** No hole in the received audio longer than this. Default 60 ms. */
    toHaveNoGapAbove(limitMs?: number): R;
  }
}

const DEFAULT_RESPONSE_TIME: ResponseTimeBudget = {
  p50Ms: BUDGETS.responseTimeP50Ms,
  p95Ms: BUDGETS.responseTimeP95Ms,
};

/** Adds the matchers to vitest's `expect`. Calling it again changes nothing. */
export function addMatchers(): void {
  expect.extend(MATCHERS);
}

const MATCHERS: Parameters<typeof expect.extend>[0] = {
  toHaveHeader(received: CarriesHeaders, name: string, value?: string) {
    const raw = received.header(name);
    const pass = raw !== undefined && (value === undefined || decoded(raw) === value);
    return {
      pass,
      message: () =>
        [
          pass ? `${name} is present and was expected not to be` : `${name} is not as expected`,
          value === undefined ? "expected  any value" : `expected  ${value}`,
          `got       ${raw === undefined ? "no such header" : shown(raw)}`,
          "",
          received.custodyOf(name),
        ].join("\n"),
    };
  },

  toHaveHeard(line: Line, text: string) {
    return {
      pass: contains(line.transcript, text),
      message: () => `expected to have heard “${text}”, heard “${line.transcript}”`,
    };
  },

  toHaveResponseTime(line: Line, budget: ResponseTimeBudget = DEFAULT_RESPONSE_TIME) {
    const { p50Ms = Number.POSITIVE_INFINITY, p95Ms = Number.POSITIVE_INFINITY } = budget;
    const times = line.responseTimesMs;
    const [p50, p95] = [percentile(times, 0.5), percentile(times, 0.95)];
    return {
      pass: times.length > 0 && p50 <= p50Ms && p95 <= p95Ms,
      message: () =>
        [
          `expected response times at the caller's ear of p50 ≤ ${p50Ms} ms and p95 ≤ ${p95Ms} ms`,
          times.length === 0
            ? "got none: nothing that was said got a reply"
            : `got p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms: ${times.map((time) => time.toFixed(0)).join(", ")}`,
        ].join("\n"),
    };
  },

  toGoQuietWithin(line: Line, limitMs: number = BUDGETS.silenceAfterBargeInMs) {
    const { bargeIns } = line;
    const late = bargeIns.find(({ silentAfterMs }) => silentAfterMs > limitMs);
    return {
      pass: bargeIns.length > 0 && late === undefined,
      message: () =>
        late === undefined
          ? `expected ${bargeIns.length === 0 ? "a barge-in, but nobody spoke over the agent" : "the agent to talk on"}`
          : [
              `expected silence at the caller's ear within ${limitMs} ms of speaking over the agent,`,
              `got ${late.silentAfterMs.toFixed(0)} ms: ${line.whyNotQuiet(late)}`,
            ].join("\n"),
    };
  },

  toHaveNoGapAbove(line: Line, limitMs: number = BUDGETS.gapWithinUtteranceMs) {
    return {
      pass: line.longestGapMs <= limitMs,
      message: () =>
        `expected no gap above ${limitMs} ms in the received audio, got ${line.longestGapMs.toFixed(0)} ms`,
    };
  },
};

function shown(raw: string): string {
  const text = decoded(raw);
  return text === raw ? raw : `${text}   (on the wire: ${raw})`;
}
