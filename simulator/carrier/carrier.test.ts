import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { startDrachtioDaemon } from "../drachtio/daemon.ts";
import { answer, header, openTestPeer, type TestPeer } from "../drachtio/testing/peer.ts";
import { faultPlan } from "../faults.ts";
import { openTrace } from "../trace.ts";
import { startCarrier } from "./carrier.ts";

const clock = systemClock();
const OFFER =
  "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n";
/** RFC 3264 §8: a new offer has a new version; the same version is a mere session refresh. */
const offer = (version: number) => OFFER.replace("o=- 1 1", `o=- 1 ${version}`);
const ANSWER = OFFER.replaceAll("192.0.2.1", "192.0.2.2");

/** A caller and an IVR, both raw SIP over UDP, with the carrier between them. */
async function network(faults = faultPlan()) {
  const resources = new AsyncDisposableStack();
  onTestFinished(() => resources.disposeAsync());
  const trace = openTrace({ clock });
  const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
  const daemon = resources.use(
    await startDrachtioDaemon({ clock, trace: trace.as("carrier"), contacts }),
  );
  const port = daemon.contacts[0]?.port ?? 0;
  const caller = resources.use(await openTestPeer({ peer: port }));
  const ivr = resources.use(await openTestPeer({ peer: port }));
  const carrier = resources.use(
    await startCarrier({
      clock,
      trace: trace.as("carrier"),
      drachtio: daemon.control,
      routes: [{ number: /^\+1800555\d{4}$/, to: `sip:127.0.0.1:${ivr.port}` }],
      faults,
    }),
  );
  return { caller, ivr, carrier, trace };
}

const invite = (extra = "", maxForwards = 70) => `INVITE sip:+18005551234@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-call
Max-Forwards: ${maxForwards}
From: "Dana Miller" <sip:+14255550100@example.com>;tag=a
To: <sip:+18005551234@127.0.0.1>
Call-ID: call-1
CSeq: 1 INVITE
Contact: <sip:dana@127.0.0.1:{port}>
${extra}Content-Type: application/sdp
Content-Length: ${OFFER.length + OFFER.split("\n").length - 1}

${OFFER}`;

/** RFC 3261 §9.1: the INVITE's own Request-URI, Via, From, To, Call-ID and CSeq number. */
const CANCEL = `${invite()
  .slice(0, invite().indexOf("Contact:"))
  .replaceAll("INVITE", "CANCEL")}Content-Length: 0

`;

const request = (method: string, ok: string, cseq = 2) => `${method} ${contactOf(ok)} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${method}${cseq}
Max-Forwards: 70
From: ${header(ok, "From")}
To: ${header(ok, "To")}
Call-ID: ${header(ok, "Call-ID")}
CSeq: ${method === "ACK" ? 1 : cseq} ${method}
`;

const contactOf = (message: string) => /<([^>]*)>/.exec(header(message, "Contact"))?.[1] ?? "";

const ok = (invitation: string, peer: TestPeer, body = ANSWER) =>
  answer(invitation, "200 OK", [
    `Contact: <sip:peer@127.0.0.1:${peer.port}>`,
    "Content-Type: application/sdp",
    "",
    ...body.split("\n"),
  ]);

/** Brings the call up; returns what each side has got. */
async function connect({ caller, ivr }: { caller: TestPeer; ivr: TestPeer }) {
  caller.send(invite());
  const onward = await ivr.receive(/^INVITE/);
  ivr.send(ok(onward, ivr));
  const answered = await caller.receive(/^SIP\/2.0 200/);
  caller.send(`${request("ACK", answered)}Content-Length: 0\n\n`);
  await ivr.receive(/^ACK/);
  return { onward, answered };
}

test("a call goes on to the number's server with identity, custom headers and SDP", async () => {
  const { caller, ivr } = await network();
  caller.send(
    invite(
      "X-Customer-ID: C-1042\nP-Asserted-Identity: <sip:+14255550100@c>\nX-B: 1, 2\nServer: x\n",
    ),
  );

  const onward = await ivr.receive(/^INVITE/);

  expect(onward).toContain(`INVITE sip:+18005551234@127.0.0.1:${ivr.port} SIP/2.0`);
  expect(header(onward, "From")).toMatch(
    /^"Dana Miller" <sip:\+14255550100@127\.0\.0\.1:\d+>;tag=/,
  );
  expect(header(onward, "X-Customer-ID")).toBe("C-1042");
  expect(header(onward, "X-B")).toBe("1, 2");
  expect(header(onward, "P-Asserted-Identity")).toBe("<sip:+14255550100@c>");
  expect(header(onward, "Max-Forwards")).toBe("69");
  expect(header(onward, "Server")).toBe("");
  expect(header(onward, "Call-ID")).not.toBe("call-1");
  expect(onward).toContain("c=IN IP4 192.0.2.1\r\n");
});

