import { once } from "node:events";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  type CertificateOptions,
  createCertificateAuthority,
  createKeyPair,
  type KeyPair,
  selfSigned,
} from "../../certificates.ts";
import { manualClock, systemClock } from "../../clock.ts";
import { faultPlan } from "../../faults.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  MICROSOFT,
  SBC,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import type { ScriptedSbc } from "../testing/scripted-sbc.ts";

const clock = systemClock();
const inDays = (days: number) => new Date(clock.date().getTime() + days * 86_400_000);
let authority: CertificateAuthority;
let stranger: CertificateAuthority;
let keyPair: KeyPair;
let certificates: EdgeCertificates;

beforeAll(async () => {
  const pairs = await Promise.all([createKeyPair(), createKeyPair(), createKeyPair()]);
  keyPair = pairs[0];
  authority = await createCertificateAuthority({ clock, keyPair: pairs[1] });
  stranger = await createCertificateAuthority({ clock, keyPair: pairs[2], commonName: "other" });
  const [edge, sbc] = await Promise.all([
    authority.issue({ commonName: "sip", hosts: MICROSOFT, keyPair }),
    issue(),
  ]);
  certificates = { ca: authority.certificate, edge, sbc };
});

function issue(options: Partial<CertificateOptions> = {}, by = authority) {
  return by.issue({ commonName: "sbc", hosts: [SBC], keyPair, ...options });
}

/** Status and REASON of an INVITE. */
async function refusalOf(lab: EdgeLab, parts: Parameters<ScriptedSbc["invite"]>[0]) {
  const { response } = await lab.sbc.invite(parts);
  return { status: response.status, reason: response.get("Reason") ?? "" };
}

