import { expect, test } from "vitest";
import { decodeHeaderValue, readCallerContext } from "./context.ts";

test("headers are found whatever their case", () => {
  expect(readCallerContext({ "x-customer-id": "C-1042", "X-TRANSFER-REASON": "billing" })).toEqual({
    customerId: "C-1042",
    transferReason: "billing",
  });
});

test.each([
  "X-CustomerID",
  "XCustomer-ID",
  "X--Customer-ID",
  "X-MS-CustomCustomer-ID",
  "x_customer_id",
])("%s names no customer, and takes no other header's place", (name) => {
  expect(readCallerContext({ [name]: "C-VICTIM" })).toEqual({});
  expect(readCallerContext({ [name]: "C-VICTIM", "X-Customer-ID": "C-OWN" })).toEqual({
    customerId: "C-OWN",
  });
});

test("User-To-User is not used", () => {
  expect(readCallerContext({ "User-To-User": "616263;encoding=hex" })).toEqual({});
});

test("the prefix of older resources means the same header", () => {
  expect(
    readCallerContext({
      "X-MS-Custom-Customer-ID": "C-1",
      "x-ms-custom-transfer-reason": "billing",
    }),
  ).toEqual({ customerId: "C-1", transferReason: "billing" });
});

test("the first of two spellings counts", () => {
  const context = readCallerContext({ "X-Customer-ID": "C-1", "x-customer-id": "C-2" });
  expect(context.customerId).toBe("C-1");
});

test.each([undefined, null, "X-Customer-ID: C-1", 7, []])(
  "%j gives an empty context",
  (headers) => {
    expect(readCallerContext(headers)).toEqual({});
  },
);

test("values that are no strings are left out", () => {
  expect(readCallerContext({ "X-Customer-ID": 1042, "X-Transfer-Reason": { a: 1 } })).toEqual({});
});

test.each(["C 1042", "'; DROP TABLE customers", "x".repeat(65), "C%0D%0A1"])(
  "%j is no customer id, or none with anything but its letters",
  (value) => {
    expect(readCallerContext({ "X-Customer-ID": value }).customerId ?? "").toMatch(/^(C1)?$/);
  },
);

test("percent-encoding is undone where it is valid", () => {
  expect(decodeHeaderValue("wants%20a%20refund%20%C3%A9")).toBe("wants a refund é");
  expect(decodeHeaderValue("100% sure")).toBe("100% sure");
  expect(decodeHeaderValue("%C3 broken %28")).toBe("%C3 broken %28");
});

test("control characters are dropped, also encoded ones", () => {
  expect(decodeHeaderValue("a%0D%0AX-Evil: 1%00b\r\n")).toBe("aX-Evil: 1b");
});

test("values are bounded", () => {
  expect(decodeHeaderValue("é".repeat(100_000))).toHaveLength(256);
});
