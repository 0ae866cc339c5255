import { expect, test } from "vitest";
import { Mask } from "./dialogue-mask.ts";

const NAMES = ["Dana Miller", "Sam Ortega"];

const said = (content: string) => ({
  id: "chatcmpl-1",
  choices: [{ index: 0, delta: { content } }],
});
const called = (index: number, text: string) => ({
  tool_calls: [{ index, function: { arguments: text } }],
});

test.each([
  ["call me at +1 (425) 555-0100 today", "call me at [telephone 1] today"],
  ["425-555-0100 or (425) 555-0101", "[telephone 1] or [telephone 2]"],
  ["my number is 4255550100", "my number is [telephone 1]"],
  ["again +14255550100 and +14255550100", "again [telephone 1] and [telephone 1]"],
  ["Dana Miller, Dana for short, MILLER", "[name 1], [name 2] for short, [name 3]"],
  ["write to dana.m+x@mail.example.com.", "write to [e-mail 1]."],
  ["card 4111 1111 1111 1111, please", "card [card 1], please"],
  ["Authorization: Bearer abcdef0123456789", "Authorization: Bearer •••"],
  ["api-key: 0123456789012345", "api-key: •••"],
  ['{"phone":"+14255550100"}', '{"phone":"[telephone 1]"}'],
])("%j is kept as %j", (text, hidden) => {
  const mask = new Mask(NAMES);
  expect(mask.hide(text)).toBe(hidden);
  expect(new Mask(NAMES).hide(hidden)).toBe(hidden);
});

test.each([
  "due on 2026-03-01 at 10:30",
  "49.99 dollars of 312.40",
  "customer C-1042, invoice INV-2207",
  "Bananas for Samuel",
  "order 4111 1111 1111 1112 items",
])("%j is nobody's data", (text) => {
  expect(new Mask(NAMES).hide(text)).toBe(text);
});

test("another conversation's data comes back in the places of the first", () => {
  const recorded = new Mask(NAMES);
  expect(recorded.hideAll(["I am Dana", "+14255550100"])).toEqual([
    "I am [name 1]",
    "[telephone 1]",
  ]);
  const answer = recorded.hideAll({ content: "Dana, is +14255550100 still right?" });
  const live = new Mask(NAMES);
  live.hideAll(["I am Sam", "+14255550101"]);
  expect(live.reveal(answer)).toEqual({ content: "Sam, is +14255550101 still right?" });
});

test("what nobody said in the new conversation stays hidden, and its number is not given again", () => {
  const live = new Mask(NAMES);
  expect(live.reveal("Use [telephone 2].")).toBe("Use [telephone 2].");
  expect(live.hide("Use [telephone 2]. No, +14255550100.")).toBe(
    "Use [telephone 2]. No, [telephone 3].",
  );
});

test("a number that is spread over the pieces of a stream is found, and the other words stay apart", () => {
  const words = ["Call", " +1", "425555", "0100 now", ", Da", "na.", " Bye"];
  const hidden = new Mask(NAMES).hideStream(words.map(said));
  expect(hidden).toEqual(
    ["Call", " [telephone 1]", "", " now", ", [name 1]", ".", " Bye"].map(said),
  );
});

test("arguments of parallel tool calls are told apart by their index", () => {
  const hidden = new Mask([]).hideStream([
    called(0, '"+1425'),
    called(1, '"+1425'),
    called(0, '5550100"'),
    called(1, '5550101"'),
  ]);
  expect(hidden).toEqual([
    called(0, '"[telephone 1]'),
    called(1, '"[telephone 2]'),
    called(0, '"'),
    called(1, '"'),
  ]);
});