test.each([
  ["an IP address", "<sip:127.0.0.1:5061;transport=tls>", "not an FQDN"],
  ["an unknown FQDN", "<sip:pbx.linecheck.test>", "No trunk config was found"],
])("a Contact with %s is refused with 403", async (_what, Contact, text) => {
  await using lab = await startEdgeLab({ certificates });
  const { status, reason } = await refusalOf(lab, { headers: { Contact } });
  expect(status).toBe(403);
  expect(reason).toMatch(/^Q\.850;cause=21;text="[\da-f-]{36};/);
  expect(reason).toContain(text);
  expect(lab.legs).toEqual([]);
  expect(lab.findings()).toEqual(["REQUEST_REFUSED"]);
});

test("OPTIONS without Contact and Record-Route are refused with cause 63", async () => {
  await using lab = await startEdgeLab({ certificates });
  const [datacenter] = lab.edge.datacenters;
  const response = datacenter && (await lab.sbc.options(datacenter, { Contact: undefined }));
  expect(response?.status).toBe(403);
  expect(response?.get("Reason")).toMatch(
    /^Q\.850;cause=63;text=".*;Record-Route and Contact headers are missing"$/,
  );
});

const PLAIN =
  "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
const SECURE = PLAIN.replace("RTP/AVP 0", "RTP/SAVP 0").concat(
  `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${"A".repeat(40)}\r\n`,
);

test.each([
  ["without SRTP", { body: PLAIN }, 488, "SrtpEncryptionRequired"],
  ["for codecs nobody has", { body: SECURE.replace("SAVP 0", "SAVP 18") }, 488, "CannotSupportAny"],
  ["to 0.0.0.0", { body: SECURE.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0") }, 488, "Black"],
  ["with a weak suite only", { body: SECURE.replace("_80", "_32") }, 488, "SrtpEncryptionRequired"],
  ["that cannot be read", { body: "hello" }, 400, "Malformed"],
  ["left out", { body: "" }, 488, "INVITE has no SDP"],
  ["of another type", { headers: { "Content-Type": "text/plain" } }, 415, "text/plain"],
])("an offer %s is refused", async (_what, parts, expected, text) => {
  await using lab = await startEdgeLab({ certificates });
  const { status, reason } = await refusalOf(lab, parts);
  expect(status).toBe(expected);
  expect(reason).toContain(text);
});

const LOOP = Array.from({ length: 11 }, (_, at) => `<sip:+1@a.test>;index=${at}`).join(", ");

test.each([
  ["a number without plus", { to: "18005550100" }, 404, "must have +E.164"],
  ["a sips URI", { uri: "sips:+18005550100@sip.pstnhub.microsoft.com" }, 416, "sips"],
  ["Replaces", { headers: { Replaces: "a;to-tag=1;from-tag=2" } }, 403, "Replaces"],
  ["an unknown requirement", { headers: { Require: "100rel" } }, 420, "100rel"],
  ["no hops left", { headers: { "Max-Forwards": "0" } }, 483, "Max-Forwards"],
  ["a long history", { headers: { "History-Info": LOOP } }, 500, "Loop detected"],
  ["a session that is too short", { headers: { "Session-Expires": "90" } }, 422, "at least 300"],
])("an INVITE with %s is refused", async (_what, parts, expected, text) => {
  await using lab = await startEdgeLab({ certificates });
  const { status, reason } = await refusalOf(lab, parts);
  expect(status).toBe(expected);
  expect(reason).toContain(text);
});

test("422 says the least interval, 420 what is not supported", async () => {
  await using lab = await startEdgeLab({ certificates });
  const short = await lab.sbc.invite({ headers: { "Session-Expires": "90;refresher=uac" } });
  expect(short.response.get("Min-SE")).toBe("300");
  const required = await lab.sbc.invite({ headers: { Require: "100rel, timer" } });
  expect(required.response.get("Unsupported")).toBe("100rel");
});

test("without an application a call is refused", async () => {
  await using lab = await startEdgeLab({ certificates, application: false });
  const { status, reason } = await refusalOf(lab, {});
  expect(status).toBe(480);
  expect(reason).toContain("nobody takes calls");
});

test("an incoming call's history is there to be passed on", async () => {
  await using lab = await startEdgeLab({ certificates });
  const history = "<sip:+18005550001@sbc.linecheck.test>;index=1";
  const { leg } = await connect(lab, { headers: { "History-Info": history } });
  expect(leg.historyInfo).toBe(history);
});

test("planned faults refuse an INVITE, answer 503, and leave OPTIONS unanswered", async () => {
  const faults = faultPlan([
    { name: "acs.refuse-invite", with: { status: 500, reason: "planned" }, times: 1 },
    { name: "acs.slow-sip", with: { ms: 1 }, times: 1 },
  ]);
  await using lab = await startEdgeLab({ certificates, faults });
  expect(await refusalOf(lab, {})).toMatchObject({
    status: 500,
    reason: expect.stringContaining("planned"),
  });
  faults.add({ name: "acs.busy", times: 1 });
  expect((await lab.sbc.invite()).response.status).toBe(503);
  faults.add({ name: "acs.ignore-options" });
  const [datacenter] = lab.edge.datacenters;
  const giveUp = AbortSignal.timeout(50);
  const attempt = datacenter && lab.sbc.options(datacenter, {}, giveUp);
  await expect(attempt).rejects.toMatchObject({ code: "SIP_ABORTED" });
  const struck = lab.trace.events.filter(({ type }) => type === "fault");
  expect(struck).toHaveLength(4);
});

test("a call that the application rejects carries its status and a cause", async () => {
  await using lab = await startEdgeLab({ certificates, policy: { ringing: false } });
  const invited = lab.sbc.invite();
  await expect.poll(() => lab.legs.length).toBe(1);
  lab.legs[0]?.reject(486, "Busy Here");
  const { response } = await invited;
  expect(response.status).toBe(486);
  expect(response.get("Reason")).toBe(
    `Q.850;cause=34;text="${lab.legs[0]?.correlationId};Busy Here"`,
  );
  expect(await lab.legs[0]?.ended).toMatchObject({ by: "local", sip: { code: 486 } });
});

test("a caller who gives up while it rings ends the leg with 487 and the cause", async () => {
  await using lab = await startEdgeLab({ certificates });
  const giveUp = new AbortController();
  const { promise: ringing, resolve } = Promise.withResolvers<void>();
  const invited = lab.sbc.invite({ signal: giveUp.signal, onProgress: () => resolve() });
  await ringing;
  giveUp.abort();
  expect((await invited).response.status).toBe(487);
  expect(await lab.legs[0]?.ended).toEqual({
    by: "peer",
    sip: { code: 487, message: "Request Terminated" },
  });
  await expect(lab.legs[0]?.answer()).rejects.toThrow("the leg is over");
});

test("a ringing caller whose connection breaks can be rejected without harm", async () => {
  await using lab = await startEdgeLab({ certificates });
  const invited = lab.sbc.invite().catch(String);
  await expect.poll(() => lab.legs.length).toBe(1);
  await lab.sbc[Symbol.asyncDispose]();
  expect(await invited).toBe("SipError: the SIP stack is closed");
  lab.legs[0]?.reject(480, "enough");
  expect(await lab.legs[0]?.ended).toMatchObject({ by: expect.stringMatching(/local|network/) });
  await expect(lab.legs[0]?.answer()).rejects.toThrow("the leg is over");
});

test("a leg is answered once; a second time changes nothing", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { leg } = await connect(lab);
  await expect(leg.answer()).rejects.toThrow("the leg has been answered already");
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a leg that is hung up while it is being answered leaves no call behind", async () => {
  await using lab = await startEdgeLab({ certificates });
  const invited = lab.sbc.invite();
  await expect.poll(() => lab.legs.length).toBe(1);
  const answered = lab.legs[0]?.answer().catch(String);
  await lab.legs[0]?.hangUp();
  expect(await answered).toMatch(/the (leg is over|caller is gone)/);
  await invited;
  await expect.poll(() => lab.edge.liveDialogs).toBe(0);
  expect(await lab.legs[0]?.ended).toMatchObject({ by: "local" });
});

test("an INVITE whose From cannot be read is refused with 400", async () => {
  await using lab = await startEdgeLab({ certificates });
  const From = "<sip:+14255550100@sbc.linecheck.test:port>;tag=1";
  expect((await lab.sbc.invite({ headers: { From } })).response.status).toBe(400);
  expect(lab.legs).toEqual([]);
});

test("an answer that crosses the CANCEL does not leave a call behind", async () => {
  await using lab = await startEdgeLab({ certificates });
  const giveUp = new AbortController();
  const { promise: ringing, resolve } = Promise.withResolvers<void>();
  const invited = lab.sbc.invite({ signal: giveUp.signal, onProgress: () => resolve() });
  await ringing;
  const answered = lab.legs[0]?.answer().catch((error: unknown) => error);
  giveUp.abort();
  await answered;
  const outcome = await invited.catch(() => undefined);
  if (outcome?.call !== undefined) await outcome.call.bye();
  await expect.poll(() => lab.edge.liveDialogs).toBe(0);
});

test("without an ACK the call is torn down with its documented sub-code", async () => {
  const time = manualClock({ start: clock.date() });
  await using lab = await startEdgeLab({ certificates, clock: time });
  const invited = lab.sbc.invite({ acknowledge: false });
  await expect.poll(() => lab.legs.length).toBe(1);
  const answered = lab.legs[0]?.answer().catch((error: unknown) => error);
  await invited;
  await time.advance(33_000);
  expect(await answered).toMatchObject({ code: 408, subCode: 1106 });
  expect(await lab.legs[0]?.ended).toEqual({ by: "network" });
  expect((await lab.sbc.next("BYE")).request.get("Reason")).toContain(
    "timed out while waiting for acknowledgement",
  );
});

test("a request inside no dialog is unknown", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  await leg.hangUp();
  expect((await call.send("INFO")).status).toBe(481);
});

test.each([
  ["good", {}, "OK"],
  ["wildcard", { hosts: ["*.linecheck.test"] }, "OK"],
  ["for servers only", { usages: ["serverAuth" as const] }, "OK"],
  ["for clients only", { usages: ["clientAuth" as const] }, "lacks Server Authentication"],
  ["of another host", { hosts: ["pbx.linecheck.test"] }, "not for sbc.linecheck.test"],
  ["wildcard of the wrong level", { hosts: ["*.test"] }, "not for sbc.linecheck.test"],
  ["expired", { notBefore: inDays(-9), notAfter: inDays(-1) }, "the certificate expired"],
])("OPTIONS with a certificate that is %s: %o", async (_what, options, expected) => {
  const sbc = await issue(options);
  await using lab = await startEdgeLab({ certificates: { ...certificates, sbc } });
  const [datacenter] = lab.edge.datacenters;
  const response = datacenter && (await lab.sbc.options(datacenter));
  expect(`${response?.reason} ${response?.get("Reason")}`).toContain(expected);
  expect(response?.status).toBe(expected === "OK" ? 200 : 403);
});

test("certificates of unknown authorities and self-signed ones are refused", async () => {
  const shared = { commonName: "sbc", hosts: [SBC], keyPair };
  for (const sbc of [await issue({}, stranger), await selfSigned({ ...shared, clock })]) {
    await using lab = await startEdgeLab({ certificates: { ...certificates, sbc } });
    const [datacenter] = lab.edge.datacenters;
    const response = datacenter && (await lab.sbc.options(datacenter));
    expect(response?.status).toBe(403);
  }
});

test("an expired certificate shows in the trunk's status", async () => {
  const sbc = await issue({ notBefore: inDays(-9), notAfter: inDays(-1) });
  await using lab = await startEdgeLab({ certificates: { ...certificates, sbc } });
  const [datacenter] = lab.edge.datacenters;
  if (datacenter !== undefined) await lab.sbc.options(datacenter);
  expect(lab.edge.trunkStatus(SBC)).toMatchObject({ tls: "certExpired", overall: "inactive" });
});

test("a certificate that ends in 20 days is good and reported as expiring", async () => {
  const sbc = await issue({ notAfter: inDays(20) });
  await using lab = await startOnlineLab({ certificates: { ...certificates, sbc } });
  expect(lab.edge.trunkStatus(SBC)).toMatchObject({ tls: "certExpiring", overall: "online" });
});

test("a caller without a certificate does not get as far as SIP", async () => {
  await using lab = await startEdgeLab({ certificates, showCertificate: false });
  const [datacenter] = lab.edge.datacenters;
  const attempt = datacenter && lab.sbc.options(datacenter);
  await expect(attempt).rejects.toMatchObject({ code: "SIP_TRANSPORT" });
});

/** Whether a TLS client with these limits gets through to the first datacenter. */
async function handshake(lab: EdgeLab, options: ConnectionOptions): Promise<string> {
  const [datacenter] = lab.edge.datacenters;
  const { host = "", port = 0 } = datacenter ?? {};
  const shared = { host, port, rejectUnauthorized: false, servername: MICROSOFT[0] };
  const socket = connectTls({ ...shared, ...certificates.sbc, ...options });
  const outcome = await Promise.race([
    once(socket, "secureConnect").then(() => `${socket.getProtocol()} ${socket.getCipher().name}`),
    once(socket, "error").then(([error]) => String(error.code)),
  ]).catch((error: unknown) => String(error));
  socket.destroy();
  return outcome;
}

test.each([
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES256-SHA384",
  "ECDHE-RSA-AES128-SHA256",
])("TLS 1.2 with %s is spoken", async (ciphers) => {
  await using lab = await startEdgeLab({ certificates });
  expect(await handshake(lab, { ciphers })).toBe(`TLSv1.2 ${ciphers}`);
});

test.each([
  ["TLS 1.3 only", { minVersion: "TLSv1.3" as const }],
  ["another suite", { maxVersion: "TLSv1.2" as const, ciphers: "AES128-SHA256" }],
])("%s is refused in the handshake", async (_what, options) => {
  await using lab = await startEdgeLab({ certificates });
  expect(await handshake(lab, options)).toMatch(/ALERT|alert/);
});

test("by policy TLS 1.3 is spoken too", async () => {
  await using lab = await startEdgeLab({ certificates, policy: { tls13: true } });
  expect(await handshake(lab, { minVersion: "TLSv1.3" })).toMatch(/^TLSv1\.3 /);
});
