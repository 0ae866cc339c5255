import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  type CertificateOptions,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
  type KeyPair,
  selfSigned,
} from "../../certificates.ts";
import { manualClock, systemClock } from "../../clock.ts";
import type { DirectRoutingOptions } from "../direct-routing.ts";
import type { DialOptions } from "../pstn.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  EVERY_NUMBER,
  MICROSOFT,
  SBC,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import { ScriptedSbc } from "../testing/scripted-sbc.ts";

const QUEUE = "+18005550150";
const SECOND = "two.linecheck.test";
const CORRELATION = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";
const clock = systemClock();
let certificates: EdgeCertificates;
let secondCertificate: IssuedCertificate;
let authority: CertificateAuthority;
let keyPair: KeyPair;
const inDays = (days: number) => new Date(clock.date().getTime() + days * 86_400_000);

beforeAll(async () => {
  const [authorityKeys, leafKeys] = await Promise.all([createKeyPair(), createKeyPair()]);
  keyPair = leafKeys;
  authority = await createCertificateAuthority({ clock, keyPair: authorityKeys });
  const [edge, sbc, second] = await Promise.all([
    authority.issue({ commonName: "sip", hosts: MICROSOFT, keyPair }),
    authority.issue({ commonName: SBC, hosts: [SBC], keyPair }),
    authority.issue({ commonName: SECOND, hosts: [SECOND], keyPair }),
  ]);
  certificates = { ca: authority.certificate, edge, sbc };
  secondCertificate = second;
});

function dial({ edge }: EdgeLab, options: Partial<DialOptions> = {}) {
  const from = "+18005550100";
  return edge.dial(QUEUE, { from, correlationId: CORRELATION, ...options });
}

/** A second border controller, online, in a route together with the first or behind it. */
async function addSecond(lab: EdgeLab): Promise<ScriptedSbc> {
  const second = await ScriptedSbc.start({
    clock,
    trace: lab.trace.as("sbc"),
    fqdn: SECOND,
    certificate: secondCertificate,
    ca: certificates.ca,
    names: () => lab.edge.names,
  });
  lab.resource.setTrunk({ fqdn: SECOND, sipSignalingPort: second.port, address: "127.0.0.1" });
  await Promise.all(lab.edge.datacenters.map((datacenter) => second.options(datacenter)));
  lab.resource.setRoutes([EVERY_NUMBER, { ...EVERY_NUMBER, name: "then", trunks: [SECOND] }]);
  return second;
}

const refusal = (attempt: Promise<unknown>) => attempt.catch((error: unknown) => error);

test("an outgoing call looks like Microsoft's and is answered with media", async () => {
  await using lab = await startOnlineLab({ certificates });
  const dialled = dial(lab, { sipHeaders: { "X-Reason": "billing" } });
  const invite = await lab.sbc.next("INVITE");
  const text = invite.request.toString();
  const { port } = lab.sbc;
  expect(text).toContain(`INVITE sip:${QUEUE}@${SBC}:${port};user=phone;transport=tls SIP/2.0\r\n`);
  expect(
    text
      .match(/^[A-Z-]+(?=: )/gm)
      ?.slice(0, 9)
      .join(" "),
  ).toBe("FROM TO CSEQ CALL-ID MAX-FORWARDS VIA RECORD-ROUTE CONTACT CONTENT-LENGTH");
  const own = String.raw`sip\.pstnhub\.microsoft\.com:\d+`;
  expect(text).toMatch(
    new RegExp(`FROM: <sip:\\+18005550100@${own};user=phone>;tag=[\\da-f]{32}\\r\\n`),
  );
  expect(text).toMatch(
    new RegExp(`P-ASSERTED-IDENTITY: <sip:\\+18005550100@${own};user=phone>\\r\\n`),
  );
  expect(text).toMatch(new RegExp(`RECORD-ROUTE: <sip:${own};transport=tls;lr>\\r\\n`));
  expect(text).toContain(":443;x-i=3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e;x-c=");
  expect(text).toContain("\r\nPRIVACY: id\r\n");
  expect(text).toContain("\r\nSESSION-EXPIRES: 3600;refresher=uac\r\nMIN-SE: 300\r\n");
  expect(text).toContain("\r\nX-Reason: billing\r\n");
  expect(text).toMatch(/USER-AGENT: Microsoft\.PSTNHub\.SIPProxy v\.[\d.]+ i\.USEA\.5\r\n/);
  expect(text).toMatch(
    /a=crypto:0 AES_CM_128_HMAC_SHA1_32 .*\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 /,
  );
  const call = await lab.sbc.accept(invite);
  const leg = await dialled;
  expect(leg).toMatchObject({ direction: "outgoing", to: QUEUE, correlationId: CORRELATION });
  const digit = new Promise<string>((resolve) => call.media.onDigit(resolve));
  await leg.sendDigits("4");
  expect(await digit).toBe("4");
  await call.bye();
  expect(await leg.ended).toEqual({ by: "peer" });
});