test("ringing, answer and the end pass from one side to the other", async () => {
  const { caller, ivr, carrier } = await network();
  caller.send(invite());
  const onward = await ivr.receive(/^INVITE/);
  ivr.send(answer(onward, "180 Ringing"));
  await caller.receive(/^SIP\/2.0 180/);
  ivr.send(ok(onward, ivr));
  const answered = await caller.receive(/^SIP\/2.0 200/);
  expect(answered).toContain("c=IN IP4 192.0.2.2\r\n");
  caller.send(`${request("ACK", answered)}Content-Length: 0\n\n`);
  await ivr.receive(/^ACK/);
  expect(carrier.callCount).toBe(1);

  caller.send(`${request("BYE", answered)}Reason: Q.850;cause=16\nContent-Length: 0\n\n`);
  await caller.receive(/^SIP\/2.0 200 OK[^]*BYE/);
  const bye = await ivr.receive(/^BYE/);

  expect(header(bye, "Reason")).toBe("Q.850;cause=16");
  ivr.send(answer(bye, "200 OK"));
  await expect.poll(() => carrier.callCount).toBe(0);
});

test("a caller who gives up cancels the call behind the carrier", async () => {
  const { caller, ivr } = await network();
  caller.send(invite());
  const onward = await ivr.receive(/^INVITE/);
  ivr.send(answer(onward, "180 Ringing"));
  await caller.receive(/^SIP\/2.0 180/);

  caller.send(CANCEL.replace("Content-Length", 'Reason: SIP;cause=200;text="x"\nContent-Length'));

  const passed = await ivr.receive(/^CANCEL/);
  expect(header(passed, "Call-ID")).toBe(header(onward, "Call-ID"));
  expect(header(passed, "Reason")).toBe('SIP;cause=200;text="x"');
  expect(await caller.receive(/^SIP\/2.0 487/)).toContain("call-1");
});

test.for(["answer first", "CANCEL first"])(
  "a CANCEL that crosses the answer leaves nobody connected (%s)",
  async (order) => {
    const { caller, ivr, carrier } = await network();
    caller.send(invite());
    const onward = await ivr.receive(/^INVITE/);
    ivr.send(answer(onward, "180 Ringing"));
    await caller.receive(/^SIP\/2.0 180/);

    const steps = [() => ivr.send(ok(onward, ivr)), () => caller.send(CANCEL)];
    for (const step of order === "answer first" ? steps : steps.toReversed()) step();

    await ivr.receive(/^ACK/);
    ivr.send(answer(await ivr.receive(/^BYE/), "200 OK"));
    const final = await caller.receive(/^SIP\/2.0 (?:487|200 OK[^]*INVITE)/);
    if (final.startsWith("SIP/2.0 200")) {
      caller.send(`${request("ACK", final)}Content-Length: 0\n\n`);
      caller.send(answer(await caller.receive(/^BYE/), "200 OK"));
    }
    await expect.poll(() => carrier.callCount).toBe(0);
  },
);

test.for([
  ["486 Busy Here", "486 Busy Here"],
  ["603 Decline", "603 Decline"],
  ["302 Moved Temporarily", "500 Server Internal Error"],
  ["407 Proxy Authentication Required", "500 Server Internal Error"],
] as const)("a refusal with %s reaches the caller as %s", async ([sent, got]) => {
  const { caller, ivr } = await network();
  caller.send(invite());
  const onward = await ivr.receive(/^INVITE/);
  ivr.send(answer(onward, sent, ['Reason: Q.850;cause=17;text="busy"']));

  const refused = await caller.receive(/^SIP\/2.0 [3-6]/);

  expect(refused).toContain(`SIP/2.0 ${got}\r\n`);
  expect(header(refused, "Reason")).toBe('Q.850;cause=17;text="busy"');
});

test("a number without a route is not found, and a call without hops left goes no further", async () => {
  const { caller } = await network();

  caller.send(invite().replaceAll("+18005551234", "+4930123456"));
  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 404 Not Found\r\n");
  caller.send(invite("", 0).replaceAll("call", "loop"));
  expect(await caller.receive(/loop-1/)).toBeDefined();
  expect(await caller.receive(/^SIP\/2.0 [3-6][^]*loop-1/)).toContain("SIP/2.0 483 ");
});

