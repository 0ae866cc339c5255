import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { SipRequest } from "./message.ts";
import { startSipStack } from "./stack.ts";

const INVITE = [
  "INVITE sip:+18005550100@127.0.0.1 SIP/2.0",
  "Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bKabc;rport",
  "Max-Forwards: 70",
  "From: <sip:+14255550100@127.0.0.1>;tag=a1",
  "To: <sip:+18005550100@127.0.0.1>",
  "Call-ID: one@127.0.0.1",
  "CSeq: 1 INVITE",
  "X-Customer-ID: C-1042",
  "Content-Length: 0",
  "",
  "",
].join("\r\n");

test("a datagram becomes a server transaction and its answers come back", async () => {
  const clock = systemClock();
  const trace = silentTrace;
  await using stack = await startSipStack({
    clock,
    trace,
    listen: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    onRequest: (tx) => tx.respond(486, { headers: { "X-Why": "busy" } }),
  });
  const peer = createSocket("udp4");
  peer.bind(0, "127.0.0.1");
  await once(peer, "listening");
  peer.send(INVITE, stack.listeners[0]?.port, "127.0.0.1");
  const [first] = await once(peer, "message");
  const [second] = await once(peer, "message");
  expect(String(first)).toMatch(/^SIP\/2.0 100 Trying\r\n/);
  expect(String(second)).toMatch(/^SIP\/2.0 486 Busy Here\r\n/);
  expect(String(second)).toContain("X-Why: busy\r\n");
  peer.close();
});

test.each(["udp", "tcp", "ws"] as const)("two stacks talk over %s", async (transport) => {
  const clock = systemClock();
  const trace = silentTrace;
  await using uas = await startSipStack({
    clock,
    trace,
    listen: [{ transport, host: "127.0.0.1", port: 0 }],
    onRequest: (tx) => tx.respond(200, { body: "hi" }),
  });
  await using uac = await startSipStack({
    clock,
    trace,
    listen: [{ transport, host: "127.0.0.1", port: 0 }],
    onRequest: () => {},
  });
  const { port = 0 } = uas.listeners[0] ?? {};
  const options = new SipRequest({
    method: "OPTIONS",
    uri: `sip:127.0.0.1:${port};transport=${transport}`,
    headers: {
      "Max-Forwards": "70",
      From: "<sip:a@b>;tag=1",
      To: "<sip:c@d>",
      "Call-ID": "x",
      CSeq: "1 OPTIONS",
    },
  });
  const response = await uac.request(options).final;
  expect(response.status).toBe(200);
  expect(String(response.body)).toBe("hi");
});
