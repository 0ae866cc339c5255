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
  ["4242 4242 4242 4242 12/28", "****4242 12/28"],
  ["4242 4242 4242 4242 123", "****4242 123"],
  ["1 4242 4242 4242 4242", "1 ****4242"],
  ["4242, 4242, 4242, 4242", "****4242"],
  ["4242.4242.4242.4242.", "****4242."],
  ["4242–4242–4242–4242", "****4242"],
  ["4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2, 1 2, 2 8", "****4242, 1 2, 2 8"],
  ["3782 822463 10005, 09 28, 1234", "****0005, 09 28, 1234"],
  ["5555555555554444, 378282246310005", "****4444, ****0005"],
  ["42424242424242421228", "****42421228"],
  ["12284242424242424242", "1228****4242"],
  ["4242 4242 42424242 42 123", "****4242 42 123"],
  ["+14255550100 4242 4242 4242 4242", "+14255550100 ****4242"],
  ["invoice 2207, 4111 1111 1111 1111, 49.99", "invoice 2207, ****1111, 49.99"],
])("among other digits %j becomes %j", (text, masked) => {
  expect(maskPaymentCards(text)).toBe(masked);
});

test.each([
  "4111 1111 1111 1112",
  "call +14255550100 or 425 555 0100",
  "425 555 0100, 425 555 0123",
  "invoice 2207, 49.99 USD",
  "49.99, 120.00, 1,250.00, 17.25",
  "2026-03-14, 2026-03-21, 2026-04-01",
  "account 1234 5678 9012 3456 789",
  "IBAN DE89 3704 0044 0532 0130 00",
  "+4111111111111111",
  "12345678901234567890123",
  "",
])("%j stays as it is", (text) => {
  expect(maskPaymentCards(text)).toBe(text);
});

test("a text of nothing but digits takes no longer than its length", () => {
  const text = "4111 1111 1111 1112, ".repeat(2000);
  expect(maskPaymentCards(text)).toHaveLength(text.length);
  expect(maskPaymentCards("4".repeat(100_000)).length).toBeLessThanOrEqual(100_000);
});
