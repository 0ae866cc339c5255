import { expect, test } from "vitest";
import { maskPaymentCards } from "./payment-card.ts";

test.each([
  ["4111 1111 1111 1111", "****1111"],
  ["my card is 4111-1111-1111-1111, thank you", "my card is ****1111, thank you"],
  ["5555555555554444 and 378282246310005", "****4444 and ****0005"],
])("%j becomes %j", (text, masked) => {
  expect(maskPaymentCards(text)).toBe(masked);
});

test.each([
  "4111 1111 1111 1112",
  "call +14255550100 or 425 555 0100",
  "invoice 2207, 49.99 USD",
  "+4111111111111111",
  "12345678901234567890123",
  "",
])("%j stays as it is", (text) => {
  expect(maskPaymentCards(text)).toBe(text);
});