test("a redirected call carries where it has been", async () => {
  await using lab = await startOnlineLab({ certificates });
  const historyInfo = "<sip:+18005550001@sip.pstnhub.microsoft.com;user=phone>;index=1";
  const redirectedFrom = { number: "+18005550100", historyInfo };
  const dialled = refusal(dial(lab, { from: "+14255550100", redirectedFrom }));
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.uri).toContain(";user=phone;cause=302;transport=tls");
  expect(invite.request.list("History-Info").map((entry) => entry.replace(/:\d+;/, ";"))).toEqual([
    historyInfo,
    "<sip:+18005550100@sip.pstnhub.microsoft.com;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1.1",
    "<sip:+18005550150@sip.pstnhub.microsoft.com;user=phone>;index=1.1.1",
  ]);
  invite.respond(603);
  await dialled;
});

test("a trunk without privacy sends the asserted identity in the open", async () => {
  await using lab = await startOnlineLab({ certificates, trunk: { privacyHeader: "none" } });
  const dialled = dial(lab);
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.has("P-Asserted-Identity")).toBe(true);
  expect(invite.request.has("Privacy")).toBe(false);
  await lab.sbc.accept(invite);
  await dialled;
});

test("a caller without a number is anonymous", async () => {
  await using lab = await startOnlineLab({ certificates });
  const dialled = refusal(dial(lab, { from: "anonymous" }));
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.get("From")).toMatch(
    /^"Anonymous" <sip:anonymous@anonymous\.invalid>;tag=/,
  );
  expect(invite.request.has("P-Asserted-Identity")).toBe(false);
  invite.respond(603);
  expect(await dialled).toMatchObject({ code: 603, subCode: 560_603 });
});

test.each([486, 404, 480, 500, 603])(
  "%i ends the call without trying the next trunk",
  async (status) => {
    await using lab = await startOnlineLab({ certificates });
    await using second = await addSecond(lab);
    const dialled = refusal(dial(lab));
    const invite = await lab.sbc.next("INVITE");
    invite.respond(status);
    expect(await dialled).toMatchObject({ code: status, subCode: 560_000 + status });
    expect(second.count("INVITE")).toBe(0);
  },
);

test.each([408, 503, 504])("after %i the next route's trunk is tried", async (status) => {
  await using lab = await startOnlineLab({ certificates });
  await using second = await addSecond(lab);
  const dialled = dial(lab);
  const invite = await lab.sbc.next("INVITE");
  invite.respond(status);
  await second.accept(await second.next("INVITE"));
  expect(await dialled).toHaveProperty("to", QUEUE);
});

test("a trunk that cannot be reached is passed over", async () => {
  await using lab = await startOnlineLab({ certificates });
  await using second = await addSecond(lab);
  await lab.sbc[Symbol.asyncDispose]();
  const dialled = dial(lab);
  await second.accept(await second.next("INVITE"));
  expect(await dialled).toHaveProperty("to", QUEUE);
});

test("a trunk that never answers is passed over when the failover timer ends", async () => {
  const time = manualClock({ start: clock.date() });
  await using lab = await startOnlineLab({ certificates, clock: time });
  await using second = await addSecond(lab);
  const dialled = dial(lab);
  const invite = await lab.sbc.next("INVITE");
  const cancelled = new Promise<void>((resolve) => invite.onCancel(() => resolve()));
  invite.respond(100);
  await time.advance(10_000);
  await second.accept(await second.next("INVITE"));
  expect(await dialled).toHaveProperty("to", QUEUE);
  await cancelled;
});

test("a trunk that rings in time is given all the time it needs", async () => {
  const time = manualClock({ start: clock.date() });
  await using lab = await startOnlineLab({ certificates, clock: time });
  const dialled = dial(lab);
  const invite = await lab.sbc.next("INVITE");
  invite.respond(180);
  await expect.poll(() => lab.trace.events.some(isRinging)).toBe(true);
  await time.advance(30_000);
  await lab.sbc.accept(invite);
  expect(await dialled).toHaveProperty("to", QUEUE);
});

