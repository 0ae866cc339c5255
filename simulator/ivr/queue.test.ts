import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { startDrachtioDaemon } from "../drachtio/daemon.ts";
import { answer, header, openTestPeer, type TestPeer } from "../drachtio/testing/peer.ts";
import { faultPlan } from "../faults.ts";
import { openTrace } from "../trace.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

const clock = systemClock();
const SDP =
  "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n";

/** An SBC and a human's phone, both raw SIP, with the queue between them. */
async function centre(options: Partial<QueueOptions> = {}) {
  const resources = new AsyncDisposableStack();
  onTestFinished(() => resources.disposeAsync());
  const trace = openTrace({ clock });
  const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
  const party = trace.as("queue");
  const daemon = resources.use(await startDrachtioDaemon({ clock, trace: party, contacts }));
  const port = daemon.contacts[0]?.port ?? 0;
  const sbc = resources.use(await openTestPeer({ peer: port }));
  const human = resources.use(await openTestPeer({ peer: port }));
  const { control: drachtio } = daemon;
  const number = "+18005550150";
  const queue = resources.use(
    await startQueue({ clock, trace: party, drachtio, number, ...options }),
  );
  return { sbc, human, queue, trace };
}

const register = (expires = 600) => `REGISTER sip:127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-r${expires}
Max-Forwards: 70
From: <sip:+18005550199@127.0.0.1>;tag=r
To: <sip:+18005550199@127.0.0.1>
Call-ID: register
CSeq: ${601 - expires} REGISTER
Contact: <sip:human@127.0.0.1:{port}>;expires=${expires}
Content-Length: 0

`;

const invite = (
  call = "call-1",
  number = "+18005550150",
) => `INVITE sip:${number}@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${call}
Max-Forwards: 70
From: <sip:+14255550100@127.0.0.1>;tag=a
To: <sip:${number}@127.0.0.1>
Call-ID: ${call}
CSeq: 1 INVITE
Contact: <sip:sbc@127.0.0.1:{port}>
X-Customer-ID: C-1042
X-Transfer-Reason: billing
X-AI-Summary: Wants%20%E2%82%AC20%20back
Content-Type: application/sdp
Content-Length: ${SDP.length + SDP.split("\n").length - 1}

${SDP}`;

const request = (method: string, ok: string) => `${method} sip:queue@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${method}
Max-Forwards: 70
From: ${header(ok, "From")}
To: ${header(ok, "To")}
Call-ID: ${header(ok, "Call-ID")}
CSeq: ${method === "ACK" ? 1 : 2} ${method}
Content-Length: 0

`;

const ok = (invitation: string, peer: TestPeer) =>
  answer(invitation, "200 OK", [
    `Contact: <sip:human@127.0.0.1:${peer.port}>`,
    "Content-Type: application/sdp",
    "",
    ...SDP.replaceAll("192.0.2.1", "192.0.2.2").split("\n"),
  ]);

/** The human's phone is registered. */
async function registered(options?: Partial<QueueOptions>) {
  const opened = await centre(options);
  opened.human.send(register());
  const granted = await opened.human.receive(/^SIP\/2.0 200/);
  return { ...opened, granted };
}

test("a phone registers and the queue says for how long", async () => {
  const { human, queue, granted } = await registered();

  expect(header(granted, "Expires")).toBe("600");
  expect(header(granted, "Contact")).toBe(`<sip:human@127.0.0.1:${human.port}>;expires=600`);
  expect(queue.humans).toMatchObject([
    { number: "+18005550199", contact: `sip:human@127.0.0.1:${human.port}` },
  ]);
  human.send(register(0));
  expect(header(await human.receive(/^SIP\/2.0 200/), "Expires")).toBe("0");
  expect(queue.humans).toEqual([]);
});

test("the human sees who calls and why before picking up, and the phone gets it all", async () => {
  const { sbc, human, queue } = await registered();
  sbc.send(invite());

  const call = await queue.nextCall();
  const ringing = await human.receive(/^INVITE/);

  expect(call).toMatchObject({
    callId: "call-1",
    from: "+14255550100",
    customerId: "C-1042",
    reason: "billing",
    summary: "Wants €20 back",
  });
  expect(call.headers.get("x-ai-summary")).toBe("Wants%20%E2%82%AC20%20back");
  expect(call.headers.get("X-Nothing")).toBeUndefined();
  expect(ringing).toContain(`INVITE sip:human@127.0.0.1:${human.port} SIP/2.0\r\n`);
  expect(header(ringing, "X-AI-Summary")).toBe("Wants%20%E2%82%AC20%20back");
  expect(header(ringing, "From")).toMatch(/^<sip:\+14255550100@/);
});

