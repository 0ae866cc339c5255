import { once } from "node:events";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { sendRequest } from "../drachtio/application.ts";
import { dial, hangUp } from "../drachtio/dial.ts";
import { answer, header, openTestPeer } from "../drachtio/testing/peer.ts";
import { faultPlan } from "../faults.ts";
import type { SbcOptions } from "./sbc.ts";
import {
  bodyOf,
  connectCall,
  FQDN,
  issueCertificates,
  openTestSides,
  type TestCertificates,
  trunkInvite,
  trunkRequest,
  withSdp,
} from "./testing/sides.ts";

const clock = systemClock();
let certificates: TestCertificates;

beforeAll(async () => {
  certificates = await issueCertificates(await createCertificateAuthority({ clock }));
});

async function sides(options: Partial<SbcOptions> & { deadProxies?: number } = {}) {
  const opened = await openTestSides(certificates, options);
  onTestFinished(() => opened[Symbol.asyncDispose]());
  return opened;
}

const loudest = (samples: Int16Array) => Math.max(...samples);
const tone = (durationMs: number) => ({
  samples: Int16Array.from({ length: durationMs * 8 }, (_, index) =>
    Math.round(8_000 * Math.sin((2 * Math.PI * 440 * index) / 8_000)),
  ),
  rateHz: 8_000,
});

test("a call from the trunk reaches Microsoft in the shape Direct Routing asks for", async () => {
  const opened = await sides();
  const { ports } = opened;
  const offer = (await opened.media("trunk")).offer();
  const extra = "X-Customer-ID: C-1042\nX-MS-Forged: 1\nX-Transfer-Reason: billing\nPrivacy: id\n";
  opened.trunk.send(trunkInvite(offer, { extra }));

  const { request, offer: sdp } = await opened.microsoft.nextInvite();

  expect(request.uri).toBe(
    `sip:+18005550100@sip.pstnhub.microsoft.com:${ports.microsoft};user=phone;transport=tls`,
  );
  expect(request.get("From")).toMatch(/^<sip:\+14255550100@sbc\.linecheck\.test>;tag=/);
  expect(request.get("Contact")).toBe(`<sip:sbc.linecheck.test:${ports.sbc};transport=tls>`);
  expect(request.get("Allow")).toBe("INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REFER");
  expect(request.get("X-Customer-ID")).toBe("C-1042");
  expect(request.get("X-Transfer-Reason")).toBe("billing");
  expect([request.has("X-MS-Forged"), request.has("Privacy")]).toEqual([false, false]);
  expect(request.get("Max-Forwards")).toBe("69");
  expect(sdp).toMatch(/m=audio \d+ RTP\/SAVP /);
  expect(sdp).toContain("AES_CM_128_HMAC_SHA1_80");
});

test("an answered call carries audio both ways, plain on one side and SRTP on the other", async () => {
  const opened = await sides();
  const { near, far, ok } = await connectCall(opened);

  await Promise.all([near.play(tone(100)), far.play(tone(100))]);

  await expect.poll(() => loudest(far.heard.audio().samples)).toBeGreaterThan(7_000);
  await expect.poll(() => loudest(near.heard.audio().samples)).toBeGreaterThan(7_000);
  expect(ok).toMatch(/m=audio \d+ RTP\/AVP 0/);
  expect(far.negotiated?.srtp).toBe(true);
});

test("who hangs up first ends the other side, with the reason", async () => {
  const opened = await sides();
  const { dialog, ok } = await connectCall(opened);
  const bye = Promise.withResolvers<string>();
  dialog.on("destroy", (request) => bye.resolve(request.get("Reason")));

  const extra = "Reason: Q.850;cause=16\n";
  opened.trunk.send(trunkRequest("BYE", ok, { extra }));

  expect(await bye.promise).toBe("Q.850;cause=16");
  await opened.trunk.receive(/^SIP\/2.0 200[^]*BYE/);
  await expect.poll(() => opened.sbc.callCount).toBe(0);
});

test("Microsoft's BYE reaches the trunk", async () => {
  const opened = await sides();
  const { dialog } = await connectCall(opened);
  void hangUp(dialog, { clock, headers: { Reason: 'Q.850;cause=34;text="x"' } });

  const bye = await opened.trunk.receive(/^BYE/);
  opened.trunk.send(answer(bye, "200 OK"));

  expect(header(bye, "Reason")).toBe('Q.850;cause=34;text="x"');
});