test("an answer that crosses the CANCEL is acknowledged and ended", async () => {
  const time = manualClock({ start: clock.date() });
  await using lab = await startOnlineLab({ certificates, clock: time, cancelled: "manual" });
  const dialled = refusal(dial(lab));
  const invite = await lab.sbc.next("INVITE");
  await time.advance(10_000);
  expect(await dialled).toMatchObject({ code: 408, subCode: 500_001 });
  const call = await lab.sbc.accept(invite);
  const bye = await lab.sbc.next("BYE");
  expect(call.owns(bye)).toBe(true);
  expect(lab.edge.liveDialogs).toBe(0);
});

test("giving up cancels the INVITE", async () => {
  await using lab = await startOnlineLab({ certificates });
  const giveUp = new AbortController();
  const dialled = refusal(dial(lab, { signal: giveUp.signal }));
  const invite = await lab.sbc.next("INVITE");
  invite.respond(180);
  const cancelled = new Promise<string>((resolve) =>
    invite.onCancel((cancel) => resolve(cancel.get("Reason") ?? "")),
  );
  await expect.poll(() => lab.trace.events.some(isRinging)).toBe(true);
  giveUp.abort();
  expect(await dialled).toMatchObject({ code: 487 });
  expect(await cancelled).toContain(`text="${CORRELATION};`);
});

function answeredProbes({ trace }: EdgeLab): number {
  return trace.events.filter(
    (event) =>
      event.type === "sip" &&
      event.party === "acs" &&
      event.direction === "in" &&
      /^SIP\/2\.0 200 [^]*OPTIONS/.test(event.message),
  ).length;
}

function isRinging(event: EdgeLab["trace"]["events"][number]): boolean {
  return event.type === "sip" && event.party === "acs" && event.message.startsWith("SIP/2.0 180");
}

/** What an outgoing call meets at a border controller that shows this certificate. */
async function refusedBy(certificate: IssuedCertificate): Promise<unknown> {
  const policy = { unseenTrunks: "try" as const };
  await using lab = await startEdgeLab({
    certificates: { ...certificates, sbc: certificate },
    policy,
  });
  return await refusal(dial(lab));
}

test.each([
  ["expired", { notBefore: inDays(-9), notAfter: inDays(-1) }, 569_008],
  ["for another host", { hosts: ["pbx.linecheck.test"] }, 569_002],
  ["for clients only", { usages: ["clientAuth"] }, 569_003],
] satisfies [string, Partial<CertificateOptions>, number][])(
  "a border controller whose certificate is %s is not called",
  async (_what, options, subCode) => {
    const shared = { commonName: SBC, hosts: [SBC], keyPair };
    const certificate = await authority.issue({ ...shared, ...options });
    expect(await refusedBy(certificate)).toMatchObject({ code: 504, subCode });
  },
);

test("a border controller with a self-signed certificate is not called", async () => {
  const certificate = await selfSigned({ clock, commonName: SBC, hosts: [SBC], keyPair });
  expect(await refusedBy(certificate)).toMatchObject({ code: 504, subCode: 569_009 });
});

test("no route, no path", async () => {
  await using lab = await startOnlineLab({ certificates });
  lab.resource.setRoutes([{ ...EVERY_NUMBER, numberPattern: String.raw`^\+49\d+$` }]);
  expect(await refusal(dial(lab))).toMatchObject({
    code: 403,
    subCode: 510_559,
    message: "call to +18005550150: no voice route matches: No viable path",
  });
});

test("a pattern that cannot match is named when no route is found", async () => {
  await using lab = await startOnlineLab({ certificates });
  lab.resource.setRoutes([{ ...EVERY_NUMBER, numberPattern: "^+[1-9][0-9]{3,23}$" }]);
  expect(String(await refusal(dial(lab)))).toContain(
    'route "all", ^+[1-9][0-9]{3,23}$: at 1, "^+" repeats an anchor',
  );
});

test("a route's own caller id replaces the caller's", async () => {
  await using lab = await startOnlineLab({ certificates });
  lab.resource.setRoutes([{ ...EVERY_NUMBER, callerIdOverride: "+18005550000" }]);
  const dialled = refusal(dial(lab));
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.from.uri).toContain("sip:+18005550000@");
  invite.respond(603);
  await dialled;
});

