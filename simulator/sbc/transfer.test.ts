import type Srf from "drachtio-srf";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { hangUp } from "../drachtio/dial.ts";
import { answer, header } from "../drachtio/testing/peer.ts";
import { type Fault, faultPlan } from "../faults.ts";
import { Waiting } from "../waiting.ts";
import type { SbcOptions } from "./sbc.ts";
import {
  bodyOf,
  connectCall,
  FQDN,
  issueCertificates,
  openTestSides,
  type TestCertificates,
  trunkRequest,
  withSdp,
} from "./testing/sides.ts";

const REFER_TO = "sip:+18005550150@sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:acs:AbC_1";
const REFERRED_BY =
  "<sip:sip.pstnhub.microsoft.com:5061;x-m=8:acs:AbC_1;x-t=T;x-ti=Ti;x-tt=aHR0cHM6Ly9hQg%3D%3D>";

const clock = systemClock();
let certificates: TestCertificates;

beforeAll(async () => {
  certificates = await issueCertificates(await createCertificateAuthority({ clock }));
});

/** A call that is up, with the NOTIFYs that Microsoft gets in it. */
async function callUp(options: Partial<SbcOptions> = {}) {
  const opened = await openTestSides(certificates, options);
  onTestFinished(() => opened[Symbol.asyncDispose]());
  const call = await connectCall(opened);
  const notifies = new Waiting<Srf.SrfRequest>({ clock, what: "NOTIFY", limit: 10 });
  const ended = Promise.withResolvers<void>();
  call.dialog.on("notify", (req, res) => {
    notifies.push(req);
    res.send(200);
  });
  call.dialog.on("destroy", () => ended.resolve());
  const refer = (headers: Record<string, string> = {}) =>
    call.dialog.request({
      method: "REFER",
      headers: { "Refer-To": `<${REFER_TO}>`, "Referred-By": REFERRED_BY, ...headers },
    });
  const report = async () => (await notifies.next({ timeoutMs: 2_000 })).body;
  return { ...opened, ...call, refer, notifies, report, ended: ended.promise };
}

const plan = (name: string): { faults: ReturnType<typeof faultPlan> } => {
  const fault: Fault = { name };
  return { faults: faultPlan([fault]) };
};

test("a REFER is accepted, reported, and becomes a new INVITE to Microsoft", async () => {
  const { refer, microsoft, notifies, ports } = await callUp();

  const accepted = await refer({ "X-Note": "kept" });
  expect(accepted.status).toBe(202);
  const trying = await notifies.next();
  expect(trying.body).toBe("SIP/2.0 100 Trying\r\n");
  expect(trying.get("Event")).toBe("refer");
  expect(trying.get("Subscription-State")).toBe("active;expires=60");
  expect(trying.get("Content-Type")).toBe("message/sipfrag;version=2.0");

  const { request, offer } = await microsoft.nextInvite();
  expect(request.uri).toBe(REFER_TO);
  expect(request.get("Referred-By")).toBe(REFERRED_BY);
  expect(request.get("Contact")).toBe(`<sip:${FQDN}:${ports.sbc};transport=tls>`);
  expect(request.get("X-Note")).toBe("kept");
  expect(request.get("From")).toMatch(/^<sip:\+14255550100@sbc\.linecheck\.test>/);
  expect(offer).toMatch(/RTP\/SAVP [^]*a=sendrecv/);
});

test("once the new call is answered the media moves and the old dialog waits for its BYE", async () => {
  const call = await callUp();
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  invitation.progress();
  const target = await call.media("domain");
  await invitation.answer({ sdp: target.answer(invitation.offer) });

  expect(await call.report()).toBe("SIP/2.0 100 Trying\r\n");
  expect(await call.report()).toBe("SIP/2.0 180 Ringing\r\n");
  const last = await call.notifies.next();
  expect(last.body).toBe("SIP/2.0 200 OK\r\n");
  expect(last.get("Subscription-State")).toBe("terminated;reason=noresource");
  await call.near.play(tone);
  await expect.poll(() => Math.max(...target.heard.audio().samples)).toBeGreaterThan(7_000);
  await hangUp(call.dialog, { clock });
  expect(call.sbc.callCount).toBe(1);
});

test("after a transfer the call lives and dies with the new leg", async () => {
  const call = await callUp();
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  const target = await call.media("domain");
  const dialog = await invitation.answer({ sdp: target.answer(invitation.offer) });
  await expect.poll(() => call.notifies.next().then(({ body }) => body)).toContain("200 OK");
  await hangUp(call.dialog, { clock });

  void hangUp(dialog, { clock });
  call.trunk.send(answer(await call.trunk.receive(/^BYE/), "200 OK"));

  await expect.poll(() => call.sbc.callCount).toBe(0);
});

test("a transfer that is refused is reported with its status and the call goes on", async () => {
  const call = await callUp();
  await call.refer();
  (await call.microsoft.nextInvite()).refuse(486, "Busy Here");

  expect(await call.report()).toContain("100 Trying");
  expect(await call.report()).toBe("SIP/2.0 486 Busy Here\r\n");
  await call.near.play(tone);
  await expect.poll(() => Math.max(...call.far.heard.audio().samples)).toBeGreaterThan(7_000);
  expect((await call.refer()).status).toBe(202);
});

test("a second REFER during the first is refused with 491", async () => {
  const { refer, microsoft } = await callUp();
  await refer();
  await microsoft.nextInvite();

  expect((await refer()).status).toBe(491);
});

test("a REFER without a target that can be called is refused with 400", async () => {
  const { refer } = await callUp();

  expect((await refer({ "Refer-To": "<tel:+1800>" })).status).toBe(400);
});

