import { expect, test } from "vitest";
import { encodeHeaderValue, plainHeaderValue } from "./header-value.ts";

/** The alphabet documented for custom SIP header values. */
const ALPHABET = /^[A-Za-z\d=;.!%*_+~-]*$/;

test("a sentence is percent-encoded", () => {
  expect(encodeHeaderValue("Wants to dispute a charge, 49.99 USD.", 256)).toBe(
    "Wants%20to%20dispute%20a%20charge%2C%2049.99%20USD.",
  );
});

test("a percent sign is encoded, so decoding is unambiguous", () => {
  expect(encodeHeaderValue("100%20", 256)).toBe("100%2520");
});

test("the cut comes after encoding and never splits a character", () => {
  expect(encodeHeaderValue("ab€", 10)).toBe("ab");
  expect(encodeHeaderValue("ab€", 11)).toBe("ab%E2%82%AC");
  expect(encodeHeaderValue("😀😀", 23)).toBe("%F0%9F%98%80");
});

const HOSTILE = [
  "a\r\nX-Evil: 1",
  "a\nb\0c\u2028d\u2029e\u0085f",
  '"quotes" <sip:x@y>;tag=1, and a comma',
  "\ud800 alone",
  "\u202Eright to left",
  "😀".repeat(20_000),
  "x".repeat(65_536),
  "",
  "   ",
];

test.each(HOSTILE)("hostile text %# stays in the alphabet, within the limit, decodable", (text) => {
  const encoded = encodeHeaderValue(text, 256);
  expect(encoded).toMatch(ALPHABET);
  expect(encoded.length).toBeLessThanOrEqual(256);
  expect(decodeURIComponent(encoded)).not.toMatch(/[\p{C}]/u);
});

test.each(HOSTILE)("hostile text %# as plain text holds no control character", (text) => {
  const plain = plainHeaderValue(text, 256);
  expect(plain).not.toMatch(/[\p{C}\u2028\u2029]/u);
  expect(Buffer.byteLength(plain)).toBeLessThanOrEqual(256);
});

test("plain text is cut by bytes at a character", () => {
  expect(plainHeaderValue("ab€d", 4)).toBe("ab");
  expect(plainHeaderValue("ab€d", 5)).toBe("ab€");
});

test("what is decoded is a beginning of what was encoded", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  for (let run = 0; run < 300; run += 1) {
    const text = Array.from({ length: random(120) }, () =>
      String.fromCodePoint(33 + random(900)),
    ).join("");
    const clean = text.replaceAll(/[\p{C}\p{Z}]+/gu, " ").trim();
    const limit = 16 + random(300);
    const encoded = encodeHeaderValue(text, limit);
    expect(encoded.length).toBeLessThanOrEqual(limit);
    expect(clean.startsWith(decodeURIComponent(encoded))).toBe(true);
  }
});
