import { refusal } from "./service-error.ts";

/** Call Automation's names of the keys, by the character RFC 4733 events stand for. */
const NAMES: Readonly<Record<string, string>> = {
  0: "zero",
  1: "one",
  2: "two",
  3: "three",
  4: "four",
  5: "five",
  6: "six",
  7: "seven",
  8: "eight",
  9: "nine",
  A: "a",
  B: "b",
  C: "c",
  D: "d",
  "#": "pound",
  "*": "asterisk",
};
const DIGITS = new Map(Object.entries(NAMES).map(([digit, name]) => [name, digit]));

/** `two` for `2`. */
export function toneOf(digit: string): string {
  return NAMES[digit.toUpperCase()] ?? "unknown";
}

/** `2` for `two`; anything else is 400/8523. */
export function digitOf(tone: unknown, field: string): string {
  const digit = typeof tone === "string" ? DIGITS.get(tone.toLowerCase()) : undefined;
  if (digit === undefined) throw refusal.invalidField(field);
  return digit;
}
