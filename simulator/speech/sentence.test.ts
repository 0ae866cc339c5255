import { expect, test } from "vitest";
import { cutSentences } from "./sentence.ts";

test.each([
  ["Hello ", "", "Hello "],
  ["Hello world. ", "Hello world. ", ""],
  ["Hello world.", "", "Hello world."],
  ["Good morning. How ", "Good morning. ", "How "],
  ["Is Dr. Brown in? He is not", "Is Dr. Brown in? ", "He is not"],
  ["See Dr. ", "", "See Dr. "],
  ["-", "", "-"],
  ["Yes. - ", "Yes. ", "- "],
  ["... ", "", "... "],
  ["... Yes. No", "... Yes. ", "No"],
])("%j has the whole sentences %j and the rest %j", (text, whole, rest) => {
  expect(cutSentences(text)).toEqual([whole, rest]);
});

/** What is spoken of a text that arrives in pieces. */
function arriving(pieces: readonly string[]): string {
  let said = "";
  let waiting = "";
  for (const piece of pieces) {
    const [whole, rest] = cutSentences(waiting + piece);
    said += whole;
    waiting = rest;
  }
  return said + waiting;
}

test.each([[["Hello ", "world. ", "How ", "are ", "you?"]], [["It is ", "-", "5 ", "degrees."]]])(
  "nothing of %j is lost",
  (pieces) => {
    expect(arriving(pieces)).toBe(pieces.join(""));
  },
);
