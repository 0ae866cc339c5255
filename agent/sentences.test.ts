import { expect, test } from "vitest";
import { SentenceSplitter } from "./sentences.ts";

function split(...pieces: string[]): string[] {
  const splitter = new SentenceSplitter();
  return [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.flush()];
}

test("a sentence is complete when the next one begins", () => {
  const splitter = new SentenceSplitter();
  expect(splitter.push("Your plan is Premium.")).toEqual([]);
  expect(splitter.push(" Any")).toEqual(["Your plan is Premium."]);
  expect(splitter.flush()).toEqual(["Any"]);
});

test("the text is the same however it is cut into pieces", () => {
  const text = "Your balance is $49.99 today. It is due on May 3. Shall I send it? Yes!";
  const whole = [
    "Your balance is $49.99 today.",
    "It is due on May 3.",
    "Shall I send it?",
    "Yes!",
  ];
  expect(split(text)).toEqual(whole);
  expect(split(...Array.from(text))).toEqual(whole);
});

test.each([
  "Please ask for Mr. Ortega there.",
  "It costs 3.50 in all.",
  "Send it to J. Smith, please.",
  "See e.g. the invoice of May.",
])("%j is one sentence", (text) => {
  expect(split(`${text} Next one.`)).toEqual([text, "Next one."]);
});

test("a very short sentence is spoken with the next", () => {
  expect(split("Sure. I can do that for you. Wait.")).toEqual([
    "Sure. I can do that for you.",
    "Wait.",
  ]);
});

test("a line break ends a sentence", () => {
  expect(split("First of all this\nSecond of all that")).toEqual([
    "First of all this",
    "Second of all that",
  ]);
});

test("text without any full stop is cut at a comma, then at a space", () => {
  const commas = split(`${"one two three four, ".repeat(20)}end`);
  expect(commas.length).toBeGreaterThan(1);
  expect(commas[0]).toMatch(/,$/);
  expect(commas.every((sentence) => sentence.length <= 241)).toBe(true);
  expect(split("word ".repeat(200)).every((sentence) => sentence.length <= 240)).toBe(true);
  expect(split("x".repeat(1000)).join("")).toBe("x".repeat(1000));
});
