import { expect, test } from "vitest";
import { decodeHeader } from "./desk.ts";

test.for([
  ["Customer%20wants%20a%20refund%3A%20%E2%82%AC20", "Customer wants a refund: €20"],
  ["plain text", "plain text"],
  ["100% sure", "100% sure"],
  ["%E2%82", "%E2%82"],
  ["", ""],
  [undefined, undefined],
] as const)("the header value %s is shown as %s", ([value, shown]) => {
  expect(decodeHeader(value)).toBe(shown);
});
