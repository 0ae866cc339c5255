import { expect, test } from "vitest";
import type { Party, TraceEvent } from "../../simulator/trace.ts";
import { custody, custodyText } from "./custody.ts";

const invite = (branch: string, headers: string[]) =>
  [
    "INVITE sip:+18005550100@host SIP/2.0",
    `Via: SIP/2.0/UDP h;branch=${branch}`,
    "To: <sip:+18005550100@host>",
    "Call-ID: c",
    "CSeq: 1 INVITE",
    ...headers,
    "",
    "",
  ].join("\r\n");

/** Both records of one message. */
function hop(at: number, [from, to]: [Party, Party], message: string): TraceEvent[] {
  const record = {
    v: 1,
    at,
    type: "sip",
    transport: "udp",
    local: "l",
    remote: "r",
    message,
  } as const;
  return [
    { ...record, party: from, direction: "out" },
    { ...record, party: to, direction: "in" },
  ];
}

const incomingCall = (sipHeaders: Record<string, string> | undefined): TraceEvent => ({
  v: 1,
  at: 9,
  party: "acs",
  type: "http",
  direction: "out",
  service: "event-grid",
  method: "POST",
  target: "http://agent/events",
  status: 200,
  durationMs: 1,
  request: [
    {
      eventType: "Microsoft.Communication.IncomingCall",
      data: sipHeaders === undefined ? {} : { customContext: { sipHeaders } },
    },
  ],
});

test("a header is followed from hop to hop, whatever the case of its name", () => {
  const events = [
    ...hop(1, ["phone", "ivr"], invite("b1", [])),
    ...hop(2, ["ivr", "sbc"], invite("b2", ["X-CUSTOMER-ID:  C-1042"])),
    incomingCall({ "x-customer-id": "C-1042" }),
  ];
  expect(custody(events, "X-Customer-ID").map(({ value }) => value)).toEqual([
    undefined,
    "C-1042",
    "C-1042",
  ]);
  expect(custodyText(events, "X-Customer-ID")).not.toContain("←");
});

test("the party that lost a header is named", () => {
  const events = [
    ...hop(1, ["ivr", "sbc"], invite("b1", ["X-Customer-ID: C-1042"])),
    ...hop(2, ["sbc", "acs"], invite("b2", [])),
    incomingCall(undefined),
  ];
  expect(custodyText(events, "X-Customer-ID")).toMatch(/sbc → acs .*\(absent\) +← lost at sbc/);
});

test("the party that altered a header is named", () => {
  const events = [
    ...hop(1, ["ivr", "sbc"], invite("b1", ["X-Customer-ID: C-1042"])),
    ...hop(2, ["sbc", "acs"], invite("b2", ["X-Customer-ID: c-1042"])),
  ];
  expect(custodyText(events, "X-Customer-ID")).toContain("← altered at sbc");
});

test("a re-INVITE is no hop", () => {
  const again = invite("b3", []).replace("To: <sip:+18005550100@host>", "To: <sip:a@b>;tag=1");
  expect(custody(hop(1, ["ivr", "sbc"], again), "X-Customer-ID")).toEqual([]);
});

test("a body's lines are no headers", () => {
  const message = `${invite("b1", [])}X-Customer-ID: in the body`;
  expect(custody(hop(1, ["ivr", "sbc"], message), "X-Customer-ID")[0]?.value).toBeUndefined();
});