test("an answered call is bridged until the human hangs up", async () => {
  const { sbc, human, queue, trace } = await registered();
  sbc.send(invite());
  const ringing = await human.receive(/^INVITE/);
  human.send(ok(ringing, human));
  const answered = await sbc.receive(/^SIP\/2.0 200/);
  sbc.send(request("ACK", answered));
  const call = await queue.nextCall();
  expect(await call.answered).toBe("+18005550199");
  expect(answered).toContain("c=IN IP4 192.0.2.2\r\n");

  const ack = await human.receive(/^ACK/);
  const swapped = ack.replaceAll(/^(From|To):/gm, (name) => (name === "From:" ? "To:" : "From:"));
  human.send(request("BYE", swapped));
  sbc.send(answer(await sbc.receive(/^BYE/), "200 OK"));

  expect(await call.ended).toEqual({ by: "human" });
  const moves = trace.events.flatMap((event) =>
    event.type === "state" ? [`${event.from} ${event.to}`] : [],
  );
  expect(moves).toEqual(["none offered", "offered answered", "answered ended"]);
});

test("a caller who gives up is seen at the desk, and the phone stops ringing", async () => {
  const { sbc, human, queue } = await registered();
  sbc.send(invite());
  const ringing = await human.receive(/^INVITE/);
  human.send(answer(ringing, "180 Ringing"));
  await sbc.receive(/^SIP\/2.0 180/);

  const cancel = invite().replaceAll("INVITE", "CANCEL");
  sbc.send(`${cancel.slice(0, cancel.indexOf("Contact:"))}Content-Length: 0\n\n`);

  human.send(answer(await human.receive(/^CANCEL/), "200 OK"));
  human.send(answer(ringing, "487 Request Terminated"));
  expect(await (await queue.nextCall()).ended).toEqual({ by: "caller" });
});

test("without a registered phone the queue is unavailable, with a busy one it is busy", async () => {
  const { sbc, human, queue } = await centre();
  sbc.send(invite("nobody"));
  expect(await sbc.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 480 ");
  human.send(register());
  await human.receive(/^SIP\/2.0 200/);
  sbc.send(invite("first"));
  await human.receive(/^INVITE/);

  sbc.send(invite("second"));

  expect(await sbc.receive(/^SIP\/2.0 [3-6][^]*second/)).toContain("SIP/2.0 486 ");
  const ends = [await queue.nextCall(), await queue.nextCall(), await queue.nextCall()];
  expect(await ends[0]?.ended).toEqual({ by: "refused", status: 480 });
  expect(await ends[2]?.ended).toEqual({ by: "refused", status: 486 });
});

test("a phone that nobody picks up is given up with 480", async () => {
  const { sbc, human, queue } = await registered({ ringTimeoutMs: 100 });
  sbc.send(invite());
  const ringing = await human.receive(/^INVITE/);
  human.send(answer(ringing, "180 Ringing"));

  human.send(answer(await human.receive(/^CANCEL/), "200 OK"));

  expect(await sbc.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 480 No Answer\r\n");
  expect(await (await queue.nextCall()).ended).toMatchObject({ by: "refused", status: 480 });
});

test("the queue refuses as it is told, until it is told otherwise", async () => {
  const { sbc, human, queue } = await registered();
  queue.refuseWith({ status: 503, reason: "Closed" });
  sbc.send(invite("closed"));
  expect(await sbc.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 503 Closed\r\n");

  queue.refuseWith(undefined);
  sbc.send(invite("open"));

  expect(await human.receive(/^INVITE/)).toBeDefined();
});

test("a planned fault refuses a call and stands in the trace", async () => {
  const faults = faultPlan([{ name: "queue.refuse", with: { status: 603 }, times: 1 }]);
  const { sbc, trace } = await registered({ faults });
  sbc.send(invite());

  expect(await sbc.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 603 Decline\r\n");
  expect(trace.events).toContainEqual(
    expect.objectContaining({ party: "queue", type: "fault", name: "queue.refuse" }),
  );
});

test("another number is not the queue's", async () => {
  const { sbc } = await registered();
  sbc.send(invite("other", "+18005550151"));

  expect(await sbc.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 404 ");
});