test("without REFER in Allow a REFER is refused with 405", async () => {
  const { refer, invitation } = await callUp({ allowRefer: false });

  expect(invitation.request.get("Allow")).not.toContain("REFER");
  expect((await refer()).status).toBe(405);
});

test("a target at our own name is routed locally, with the custom headers of the REFER", async () => {
  const call = await callUp();
  await call.refer({
    "Refer-To": `<sip:+18005550150@${FQDN}:5061;transport=tls?X-Other=a%20b>`,
    "X-AI-Summary": "Wants%20a%20refund",
  });

  const invite = await call.trunk.receive(/^INVITE/);
  expect(invite).toContain("INVITE sip:+18005550150@127.0.0.1:");
  expect(header(invite, "X-AI-Summary")).toBe("Wants%20a%20refund");
  expect(header(invite, "X-Other")).toBe("a b");
  const queue = await call.media("trunk");
  const sdp = queue.answer(bodyOf(invite));
  call.trunk.send(answer(invite, "200 OK", withSdp(call.trunk, sdp)));

  expect(await call.report()).toContain("100 Trying");
  expect(await call.report()).toContain("200 OK");
});

test("a number at our own name without a route fails with 404", async () => {
  const call = await callUp();
  await call.refer({ "Refer-To": `<sip:+4930123456@${FQDN}>` });

  expect(await call.report()).toContain("100 Trying");
  expect(await call.report()).toBe("SIP/2.0 404 Not Found\r\n");
});

test("a caller who hangs up during the transfer ends the new call and the old dialog", async () => {
  const call = await callUp();
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  invitation.progress();
  call.trunk.send(trunkRequest("BYE", call.ok));

  await expect.poll(() => invitation.signal.aborted).toBe(true);
  await call.ended;
  await expect.poll(() => call.sbc.callCount).toBe(0);
});

test("a BYE from Microsoft right after its REFER leaves the decision to the transfer", async () => {
  const call = await callUp();
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  await hangUp(call.dialog, { clock });
  expect(call.sbc.callCount).toBe(1);

  invitation.refuse(486);
  call.trunk.send(answer(await call.trunk.receive(/^BYE/), "200 OK"));

  await expect.poll(() => call.sbc.callCount).toBe(0);
});

test("when Microsoft does not hang up the old dialog, the SBC does after its patience", async () => {
  const call = await callUp({ byeTimeoutMs: 50 });
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  const target = await call.media("domain");
  await invitation.answer({ sdp: target.answer(invitation.offer) });

  await call.ended;

  expect(call.sbc.callCount).toBe(1);
});

test("a new call that nobody answers is given up with 408", async () => {
  const call = await callUp({ answerTimeoutMs: 200 });
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  invitation.progress();

  await expect.poll(() => call.notifies.next().then(({ body }) => body)).toContain("408");
  expect(invitation.signal.aborted).toBe(true);
});

test("the transferred party hears ringing from 180 to the answer", async () => {
  const call = await callUp();
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  invitation.progress();
  const loudest = (from: number) => Math.max(0, ...call.near.heard.audio().samples.slice(from));
  await expect.poll(() => loudest(0)).toBeGreaterThan(3_000);

  const target = await call.media("domain");
  await invitation.answer({ sdp: target.answer(invitation.offer) });
  await expect.poll(() => call.notifies.next().then(({ body }) => body)).toContain("200 OK");

  await expect.poll(() => loudest(-800)).toBe(0);
});

test("a caller on hold before the REFER hears the new leg", async () => {
  const call = await callUp();
  const holding = call.dialog.request({
    method: "INVITE",
    headers: { "Content-Type": "application/sdp" },
    body: call.far.offer({ direction: "inactive" }),
  });
  const answerOffer = async (pattern: RegExp) => {
    const offer = await call.trunk.receive(pattern);
    const sdp = call.near.answer(bodyOf(offer));
    call.trunk.send(answer(offer, "200 OK", withSdp(call.trunk, sdp)));
  };
  await answerOffer(/^INVITE[^]*a=inactive/);
  await holding;
  await call.refer();
  const invitation = await call.microsoft.nextInvite();
  const target = await call.media("domain");
  await invitation.answer({ sdp: target.answer(invitation.offer) });

  await answerOffer(/^INVITE[^]*a=sendrecv/);

  expect(call.near.negotiated?.direction).toBe("sendrecv");
});

test("a planned fault changes Referred-By, which is case-sensitive", async () => {
  const { refer, microsoft } = await callUp(plan("sbc.alter-referred-by"));
  await refer();

  const { request } = await microsoft.nextInvite();

  expect(request.get("Referred-By")).toBe(REFERRED_BY.toLowerCase());
});

test("a planned fault leaves out every NOTIFY", async () => {
  const call = await callUp(plan("sbc.no-notify"));
  await call.refer();
  (await call.microsoft.nextInvite()).refuse(486);

  await expect(call.notifies.next({ timeoutMs: 100 })).rejects.toThrow("no NOTIFY within 100 ms");
});

test("a planned fault sends BYE where NOTIFY is expected", async () => {
  const call = await callUp(plan("sbc.bye-instead-of-notify"));
  await call.refer();
  await call.ended;
  expect(call.dialog.connected).toBe(false);

  (await call.microsoft.nextInvite()).refuse(481);
  call.trunk.send(answer(await call.trunk.receive(/^BYE/), "200 OK"));

  await expect.poll(() => call.sbc.callCount).toBe(0);
});

const tone = {
  samples: Int16Array.from({ length: 800 }, (_, index) =>
    Math.round(8_000 * Math.sin((2 * Math.PI * 440 * index) / 8_000)),
  ),
  rateHz: 8_000,
};