test.each([
  ["as drawn", { random: () => 0 }, SECOND],
  ["as drawn otherwise", { random: () => 0.99 }, SBC],
  ["by policy as listed", { random: () => 0, policy: { trunkOrder: "listed" } }, SBC],
] satisfies [string, Partial<DirectRoutingOptions>, string][])(
  "the trunks of one route are tried in an order %s",
  async (_how, options, expected) => {
    await using lab = await startOnlineLab({ certificates, ...options });
    await using second = await addSecond(lab);
    lab.resource.setRoutes([{ ...EVERY_NUMBER, trunks: [SBC, SECOND] }]);
    const dialled = refusal(dial(lab));
    const invite = await Promise.race([lab.sbc.next("INVITE"), second.next("INVITE")]);
    expect(invite.request.uri).toContain(`@${expected}:`);
    invite.respond(603);
    await dialled;
  },
);

test("a trunk that is not healthy is tried last", async () => {
  const time = manualClock({ start: clock.date() });
  const options = { clock: time, policy: { healthyForMs: 30_000 }, random: () => 0.99 };
  await using lab = await startOnlineLab({ certificates, ...options });
  await using second = await addSecond(lab);
  lab.resource.setRoutes([{ ...EVERY_NUMBER, trunks: [SBC, SECOND] }]);
  // Time leaps past answers that are on their way, and a probe would fail for that.
  await expect.poll(() => answeredProbes(lab)).toBe(6);
  await time.advance(31_000);
  await Promise.all(lab.edge.datacenters.map((datacenter) => second.options(datacenter)));
  const dialled = dial(lab);
  (await second.next("INVITE")).respond(503);
  await lab.sbc.accept(await lab.sbc.next("INVITE"));
  expect(await dialled).toHaveProperty("to", QUEUE);
});

test("nothing is sent to a trunk that never sent OPTIONS", async () => {
  await using lab = await startEdgeLab({ certificates });
  expect(await refusal(dial(lab))).toMatchObject({ code: 403, subCode: 510_559 });
  expect(lab.sbc.count("INVITE")).toBe(0);
});

test("a disabled trunk is left out", async () => {
  await using lab = await startOnlineLab({ certificates });
  lab.resource.setTrunk({ fqdn: SBC, sipSignalingPort: lab.sbc.port, enabled: false });
  expect(await refusal(dial(lab))).toMatchObject({ subCode: 510_559 });
});

test("an answer without our key is no call", async () => {
  await using lab = await startOnlineLab({ certificates });
  const dialled = refusal(dial(lab));
  const invite = await lab.sbc.next("INVITE");
  invite.respond(200, {
    headers: { Contact: lab.sbc.contact, "Content-Type": "application/sdp" },
    body: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
  });
  expect(await dialled).toMatchObject({ code: 488, subCode: 531_000 });
  expect((await lab.sbc.next("BYE")).request.get("Reason")).toContain("SrtpEncryptionRequired");
});

test("an outgoing leg is transferred like an incoming one, from the called party's number", async () => {
  await using lab = await startOnlineLab({ certificates });
  const dialled = dial(lab);
  const call = await lab.sbc.accept(await lab.sbc.next("INVITE"));
  const leg = await dialled;
  const transfer = leg.transfer("+14255550199", {});
  const { uri, referredBy } = lab.sbc.referral(await lab.sbc.next("REFER"));
  const referred = lab.sbc.invite({ uri, headers: { "Referred-By": referredBy } });
  const third = await lab.sbc.next("INVITE");
  expect(third.request.from.uri).toContain(`sip:${QUEUE}@`);
  await lab.sbc.accept(third);
  await referred;
  await call.notify("SIP/2.0 200 OK", "terminated");
  await transfer;
  expect(await leg.ended).toEqual({ by: "transfer" });
});

test("two calls at once do not meet", async () => {
  await using lab = await startOnlineLab({ certificates });
  const [one, two] = [await connect(lab), await connect(lab)];
  const heard: string[] = [];
  one.leg.onDigit((digit) => heard.push(`one ${digit}`));
  two.leg.onDigit((digit) => heard.push(`two ${digit}`));
  await Promise.all([one.call.media.sendDigits("1"), two.call.media.sendDigits("2")]);
  await expect.poll(() => heard.toSorted()).toEqual(["one 1", "two 2"]);
});
