import { expect, test } from "vitest";
import { checkPattern, matchesPattern, matchingRoutes, patternWarning } from "./voice-routes.ts";

test.each([
  [String.raw`^\+\d+$`],
  [String.raw`^\+1(\d{10})$`],
  [String.raw`^\+1(425|206)(\d{7})$`],
  [String.raw`^\+0?1234$`],
  [String.raw`\A\+49\d{3,}?\z`],
  [String.raw`^(?:\+1|\+44)(?<rest>[0-9]+)$`],
  ["[]a]"],
  [""],
])("the documented kind of pattern %s is accepted", (pattern) => {
  expect(checkPattern(pattern)).toBeUndefined();
});

test.each([
  [String.raw`+1(\d{10})$`, 0, 'nothing to repeat before "+"'],
  [String.raw`^\+1(\d{10}$`, 4, "this group is never closed"],
  [String.raw`^\+1\d{10})$`, 10, "no group is open here"],
  ["^[0-9", 1, "this character class is never closed"],
  ["^[9-0]$", 2, '"9-0" runs backwards'],
  [String.raw`^\d{5,3}$`, 3, '"{5,3}" counts from 5 down to 3'],
  [String.raw`^\d+*$`, 4, 'nothing to repeat before "*"'],
  [String.raw`^1\\\d(|+)`, 8, 'nothing to repeat before "+"'],
  ["12\\", 2, "nothing follows the backslash"],
  ["^(?>12)$", 1, "this kind of group is not supported by the emulator"],
])("the broken pattern %s is refused at %i", (pattern, position, reason) => {
  expect(checkPattern(pattern)).toEqual({ position, reason });
});

test("a quantified anchor is stored, matches no number with a plus, and is warned of", () => {
  const pattern = "^+[1-9][0-9]{3,23}$";
  expect(checkPattern(pattern)).toBeUndefined();
  expect(matchesPattern(pattern, "+14255550100")).toBe(false);
  expect(matchesPattern(pattern, "14255550100")).toBe(true);
  expect(patternWarning(pattern)).toEqual({
    position: 1,
    reason: String.raw`"^+" repeats an anchor; a plus sign is written \+`,
  });
});

test.each([String.raw`^\+1$`, "[$+]1", String.raw`\$+1`, "^(1|2)+$"])(
  "%s quantifies no anchor",
  (pattern) => {
    expect(patternWarning(pattern)).toBeUndefined();
  },
);

test("a group name that is used twice is refused in the engine's words", () => {
  expect(checkPattern("(?<a>1)(?<a>2)")?.reason).toMatch(/duplicate/i);
});

test("a pattern without anchors matches anywhere in the number, as in .NET", () => {
  expect(matchesPattern("425", "+14255550100")).toBe(true);
  expect(matchesPattern(String.raw`\A425\z`, "+14255550100")).toBe(false);
});

test("every matching route comes back, in the order of the list", () => {
  const routes = [
    { name: "us west", numberPattern: String.raw`^\+1(425|206)(\d{7})$`, trunks: ["a.b"] },
    { name: "germany", numberPattern: String.raw`^\+49\d+$`, trunks: ["a.b"] },
    { name: "any", numberPattern: String.raw`^\+\d+$`, trunks: ["c.d"] },
  ];
  expect(matchingRoutes(routes, "+14255550100").map(({ name }) => name)).toEqual([
    "us west",
    "any",
  ]);
  expect(matchingRoutes(routes, "4255550100")).toEqual([]);
});
