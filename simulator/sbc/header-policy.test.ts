import { expect, test } from "vitest";
import { DEFAULT_POLICY, passHeaders, withoutHeader } from "./header-policy.ts";

test("custom headers and history pass, reserved and private ones do not", () => {
  const headers = {
    "X-Customer-ID": "C-1042",
    "x-lower": "1",
    "X-MS-Custom-Note": "n",
    "X-MS-ConversationId": "forged",
    "user-to-user": "616263;encoding=hex",
    "history-info": "<sip:+1@x>;index=1",
    Diversion: "<sip:+1@x>",
    "p-asserted-identity": "<sip:+1@x>",
    privacy: "id",
    via: "SIP/2.0/UDP x",
    "user-agent": "sipp",
  };

  expect(passHeaders(headers, DEFAULT_POLICY)).toEqual({
    "X-Customer-ID": "C-1042",
    "x-lower": "1",
    "X-MS-Custom-Note": "n",
    "user-to-user": "616263;encoding=hex",
    "history-info": "<sip:+1@x>;index=1",
    Diversion: "<sip:+1@x>",
  });
});

test("a value with a line break never passes", () => {
  expect(passHeaders({ "X-A": "1\r\nX-B: 2", "X-C": "3" }, DEFAULT_POLICY)).toEqual({ "X-C": "3" });
});

test("another policy decides alone", () => {
  const headers = { "X-A": "1", "X-B": "2" };

  expect(passHeaders(headers, { pass: [/^X-B$/i] })).toEqual({ "X-B": "2" });
  expect(passHeaders(headers, { pass: [] })).toEqual({});
});

test("a header is taken out whatever its spelling", () => {
  expect(withoutHeader({ "X-Customer-ID": "C", "X-A": "1" }, "x-customer-id")).toEqual({
    "X-A": "1",
  });
});
