import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { startDrachtioDaemon } from "../drachtio/daemon.ts";
import { answer, header, openTestPeer, type TestPeer } from "../drachtio/testing/peer.ts";
import { faultPlan } from "../faults.ts";
import type { Audio } from "../media/frame.ts";
import { openMediaSession } from "../media/session.ts";
import { openTrace, silentTrace } from "../trace.ts";
import { type IvrOptions, startIvr } from "./ivr.ts";

const clock = systemClock();

/** A tone that is told from the others by its level. */
const tone = (level: number, durationMs = 60): Audio => ({
  samples: Int16Array.from({ length: durationMs * 8 }, (_, index) =>
    Math.round(level * Math.sin((2 * Math.PI * 440 * index) / 8_000)),
  ),
  rateHz: 8_000,
});
const prompts = {
  menu: tone(4_000, 2_000),
  invalid: tone(8_000),
  transferring: tone(12_000, 2_000),
  unavailable: tone(16_000),
};

const loudest = (samples: Int16Array) => Math.max(0, ...samples);

/** A caller with media and an SBC, both raw SIP, with the IVR between them. */
async function contactCentre(options: Partial<IvrOptions> = {}) {
  const resources = new AsyncDisposableStack();
  onTestFinished(() => resources.disposeAsync());
  const trace = openTrace({ clock });
  const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
  const party = trace.as("ivr");
  const daemon = resources.use(await startDrachtioDaemon({ clock, trace: party, contacts }));
  const port = daemon.contacts[0]?.port ?? 0;
  const caller = resources.use(await openTestPeer({ peer: port }));
  const sbc = resources.use(await openTestPeer({ peer: port }));
  const ivr = resources.use(
    await startIvr({
      clock,
      trace: party,
      drachtio: daemon.control,
      prompts,
      menu: { "2": { reason: "billing", destination: "+18005550100" } },
      customers: (number) => (number === "+14255550100" ? "C-1042" : undefined),
      sbc: `sip:127.0.0.1:${sbc.port}`,
      digitTimeoutMs: 100,
      attempts: 1,
      ...options,
    }),
  );
  const media = async () =>
    resources.use(await openMediaSession({ clock, trace: silentTrace, call: "test" }));
  const kinds = () => ivr.calls.at(-1)?.events.map(({ kind }) => kind);
  return { caller, sbc, ivr, media, trace, kinds };
}

type Centre = Awaited<ReturnType<typeof contactCentre>>;

const invite = (
  sdp: string,
  from = "+14255550100",
) => `INVITE sip:+18005551234@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-call
Max-Forwards: 70
From: <sip:${from}@127.0.0.1>;tag=a
To: <sip:+18005551234@127.0.0.1>
Call-ID: call-1
CSeq: 1 INVITE
Contact: <sip:caller@127.0.0.1:{port}>
Content-Type: application/sdp
Content-Length: ${Buffer.byteLength(sdp)}

${sdp.replaceAll("\r\n", "\n")}`;

const request = (
  method: string,
  ok: string,
  body = "",
) => `${method} sip:ivr@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${method}
Max-Forwards: 70
From: ${header(ok, "From")}
To: ${header(ok, "To")}
Call-ID: ${header(ok, "Call-ID")}
CSeq: ${method === "ACK" ? 1 : 2} ${method}
Content-Type: application/sdp
Content-Length: ${Buffer.byteLength(body)}

${body.replaceAll("\r\n", "\n")}`;

const bodyOf = (message: string) => message.slice(message.indexOf("\r\n\r\n") + 4);
const withSdp = (peer: TestPeer, sdp: string) => [
  `Contact: <sip:peer@127.0.0.1:${peer.port}>`,
  "Content-Type: application/sdp",
  "",
  ...sdp.split("\r\n"),
];

/** The caller is in the menu. */
async function enter({ caller, media }: Centre, from?: string) {
  const session = await media();
  caller.send(invite(session.offer(), from));
  const ok = await caller.receive(/^SIP\/2.0 200/);
  caller.send(request("ACK", ok));
  session.accept(bodyOf(ok));
  return { session, ok };
}

/** The caller has pressed 2 and the SBC has the INVITE. */
async function choose(centre: Centre, from?: string) {
  const call = await enter(centre, from);
  await call.session.sendDigits("2");
  const onward = await centre.sbc.receive(/^INVITE/);
  return { ...call, onward };
}

