import { expect, test } from "vitest";
import { Fields } from "./fields.ts";

const body = Fields.of({
  text: "a",
  empty: "",
  none: null,
  flag: true,
  count: 5,
  list: [1],
  nested: { inner: "b" },
  texts: { a: "1", b: null },
  mixed: { a: 1 },
  kind: "WebSocket",
});

test("members are read by name and type; null counts as absent", () => {
  expect(body.text("text")).toBe("a");
  expect(body.optionalText("none")).toBeUndefined();
  expect(body.has("none")).toBe(false);
  expect(body.has("empty")).toBe(true);
  expect(body.flag("flag")).toBe(true);
  expect(body.flag("absent")).toBe(false);
  expect(body.count("count", [0, 5])).toBe(5);
  expect(body.list("list")).toEqual([1]);
  expect(body.list("absent")).toEqual([]);
  expect(body.fields("nested")?.text("inner")).toBe("b");
  expect(body.texts("texts")).toEqual({ a: "1" });
  expect(body.texts("absent")).toEqual({});
  expect(body.choice("kind", ["websocket"])).toBe("websocket");
  expect(body.choice("absent", ["websocket"])).toBeUndefined();
});

test.each<[string, () => unknown, string]>([
  ["an absent text", () => body.text("absent"), "Absent"],
  ["an empty text", () => body.text("empty"), "Empty"],
  ["a number for a text", () => body.optionalText("count"), "Count"],
  ["a text for a flag", () => body.flag("text"), "Text"],
  ["a number beyond its bounds", () => body.count("count", [0, 4]), "Count"],
  ["a text for a number", () => body.count("text", [0, 4]), "Text"],
  ["an object for a list", () => body.list("nested"), "Nested"],
  ["a list for an object", () => body.fields("list"), "List"],
  ["a number among texts", () => body.texts("mixed"), "Mixed"],
  ["an unknown choice", () => body.choice("text", ["b"]), "Text"],
])("%s is refused by the member's name", (_what, read, name) => {
  expect(read).toThrow(
    expect.objectContaining({ status: 400, code: "8523", message: `The field ${name} is invalid` }),
  );
});

test("what an object inherits is no member", () => {
  expect(Fields.of({}).has("constructor")).toBe(false);
  expect(Fields.of(JSON.parse('{"__proto__":{"text":"x"}}')).has("text")).toBe(false);
});

test.each([[[]], ["text"], [null], [1], [undefined]])("%j is no body", (value) => {
  expect(() => Fields.of(value)).toThrow("The request body is invalid: not a JSON object");
});
