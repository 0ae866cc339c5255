import { expect, test } from "vitest";
import { redact, redactDeep } from "./redaction.ts";

test.each([
  ["Authorization: Bearer abcdef0123456789", "Authorization: Bearer •••"],
  ["&Signature=aGVsbG8=", "&Signature=•••"],
  ["http://127.0.0.1:1/events?code=NgPu0vpDi0&x=1", "http://127.0.0.1:1/events?code=•••&x=1"],
  ["api-key: topsecret", "api-key: •••"],
  [
    'Digest username="a", response="0123", cnonce="4"',
    'Digest username="a", response="•••", cnonce="•••"',
  ],
  ["card 4111-1111-1111-1111.", "card •••1111."],
  ["X-AI-Summary: card%204111%201111%201111%201111", "X-AI-Summary: card%20•••1111"],
  ["mail dana@mail.example.de now", "mail •••@••• now"],
  ["X-AI-Summary: dana%40example.com", "X-AI-Summary: •••@•••"],
])("%j becomes %j", (text, masked) => {
  expect(redact(text)).toBe(masked);
});

test.each([
  "sip:+14255550100@sip.pstnhub.microsoft.com;user=phone",
  "Call-ID: 1a2b@127.0.0.1",
  "Call-ID: 1a2b@sbc.linecheck.test",
  "<sip:alice@abc123.invalid;transport=ws>",
  "4111 1111 1111 1112",
  "From: <sip:+14255550100@h>",
  "CallConnected resultInformation: code=200",
])("%j is no secret", (text) => {
  expect(redact(text)).toBe(text);
});

test("a member that holds a secret by its name is masked, whatever the secret looks like", () => {
  const headers = { "Api-Key": "lab-openai-key", accept: "*/*", nested: [{ Authorization: "x" }] };
  expect(redactDeep(headers)).toEqual({
    "Api-Key": "•••",
    accept: "*/*",
    nested: [{ Authorization: "•••" }],
  });
  expect(headers["Api-Key"]).toBe("lab-openai-key");
});