test("the key decides: the SBC gets the call with customer and reason", async () => {
  const centre = await contactCentre();
  const { onward } = await choose(centre);

  expect(onward).toContain(`INVITE sip:+18005550100@127.0.0.1:${centre.sbc.port} SIP/2.0\r\n`);
  expect(header(onward, "X-Customer-ID")).toBe("C-1042");
  expect(header(onward, "X-Transfer-Reason")).toBe("billing");
  expect(header(onward, "From")).toMatch(/^<sip:\+14255550100@127\.0\.0\.1:\d+>/);
  expect(centre.ivr.calls[0]).toMatchObject({
    from: "+14255550100",
    to: "+18005551234",
    events: [
      { kind: "menu" },
      { kind: "digit", digit: "2" },
      {
        kind: "decision",
        customerId: "C-1042",
        reason: "billing",
        destination: "+18005550100",
        headers: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" },
      },
    ],
  });
});

test("a stranger is transferred without a customer id", async () => {
  const centre = await contactCentre();
  const { onward } = await choose(centre, "+19998887777");

  expect(header(onward, "X-Customer-ID")).toBe("");
  expect(header(onward, "X-Transfer-Reason")).toBe("billing");
});

test("the answered call is bridged, and the caller's BYE ends it", async () => {
  const centre = await contactCentre();
  const { session, ok, onward } = await choose(centre);
  const agent = await centre.media();
  const sdp = agent.answer(bodyOf(onward));
  centre.sbc.send(answer(onward, "200 OK", withSdp(centre.sbc, sdp)));
  await centre.sbc.receive(/^ACK/);
  await expect.poll(centre.kinds).toContain("connected");

  await Promise.all([session.play(tone(20_000)), agent.play(tone(24_000))]);

  await expect.poll(() => loudest(agent.heard.audio().samples)).toBeGreaterThan(18_000);
  await expect.poll(() => loudest(session.heard.audio().samples)).toBeGreaterThan(22_000);
  centre.caller.send(request("BYE", ok));
  centre.sbc.send(answer(await centre.sbc.receive(/^BYE/), "200 OK"));
  await expect
    .poll(() => centre.ivr.calls[0]?.events.at(-1))
    .toEqual({
      kind: "ended",
      by: "caller",
    });
});

test("the agent's BYE ends the caller's leg with its reason", async () => {
  const centre = await contactCentre();
  const { onward } = await choose(centre);
  const agent = await centre.media();
  const accepted = answer(onward, "200 OK", withSdp(centre.sbc, agent.answer(bodyOf(onward))));
  centre.sbc.send(accepted);
  const ack = await centre.sbc.receive(/^ACK/);
  const dialog = ack.replaceAll(/^(From|To):/gm, (name) => (name === "From:" ? "To:" : "From:"));

  centre.sbc.send(
    request("BYE", dialog).replace("Content-Type", "Reason: Q.850;cause=16\nContent-Type"),
  );

  const bye = await centre.caller.receive(/^BYE/);
  centre.caller.send(answer(bye, "200 OK"));
  expect(header(bye, "Reason")).toBe("Q.850;cause=16");
});

test("a refused transfer is told to the caller, then the IVR hangs up", async () => {
  const centre = await contactCentre();
  const { session, onward } = await choose(centre);
  centre.sbc.send(answer(onward, "503 Service Unavailable"));

  const bye = await centre.caller.receive(/^BYE/);
  centre.caller.send(answer(bye, "200 OK"));

  await expect.poll(() => loudest(session.heard.audio().samples)).toBeGreaterThan(15_000);
  expect(centre.kinds()).toEqual(["menu", "digit", "decision", "refused", "ended"]);
});

test("a caller who chooses nothing hears so and is hung up", async () => {
  const centre = await contactCentre({ prompts: { ...prompts, menu: tone(4_000) } });
  await enter(centre);

  centre.caller.send(answer(await centre.caller.receive(/^BYE/), "200 OK"));

  expect(centre.kinds()).toEqual(["menu", "timeout", "ended"]);
});

