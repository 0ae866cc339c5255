import { expect, test } from "vitest";
import { contains, normalise } from "./words.ts";

test("case, punctuation and spacing do not count", () => {
  expect(normalise("  Hello, Dana!  How can I   help?")).toBe("hello dana how can i help");
});

test("a decimal point is part of its number, a full stop is not part of its word", () => {
  expect(normalise("You owe 49.99. Thank you.")).toBe("you owe 49.99 thank you");
});

test.each([
  ["For billing, press two.", "press two", true],
  ["For billing, press two.", "press twenty", false],
  ["You are impressed, too.", "press two", false],
  ["Please hold.", "please hold", true],
])("%j contains %j: %s", (heard, expected, result) => {
  expect(contains(heard, expected)).toBe(result);
});
