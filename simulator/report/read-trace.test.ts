import { expect, test } from "vitest";
import { readTrace, TraceFileError } from "./read-trace.ts";

const LINE = '{"v":1,"at":5,"party":"phone","type":"dtmf","direction":"out","digit":"2"}\n';

test("each line is an event", () => {
  expect(readTrace(LINE + LINE)).toEqual([
    { v: 1, at: 5, party: "phone", type: "dtmf", direction: "out", digit: "2" },
    { v: 1, at: 5, party: "phone", type: "dtmf", direction: "out", digit: "2" },
  ]);
});

test("a last line that was never finished is left out", () => {
  expect(readTrace(`${LINE}{"v":1,"at":6,"par`)).toHaveLength(1);
});

test("an empty file has no events", () => {
  expect(readTrace("")).toEqual([]);
});

test.each([
  ["{broken\n", "line 2 is no JSON"],
  ['{"v":2}\n', "line 2: expected an event of version 1"],
  ["null\n", "line 2: expected an event of version 1"],
])("the line that is no event is named: %j", (line, message) => {
  expect(() => readTrace(LINE + line)).toThrow(new TraceFileError(message));
});