test("a caller who hangs up in the menu ends the call there", async () => {
  const centre = await contactCentre();
  const { ok } = await enter(centre);

  centre.caller.send(request("BYE", ok));

  await centre.caller.receive(/^SIP\/2.0 200[^]*BYE/);
  await expect.poll(centre.kinds).toEqual(["menu", "ended"]);
  expect(centre.sbc.drain()).toEqual([]);
});

test("an answer of no use is hung up, and the caller is told", async () => {
  const centre = await contactCentre();
  const { onward } = await choose(centre);
  const nothing = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n";
  centre.sbc.send(answer(onward, "200 OK", withSdp(centre.sbc, nothing)));

  await centre.sbc.receive(/^ACK/);
  centre.sbc.send(answer(await centre.sbc.receive(/^BYE/), "200 OK"));
  centre.caller.send(answer(await centre.caller.receive(/^BYE/), "200 OK"));

  expect(centre.kinds()).toEqual(["menu", "digit", "decision", "refused", "ended"]);
});

test("a caller who hangs up during the transfer cancels it", async () => {
  const centre = await contactCentre();
  const { ok, onward } = await choose(centre);
  centre.sbc.send(answer(onward, "180 Ringing"));

  centre.caller.send(request("BYE", ok));

  const cancel = await centre.sbc.receive(/^CANCEL/);
  centre.sbc.send(answer(cancel, "200 OK"));
  centre.sbc.send(answer(onward, "487 Request Terminated"));
  await expect.poll(centre.kinds).toEqual(["menu", "digit", "decision", "ended"]);
});

test("a destination that does not answer in time is given up", async () => {
  const centre = await contactCentre({ answerTimeoutMs: 100 });
  const { onward } = await choose(centre);
  centre.sbc.send(answer(onward, "180 Ringing"));

  centre.sbc.send(answer(await centre.sbc.receive(/^CANCEL/), "200 OK"));
  centre.caller.send(answer(await centre.caller.receive(/^BYE/), "200 OK"));

  expect(centre.ivr.calls[0]?.events).toContainEqual({
    kind: "refused",
    status: 408,
    reason: "No Answer",
  });
});

test("a late offer is answered with ours, and the answer taken from the ACK", async () => {
  const centre = await contactCentre();
  const session = await centre.media();
  const withoutSdp = invite("").replace("Content-Type: application/sdp\n", "");
  centre.caller.send(withoutSdp);
  const ok = await centre.caller.receive(/^SIP\/2.0 200/);
  centre.caller.send(request("ACK", ok, session.answer(bodyOf(ok))));

  await expect.poll(() => loudest(session.heard.audio().samples)).toBeGreaterThan(3_500);
});

test("a late offer that is not answered in the ACK ends the call", async () => {
  const centre = await contactCentre();
  centre.caller.send(invite("").replace("Content-Type: application/sdp\n", ""));
  const ok = await centre.caller.receive(/^SIP\/2.0 200/);
  centre.caller.send(request("ACK", ok).replace("Content-Type: application/sdp\n", ""));

  const bye = await centre.caller.receive(/^BYE/);
  centre.caller.send(answer(bye, "200 OK"));

  expect(header(bye, "Reason")).toBe('SIP;cause=488;text="Not Acceptable Here"');
});

test("an offer without usable audio is refused with 488", async () => {
  const centre = await contactCentre();
  centre.caller.send(
    invite(
      "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4 RTP/AVP 31\r\n",
    ),
  );

  expect(await centre.caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 488 ");
});

test("a planned fault drops a header and stands in the trace", async () => {
  const faults = faultPlan([{ name: "ivr.drop-header", with: { header: "X-Customer-ID" } }]);
  const centre = await contactCentre({ faults });
  const { onward } = await choose(centre);

  expect(header(onward, "X-Customer-ID")).toBe("");
  expect(centre.trace.events).toContainEqual(
    expect.objectContaining({ type: "fault", name: "ivr.drop-header" }),
  );
});

test("a call ends after its longest time", async () => {
  const centre = await contactCentre({ maxCallMs: 100 });
  await enter(centre);

  centre.caller.send(answer(await centre.caller.receive(/^BYE/), "200 OK"));

  await expect
    .poll(() => centre.ivr.calls[0]?.events.at(-1))
    .toEqual({ kind: "ended", by: "ivr", reason: "longer than 100 ms" });
});
