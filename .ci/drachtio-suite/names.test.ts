import { expect, test } from "vitest";
import { judge, readMocha, readTap } from "./names.ts";

test("TAP lines become outcomes under their section", () => {
  const tap =
    "TAP version 13\n# UAS\nok 1 answers\nnot ok 2 rejects\n# uac\nok 3 calls\n# tests 3\n";
  expect(readTap(tap)).toEqual([
    { name: "UAS: answers", passed: true },
    { name: "UAS: rejects", passed: false },
    { name: "uac: calls", passed: true },
  ]);
});

test("a mocha report becomes outcomes", () => {
  const report = {
    tests: [
      { fullTitle: "a b", err: {} },
      { fullTitle: "c", err: { message: "x" } },
    ],
  };
  expect(readMocha(`noise\n${JSON.stringify(report, undefined, 1)}`)).toEqual([
    { name: "mocha: a b", passed: true },
    { name: "mocha: c", passed: false },
  ]);
});

test("every failed, additional and missing assertion is named, repeated ones counted", () => {
  const outcomes = [
    { name: "a", passed: true },
    { name: "b", passed: false },
    { name: "x", passed: true },
  ];
  expect(judge(outcomes, ["a", "a", "b"])).toEqual(["failed: b", "not expected: x", "missing: a"]);
  expect(judge(outcomes.slice(0, 1), ["a"])).toEqual([]);
});
