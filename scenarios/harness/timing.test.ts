import { expect, test } from "vitest";
import { audibleSpans, bargeIns, longestGapWithin, percentile, responseTimes } from "./timing.ts";

/** 8 kHz audio from pieces of `[lengthMs, audible]`. */
function audio(...pieces: [lengthMs: number, audible: boolean][]) {
  const samples = pieces.flatMap(([lengthMs, audible]) =>
    Array.from({ length: lengthMs * 8 }, (_, index) =>
      audible ? 8000 * (index % 2 === 0 ? 1 : -1) : 3,
    ),
  );
  return { samples: Int16Array.from(samples), rateHz: 8000, startedAtMs: 1000 };
}

test("spans lie where the sound is, in lab time; short pauses belong to the speech", () => {
  const spans = audibleSpans(
    audio([200, false], [300, true], [100, false], [200, true], [600, false], [100, true]),
  );
  expect(spans).toEqual([
    { startMs: 1200, endMs: 1800 },
    { startMs: 2400, endMs: 2500 },
  ]);
});

test("the response time runs from the caller's last sound to the reply's first", () => {
  const said = [
    { startMs: 0, endMs: 1000 },
    { startMs: 5000, endMs: 6000 },
  ];
  const heard = [
    { startMs: 1600, endMs: 4000 },
    { startMs: 6900, endMs: 8000 },
  ];
  expect(responseTimes(said, heard)).toEqual([600, 900]);
});

test("an utterance without a reply has no response time", () => {
  expect(responseTimes([{ startMs: 0, endMs: 10 }], [])).toEqual([]);
});

test("silence after barge-in runs from the caller's first sound to the agent's last", () => {
  const said = [{ startMs: 2000, endMs: 3000 }];
  expect(bargeIns(said, [{ startMs: 500, endMs: 2240 }])).toEqual([
    { atMs: 2000, silentAfterMs: 240 },
  ]);
  expect(bargeIns(said, [{ startMs: 500, endMs: 1900 }])).toEqual([]);
});

test("an agent that talks on after a pause has not fallen silent", () => {
  const said = [{ startMs: 2000, endMs: 3000 }];
  const heard = [
    { startMs: 500, endMs: 2100 },
    { startMs: 2300, endMs: 2900 },
    { startMs: 3900, endMs: 5000 },
  ];
  expect(bargeIns(said, heard)).toEqual([{ atMs: 2000, silentAfterMs: 900 }]);
});

test("a percentile is one of the values", () => {
  expect(percentile([5, 1, 3], 0.5)).toBe(3);
  expect(percentile([5, 1, 3], 0.95)).toBe(5);
});

test("a gap counts within an utterance and not between two", () => {
  const heard = [
    { startMs: 1000, endMs: 2000 },
    { startMs: 5000, endMs: 6000 },
  ];
  const gaps = [
    { startMs: 2500, endMs: 2700 },
    { startMs: 1500, endMs: 1540 },
    { startMs: 5100, endMs: 5180 },
  ];
  expect(longestGapWithin(gaps, heard)).toBe(80);
  expect(longestGapWithin(gaps.slice(0, 1), heard)).toBe(0);
  expect(longestGapWithin([], [])).toBe(Number.POSITIVE_INFINITY);
});
