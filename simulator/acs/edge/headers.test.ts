import { expect, test } from "vitest";
import { filterCustomHeaders, isOneLine } from "./headers.ts";

const INVITE = [
  ["Via", "SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1"],
  ["X-Customer-ID", "C-1042"],
  ["X-MS-Custom-myheader1", "one"],
  ["X-MS-SBC", "linecheck/1"],
  ["user-to-user", "616d;encoding=hex"],
] as const;

const rules = (list: readonly { name: string; rule: string }[]) =>
  list.map(({ name, rule }) => [name, rule]);

test("custom headers keep the sender's spelling; reserved and protocol headers stay behind", () => {
  expect(filterCustomHeaders(INVITE, { mode: "strict" })).toEqual({
    headers: {
      "X-Customer-ID": "C-1042",
      "X-MS-Custom-myheader1": "one",
      "user-to-user": "616d;encoding=hex",
    },
    violations: [],
  });
});

test("a resource of before 2025 sees only X-MS-Custom-* and User-To-User", () => {
  const { headers } = filterCustomHeaders(INVITE, { mode: "strict", filter: "legacy" });
  expect(Object.keys(headers)).toEqual(["X-MS-Custom-myheader1", "user-to-user"]);
});

const SINS = [
  ["X-Space", "two words"],
  ["X-Long", "a".repeat(300)],
  [`X-${"k".repeat(63)}`, "1"],
  ["X-Twice", "first"],
  ["x-twice", "second"],
] as const;

test("strict drops what breaks a rule and says which", () => {
  const { headers, violations } = filterCustomHeaders(SINS, { mode: "strict" });
  expect(headers).toEqual({ "X-Twice": "first" });
  expect(rules(violations)).toEqual([
    ["X-Space", "value"],
    ["X-Long", "valueLength"],
    [`X-${"k".repeat(63)}`, "keyLength"],
    ["x-twice", "repeated"],
  ]);
});

test("truncate cuts values and drops what cannot be cut", () => {
  const { headers } = filterCustomHeaders(SINS, { mode: "truncate" });
  expect(headers).toEqual({
    "X-Space": "two words",
    "X-Long": "a".repeat(256),
    "X-Twice": "first",
  });
});

test("pass lets everything through but a second header of one name", () => {
  const { headers, violations } = filterCustomHeaders(SINS, { mode: "pass" });
  expect(Object.keys(headers)).toHaveLength(4);
  expect(violations).toHaveLength(4);
});

test("five custom headers and one User-To-User are the limit", () => {
  const six = Array.from({ length: 6 }, (_, index) => [`X-${index}`, "v"] as const);
  const { headers, violations } = filterCustomHeaders([...six, ["User-To-User", "u"]], {
    mode: "strict",
  });
  expect(Object.keys(headers)).toEqual(["X-0", "X-1", "X-2", "X-3", "X-4", "User-To-User"]);
  expect(rules(violations)).toEqual([["X-5", "count"]]);
});

test("a value with a line end is recognised", () => {
  expect(isOneLine("a\r\nContact: <sip:x>")).toBe(false);
  expect(isOneLine("a b")).toBe(true);
});