test("a re-INVITE is answered by the other side, also after one that was refused", async () => {
  const { caller, ivr } = await network();
  const { answered } = await connect({ caller, ivr });
  const typed = `Contact: <sip:dana@127.0.0.1:${caller.port}>\nContent-Type: application/sdp\n\n`;

  caller.send(`${request("INVITE", answered, 2)}${typed}${offer(2)}a=inactive\n`);
  const refusedOffer = await ivr.receive(/^INVITE[^]*a=inactive/);
  ivr.send(answer(refusedOffer, "488 Not Acceptable Here"));
  const refused = await caller.receive(/^SIP\/2.0 488/);
  caller.send(
    `${request("ACK", refused).replace("ACK1", "INVITE2").replace("CSeq: 1", "CSeq: 2").replace("ACK2", "INVITE2")}Content-Length: 0\n\n`,
  );
  caller.send(`${request("INVITE", answered, 3)}${typed}${offer(3)}a=sendonly\n`);
  const second = await ivr.receive(/^INVITE[^]*a=sendonly/);
  ivr.send(ok(second, ivr, `${ANSWER}a=recvonly\n`));

  expect(await caller.receive(/^SIP\/2.0 200[^]*CSeq: 3/)).toContain("a=recvonly");
});

test("a body that is not SDP passes with its type", async () => {
  const { caller, ivr } = await network();
  const headers = invite().slice(0, invite().indexOf("Content-Type"));
  caller.send(`${headers}Content-Type: text/plain\nContent-Length: 5\n\nhello`);

  const onward = await ivr.receive(/^INVITE/);

  expect(header(onward, "Content-Type")).toBe("text/plain");
  expect(onward).toMatch(/\r\n\r\nhello$/);
});

test("INFO passes with its body and its answer; REFER is not the carrier's business", async () => {
  const { caller, ivr } = await network();
  const { answered } = await connect({ caller, ivr });

  const typed = "Content-Type: application/dtmf-relay\nContent-Length: 10\n\nSignal=5\n";
  caller.send(`${request("INFO", answered, 2)}${typed}`);
  const info = await ivr.receive(/^INFO[^]*Signal=5/);
  ivr.send(answer(info, "415 Unsupported Media Type"));
  expect(await caller.receive(/^SIP\/2.0 [4-6]/)).toContain("SIP/2.0 415 ");
  caller.send(`${request("REFER", answered, 3)}Refer-To: <sip:x@y>\nContent-Length: 0\n\n`);

  expect(header(await caller.receive(/^SIP\/2.0 405/), "Allow")).not.toContain("REFER");
});

test("a re-INVITE without an offer is refused and goes no further", async () => {
  const { caller, ivr } = await network();
  const { answered } = await connect({ caller, ivr });
  ivr.drain();

  const contact = `Contact: <sip:dana@127.0.0.1:${caller.port}>\n`;
  caller.send(`${request("INVITE", answered, 2)}${contact}Content-Length: 0\n\n`);

  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 488 ");
  expect(ivr.drain()).toEqual([]);
});

test("a call without an offer is refused, with the reason", async () => {
  const { caller } = await network();
  const headers = invite().slice(0, invite().indexOf("Content-Type"));
  caller.send(`${headers}Content-Length: 0\n\n`);

  const refused = await caller.receive(/^SIP\/2.0 [3-6]/);

  expect(refused).toContain("SIP/2.0 488 ");
  expect(header(refused, "Warning")).toBe('399 linecheck "an offer is needed"');
});

test("a planned fault refuses the call and stands in the trace", async () => {
  const faults = faultPlan([{ name: "carrier.refuse", with: { status: 603 } }]);
  const { caller, trace } = await network(faults);
  caller.send(invite());

  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 603 Decline\r\n");
  expect(trace.events).toContainEqual(
    expect.objectContaining({ party: "carrier", type: "fault", name: "carrier.refuse" }),
  );
});

test("disposing the carrier hangs up both sides of its calls", async () => {
  const { caller, ivr, carrier } = await network();
  await connect({ caller, ivr });

  const disposed = carrier[Symbol.asyncDispose]();
  caller.send(answer(await caller.receive(/^BYE/), "200 OK"));
  ivr.send(answer(await ivr.receive(/^BYE/), "200 OK"));

  await expect(disposed).resolves.toBeUndefined();
});
