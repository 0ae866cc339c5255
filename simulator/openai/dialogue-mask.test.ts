import { expect, test } from "vitest";
import { Mask } from "./dialogue-mask.ts";

const NAMES = ["Dana Miller", "Sam Ortega", "Li Na"];

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
  ["to jürgen.müller@example.com or o'neil@bücher.example", "to [e-mail 1] or [e-mail 2]"],
  ["020 7946 0958, 07700 900123", "[telephone 1], [telephone 2]"],
  ["030 12345678 or 0171/2345678", "[telephone 1] or [telephone 2]"],
  ["tel:030/123456 and (0171) 234-5678", "tel:[telephone 1] and [telephone 2]"],
  ["0049 30 12345678, +49 171/2345678", "[telephone 1], [telephone 2]"],
  ["01.23.45.67.89, 06 12 34 56 78", "[telephone 1], [telephone 2]"],
  ["call 425 555 01 00 now", "call [telephone 1] now"],
  ["ring 555-0100.", "ring [telephone 1]."],
  ["Li said that Li Na is her name", "[name 1] said that [name 2] is her name"],
  ["the key is sk-proj-AbCd_0123456789-xyZ.", "the key is •••."],
  ["sk-0123456789abcdefABCDEF and org-AbCdEfGhIjKlMnOpQrStUvWx", "••• and •••"],
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
  "1 234 567.00 EUR, 312 450 000 dollars",
  "0.123456789 of 1,234,567,890.00",
  "on 01.02.2026 at 08:30, 01/02/2026, 01-02-2026 10:30, 2026-03-01 10:30:00",
  "open 0900-1700, line 0900, room 020 79",
  "from 200-1500 dollars to $300-1200",
  "address 192.168.10.20, version 10.20.30.40",
  "invoice INV-020-7946-0958",
  "a task-force-0123456789abc of the desk, organisation org-chart",
  "li is a word, and so is na",
  "me@ work, @home",
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

test("members named as identifiers are hidden where they hold more than a text", () => {
  const value = {
    id: "4255550100",
    type: ["+14255550100"],
    model: { object: { text: "Dana" } },
    properties: { id: { description: "such as +14255550100" } },
  };
  expect(new Mask(NAMES).hideAll(value)).toEqual({
    id: "4255550100",
    type: ["[telephone 1]"],
    model: { object: { text: "[name 1]" } },
    properties: { id: { description: "such as [telephone 1]" } },
  });
});

test("given secrets become a mask wherever they stand", () => {
  const mask = new Mask(NAMES, ["lab.openai.azure.com", "lab", "a.b"]);
  expect(mask.hide("https://LAB.openai.azure.com/lab, aab")).toBe("https://•••/•••, aab");
});
