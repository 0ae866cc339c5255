import { expect, test } from "vitest";
import type { TraceEvent } from "../trace.ts";
import { isArrow, ladderRows, sipLabel } from "./arrows.ts";
import { textLadder } from "./ladder.ts";

const INVITE = [
  "INVITE sip:+18005551234@127.0.0.1 SIP/2.0",
  "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1",
  "Call-ID: a@b",
  "CSeq: 1 INVITE",
  "",
  "",
].join("\r\n");

const sip = (party: "phone" | "carrier", direction: "in" | "out", at: number): TraceEvent => ({
  v: 1,
  at,
  party,
  type: "sip",
  direction,
  transport: "udp",
  local: "127.0.0.1:1",
  remote: "127.0.0.1:2",
  message: INVITE,
});

test("the two records of one message become one arrow", () => {
  const rows = ladderRows([sip("phone", "out", 0), sip("carrier", "in", 1)]);
  expect(rows).toHaveLength(1);
  expect(rows[0]).toMatchObject({ from: "phone", to: "carrier", label: "INVITE" });
});

test("a retransmission is an arrow of its own", () => {
  const rows = ladderRows([
    sip("phone", "out", 0),
    sip("phone", "out", 500),
    sip("carrier", "in", 501),
    sip("carrier", "in", 502),
  ]);
  expect(rows).toHaveLength(2);
});

test("a message from outside the lab has no sender, one to the outside no receiver", () => {
  expect(ladderRows([sip("carrier", "in", 0)])[0]).toMatchObject({
    from: undefined,
    to: "carrier",
  });
  expect(ladderRows([sip("phone", "out", 0)])[0]).toMatchObject({ from: "phone", to: undefined });
});

test("responses carry their method, NOTIFY its fragment", () => {
  expect(sipLabel("SIP/2.0 486 Busy Here\r\nCSeq: 3 INVITE\r\n\r\n")).toBe(
    "486 Busy Here (INVITE)",
  );
  expect(sipLabel("NOTIFY sip:a SIP/2.0\r\nCSeq: 2 NOTIFY\r\n\r\nSIP/2.0 100 Trying")).toBe(
    "NOTIFY 100 Trying",
  );
});

test("an event's delivery goes from ACS to the agent under its short name", () => {
  const [row] = ladderRows([
    {
      v: 1,
      at: 5,
      party: "acs",
      type: "http",
      direction: "out",
      service: "callback",
      method: "POST",
      target: "http://127.0.0.1:1/callbacks/1",
      status: 200,
      request: [{ type: "Microsoft.Communication.CallConnected" }],
      durationMs: 3,
    },
  ]);
  expect(row).toMatchObject({ from: "acs", to: "agent", label: "CallConnected → 200" });
  expect(row !== undefined && isArrow(row)).toBe(true);
});

test("the text ladder has a column for each party that took part, and no other", () => {
  const ladder = textLadder([
    sip("phone", "out", 0),
    sip("carrier", "in", 1),
    {
      v: 1,
      at: 1500,
      party: "phone",
      type: "heard",
      kind: "phrase",
      text: "hello",
      startMs: 0,
      endMs: 9,
    },
  ]);
  expect(ladder).toBe(
    ["      s  phone         carrier", "  0.001  │───INVITE───▶│", "  1.500  ● hears “hello”"].join(
      "\n",
    ),
  );
});

test("a long label is cut and line breaks in it are not drawn", () => {
  const ladder = textLadder(
    [
      {
        v: 1,
        at: 0,
        party: "phone",
        type: "error",
        code: "X",
        message: `a\r\nb${"c".repeat(200)}`,
      },
    ],
    { labelWidth: 20 },
  );
  expect(ladder.split("\n")).toHaveLength(2);
  expect(ladder).toContain("…");
});