test("Microsoft's refusal is the trunk's refusal", async () => {
  const opened = await sides();
  opened.trunk.send(trunkInvite((await opened.media("trunk")).offer()));
  const invitation = await opened.microsoft.nextInvite();
  invitation.refuse(486, "Busy Here", { Reason: 'Q.850;cause=17;text="busy"' });

  const refused = await opened.trunk.receive(/^SIP\/2.0 [3-6]/);

  expect(refused).toContain("SIP/2.0 486 Busy Here\r\n");
  expect(header(refused, "Reason")).toBe('Q.850;cause=17;text="busy"');
});

test.for([
  ["+4930123456", "404 Not Found"],
  ["12345", "484 Address Incomplete"],
] as const)("a call to %s is refused with %s", async ([number, status]) => {
  const opened = await sides();
  opened.trunk.send(trunkInvite("v=0\r\n", { number }));

  expect(await opened.trunk.receive(/^SIP\/2.0 [3-6]/)).toContain(`SIP/2.0 ${status}\r\n`);
});

test("a stranger on either side is refused", async () => {
  const trunk = await sides({ trunkSide: { sources: ["192.0.2.1"] } });
  trunk.trunk.send(trunkInvite("v=0\r\n"));

  expect(await trunk.trunk.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 403 Forbidden\r\n");
});

test("an offer without usable audio is refused with 488", async () => {
  const opened = await sides();
  opened.trunk.send(
    trunkInvite(
      "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4000 RTP/AVP 31\r\n",
    ),
  );

  expect(await opened.trunk.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 488 ");
});

test("a caller who gives up cancels the call at Microsoft", async () => {
  const opened = await sides();
  const invite = trunkInvite((await opened.media("trunk")).offer());
  opened.trunk.send(invite);
  const invitation = await opened.microsoft.nextInvite();
  invitation.progress();
  await opened.trunk.receive(/^SIP\/2.0 180/);

  const headers = invite.slice(0, invite.indexOf("Contact:")).replaceAll("INVITE", "CANCEL");
  opened.trunk.send(`${headers}Content-Length: 0\n\n`);

  await expect.poll(() => invitation.signal.aborted).toBe(true);
  expect(await opened.trunk.receive(/^SIP\/2.0 487/)).toContain("trunk-call");
});

test("183 with SDP opens the media before the answer, 180 without SDP does not", async () => {
  const opened = await sides();
  const [near, far] = [await opened.media("trunk"), await opened.media("domain")];
  opened.trunk.send(trunkInvite(near.offer()));
  const invitation = await opened.microsoft.nextInvite();

  invitation.progress();
  expect(bodyOf(await opened.trunk.receive(/^SIP\/2.0 180/))).toBe("");
  invitation.progress(183, { sdp: far.answer(invitation.offer) });
  near.accept(bodyOf(await opened.trunk.receive(/^SIP\/2.0 183/)));
  await far.play(tone(100));
  await expect.poll(() => loudest(near.heard.audio().samples)).toBeGreaterThan(7_000);

  await invitation.answer({ sdp: far.answer(invitation.offer) });
  const ok = await opened.trunk.receive(/^SIP\/2.0 200/);
  opened.trunk.send(trunkRequest("ACK", ok, { cseq: 1 }));
  const heardBefore = far.heard.audio().samples.length;
  await Promise.all([near.play(tone(200)), far.play(tone(200))]);
  await expect
    .poll(() => loudest(far.heard.audio().samples.slice(heardBefore)))
    .toBeGreaterThan(7_000);
  // One stream: but for the moment of the answer the SBC sends nothing of its own.
  const surplus = near.statistics().received.packets - far.statistics().sent.packets;
  expect(surplus).toBeLessThan(5);
});

test("the next proxy is tried after 503 and a refused connection, and after nothing else", async () => {
  const opened = await sides({ deadProxies: 1 });
  opened.trunk.send(trunkInvite((await opened.media("trunk")).offer()));

  const invitation = await opened.microsoft.nextInvite();

  expect(invitation.request.uri).toContain("@sip.pstnhub.microsoft.com:");
  invitation.refuse(486);
  await opened.trunk.receive(/^SIP\/2.0 486/);
});

test("a trunk server out of service hands over to the next one", async ({ signal }) => {
  const backup = await openTestPeer();
  onTestFinished(() => backup[Symbol.asyncDispose]());
  const trunk = await openTestPeer();
  onTestFinished(() => trunk[Symbol.asyncDispose]());
  const to = [trunk, backup].map(({ port }) => `sip:127.0.0.1:${port}`);
  const opened = await sides({ routes: [{ number: "+18005550150", to }] });
  const { port } = opened.trunkAddress;
  const far = await opened.media("domain");
  const dialled = dial(opened.microsoft.srf, `sip:+18005550150@${FQDN};transport=tls`, {
    localSdp: far.offer(),
    proxy: opened.proxy,
    signal,
  }).catch((error: unknown) => error);

  trunk.send(answer(await trunk.receive(/^INVITE/), "503 Service Unavailable"), port);
  const second = await backup.receive(/^INVITE/);
  expect(second).toContain(`INVITE sip:+18005550150@127.0.0.1:${backup.port} SIP/2.0\r\n`);
  backup.send(answer(second, "404 Not Found"), port);

  expect(await dialled).toMatchObject({ status: 404 });
  expect(opened.trace.events).toContainEqual(
    expect.objectContaining({ subject: "sbc-call", to: "failover" }),
  );
});

test("OPTIONS goes to each proxy at once and then every interval, with our name", async () => {
  const opened = await sides({ optionsIntervalMs: 50, deadProxies: 1 });

  const first = await opened.microsoft.nextOptions();
  await opened.microsoft.nextOptions();

  expect(first.get("Contact")).toBe(`<sip:sbc.linecheck.test:${opened.ports.sbc};transport=tls>`);
  expect(first.get("Allow")).toContain("NOTIFY, REFER");
  await expect
    .poll(() => opened.sbc.proxies.map(({ status, lastStatus }) => `${status} ${lastStatus}`))
    .toEqual(["down 503", "up 200"]);
});

test("OPTIONS from either side is answered; towards Microsoft with our name", async () => {
  const opened = await sides();
  const request = trunkInvite("v=0\r\n").replaceAll("INVITE", "OPTIONS");
  opened.trunk.send(request);
  const ours = await opened.trunk.receive(/^SIP\/2.0 200/);
  expect(header(ours, "Allow")).toContain("REFER");

  const theirs = await sendRequest(opened.microsoft.srf, `sip:${FQDN};transport=tls`, {
    method: "OPTIONS",
    proxy: opened.proxy,
  });
  expect(theirs.status).toBe(200);
  expect(theirs.get("Contact")).toBe(`<sip:sbc.linecheck.test:${opened.ports.sbc};transport=tls>`);
});

test("a call from Microsoft goes to the route of its number with its custom headers", async ({
  signal,
}) => {
  const opened = await sides();
  const far = await opened.media("domain");
  const near = await opened.media("trunk");
  const dialled = dial(opened.microsoft.srf, `sip:+18005550150@${FQDN};user=phone;transport=tls`, {
    localSdp: far.offer(),
    proxy: opened.proxy,
    headers: {
      From: "<sip:+14255550100@sip.pstnhub.microsoft.com>",
      "X-AI-Summary": "Wants%20a%20refund",
      "P-Asserted-Identity": "<sip:+18005550100@x>",
    },
    signal,
  });

  const invite = await opened.trunk.receive(/^INVITE/);
  expect(invite).toContain(`INVITE sip:+18005550150@127.0.0.1:${opened.trunk.port} SIP/2.0\r\n`);
  expect(header(invite, "From")).toMatch(/^<sip:\+14255550100@127\.0\.0\.1:\d+>/);
  expect(header(invite, "X-AI-Summary")).toBe("Wants%20a%20refund");
  expect(header(invite, "P-Asserted-Identity")).toBe("");
  expect(invite).toMatch(/m=audio \d+ RTP\/AVP 0/);
  const sdp = near.answer(bodyOf(invite));
  opened.trunk.send(answer(invite, "200 OK", withSdp(opened.trunk, sdp)));

  const { remote } = await dialled;
  expect(remote.uri).toBe(`sip:sbc.linecheck.test:${opened.ports.sbc};transport=tls`);
  expect(remote.sdp).toContain("RTP/SAVP");
});

test("hold from Microsoft reaches the trunk, and so does the end of it", async () => {
  const opened = await sides();
  const { dialog, far, near } = await connectCall(opened);
  const reinvite = async (direction: "inactive" | "sendrecv") => {
    const typed = { "Content-Type": "application/sdp" };
    const body = far.offer({ direction });
    const answered = dialog.request({ method: "INVITE", headers: typed, body });
    const offer = await opened.trunk.receive(/^INVITE/);
    const sdp = near.answer(bodyOf(offer));
    opened.trunk.send(answer(offer, "200 OK", withSdp(opened.trunk, sdp)));
    await opened.trunk.receive(/^ACK/);
    return (await answered).body;
  };

  expect(await reinvite("inactive")).toContain("a=inactive");
  expect(near.negotiated?.direction).toBe("inactive");
  expect(await reinvite("sendrecv")).toContain("a=sendrecv");
  expect(near.negotiated?.direction).toBe("sendrecv");
});

test("a session refresh from Microsoft is answered here and leaves the trunk alone", async () => {
  const opened = await sides();
  const { dialog, far } = await connectCall(opened);
  opened.trunk.drain();
  const body = far.offer();

  const headers = {
    "Content-Type": "application/sdp",
    "Session-Expires": "1800;refresher=uac",
    Supported: "timer",
  };
  const first = await dialog.request({ method: "INVITE", headers, body });
  const second = await dialog.request({ method: "INVITE", headers, body });

  expect([first.status, second.status]).toEqual([200, 200]);
  expect(first.get("Session-Expires")).toBe("1800;refresher=uac");
  expect(first.get("Contact")).toBe(`<sip:sbc.linecheck.test:${opened.ports.sbc};transport=tls>`);
  expect(second.body).toContain("a=sendrecv");
  expect(opened.trunk.drain()).toEqual([]);
});

test("an offer-less re-INVITE is answered with an offer", async () => {
  const opened = await sides();
  const { dialog, far } = await connectCall(opened);

  const { status, body } = await dialog.request({ method: "INVITE" });

  expect(status).toBe(200);
  expect(body).toContain("RTP/SAVP");
  expect(() => far.answer(body)).not.toThrow();
});

test("the longest time of a call is a limit", async () => {
  const opened = await sides({ maxCallMs: 100 });
  const { dialog } = await connectCall(opened);
  const ended = once(dialog, "destroy");

  opened.trunk.send(answer(await opened.trunk.receive(/^BYE/), "200 OK"));
  await ended;

  await expect.poll(() => opened.sbc.callCount).toBe(0);
});

test("a call that Microsoft does not answer in time is given up with 408", async () => {
  const opened = await sides({ answerTimeoutMs: 100 });
  opened.trunk.send(trunkInvite((await opened.media("trunk")).offer()));
  const invitation = await opened.microsoft.nextInvite();
  invitation.progress();

  expect(await opened.trunk.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 408 No Answer\r\n");
  await expect.poll(() => invitation.signal.aborted).toBe(true);
});

test("what the header policy kept back stands in the trace", async () => {
  const opened = await sides();
  const extra = "X-Customer-ID: C-1042\nX-MS-Forged: 1\nPrivacy: id\n";
  opened.trunk.send(trunkInvite((await opened.media("trunk")).offer(), { extra }));
  await opened.microsoft.nextInvite();

  expect(opened.trace.events).toContainEqual(
    expect.objectContaining({
      type: "state",
      subject: "sbc-call",
      to: "routed",
      detail: expect.objectContaining({
        number: "+18005550100",
        route: "microsoft",
        stripped: ["X-MS-Forged", "privacy"],
      }),
    }),
  );
});

test("planned faults drop a header and give a wrong Contact", async () => {
  const faults = faultPlan([
    { name: "sbc.drop-header", with: { header: "x-customer-id" } },
    { name: "sbc.wrong-contact" },
  ]);
  const opened = await sides({ faults });
  const extra = "X-Customer-ID: C-1042\nX-Transfer-Reason: billing\n";
  opened.trunk.send(trunkInvite((await opened.media("trunk")).offer(), { extra }));

  const { request } = await opened.microsoft.nextInvite();

  expect([request.has("X-Customer-ID"), request.has("X-Transfer-Reason")]).toEqual([false, true]);
  expect(request.get("Contact")).toBe("<sip:203.0.113.9:5061;transport=tls>");
  expect(faults.struck).toEqual(["sbc.drop-header", "sbc.wrong-contact"]);
});

test("nothing is left of a call that is over, nor of the SBC", async () => {
  const opened = await sides();
  const { dialog } = await connectCall(opened);
  await hangUp(dialog, { clock });
  opened.trunk.send(answer(await opened.trunk.receive(/^BYE/), "200 OK"));
  await expect.poll(() => opened.sbc.callCount).toBe(0);
  await expect.poll(() => opened.load()).toMatchObject({ dialogs: 0, incoming: 0, outgoing: 0 });

  await opened.sbc[Symbol.asyncDispose]();
  await opened.sbc[Symbol.asyncDispose]();
});
