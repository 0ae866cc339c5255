import { beforeAll, expect, test } from "vitest";
import type { ServerTransaction } from "../../sip/transaction.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  issueEdgeCertificates,
  QUEUE,
  refer,
  SUMMARY,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";

let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

/** The third INVITE, which carries the custom headers to the queue. */
async function answerQueue(lab: EdgeLab) {
  const third = await lab.sbc.next("INVITE");
  return { third, call: await lab.sbc.accept(third) };
}

test("a hairpin transfer takes the caller to the queue with the custom headers", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, transaction, uri, referredBy } = await refer(lab, leg);
  expect(call.owns(transaction)).toBe(true);
  expect(transaction.source.host).toBe("127.0.0.2");
  expect(uri).toMatch(
    /^sip:\+18005550150@sip\.pstnhub\.microsoft\.com:\d+;transport=tls;user=phone$/,
  );
  expect(referredBy).toMatch(
    new RegExp(
      `^<sip:sip\\.pstnhub\\.microsoft\\.com:\\d+;x-m=8:acs:[^;]+;x-t=5ac0de00-[^;]+;x-ti=${leg.correlationId};x-tt=[\\w+/]+(%3D)*>$`,
    ),
  );
  expect(transaction.request.has("X-AI-Summary")).toBe(false);
  await call.notify("SIP/2.0 100 Trying", "active;expires=60");

  const progress: number[] = [];
  const referred = lab.sbc.invite({
    uri,
    headers: { "Referred-By": referredBy },
    onProgress: (status) => progress.push(status),
  });
  const third = await lab.sbc.next("INVITE");
  expect(third.request.uri).toMatch(
    /^sip:\+18005550150@sbc\.linecheck\.test:\d+;user=phone;transport=tls$/,
  );
  expect(third.request.get("From")).toMatch(/^<sip:\+14255550100@sip\.pstnhub/);
  expect(third.request.get("X-AI-Summary")).toBe("dispute%20a%20charge.");
  expect(third.request.toString()).toContain("\r\nX-AI-Summary: ");
  third.respond(180);
  await expect.poll(() => progress).toContain(180);
  const queue = await lab.sbc.accept(third);
  const { call: caller } = await referred;
  expect(lab.legs).toHaveLength(1);

  const bye = lab.sbc.next("BYE");
  await call.notify("SIP/2.0 200 OK", "terminated;reason=noresource");
  expect(await settled).toBe("accepted");
  expect(call.owns(await bye)).toBe(true);
  expect(await leg.ended).toEqual({ by: "transfer" });

  const digit = new Promise<string>((resolve) => queue.media.onDigit(resolve));
  await caller?.media.sendDigits("5");
  expect(await digit).toBe("5");
  const farewell = lab.sbc.next("BYE");
  await caller?.bye();
  expect(queue.owns(await farewell)).toBe(true);
  await expect.poll(() => lab.edge.liveDialogs).toBe(0);
  expect(lab.findings()).toEqual([]);
});

test("the queue's refusal reaches the referred INVITE and the application; the call lives on", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  const referred = lab.sbc.invite({ uri, headers: { "Referred-By": referredBy } });
  const third = await lab.sbc.next("INVITE");
  third.respond(486, { headers: { Reason: 'Q.850;cause=17;text="User busy"' } });
  expect((await referred).response.status).toBe(486);
  await call.notify("SIP/2.0 486 Busy Here", "terminated;reason=noresource");
  expect(await settled).toMatchObject({
    name: "PstnRefusal",
    code: 486,
    subCode: 560_486,
    sip: { code: 486, message: "Busy Here" },
    q850: { code: 17, message: "User busy" },
  });
  const digit = new Promise<string>((resolve) => leg.onDigit(resolve));
  await call.media.sendDigits("1");
  expect(await digit).toBe("1");
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a referred INVITE that is refused once may be repeated", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  const headers = { "Referred-By": referredBy, "Session-Expires": "90" };
  expect((await lab.sbc.invite({ uri, headers })).response.status).toBe(422);
  const referred = lab.sbc.invite({ uri, headers: { "Referred-By": referredBy } });
  await answerQueue(lab);
  expect((await referred).response.status).toBe(200);
  const bye = lab.sbc.next("BYE");
  await call.notify("SIP/2.0 200 OK", "terminated;reason=noresource");
  expect(await settled).toBe("accepted");
  expect(call.owns(await bye)).toBe(true);
});

type Alteration = (referredBy: string) => string | undefined;

test.each([
  ["in lower case", (value: string) => value.toLowerCase(), "Referred-By is altered"],
  ["shortened", (value: string) => value.replace(/x-ti=[^;]+;/, ""), "Referred-By is altered"],
  ["dropped", () => undefined, "the referred INVITE has no Referred-By"],
] satisfies [string, Alteration, string][])(
  "a Referred-By that comes back %s is refused by name",
  async (_how, alter, message) => {
    await using lab = await startOnlineLab({ certificates });
    const { leg, call } = await connect(lab);
    const { settled, uri, referredBy } = await refer(lab, leg);
    const headers = { "Referred-By": alter(referredBy) };
    const { response } = await lab.sbc.invite({ uri, headers });
    expect(response.status).toBe(403);
    expect(response.get("Reason")).toContain(message);
    await call.notify("SIP/2.0 403 Forbidden", "terminated;reason=noresource");
    expect(await settled).toMatchObject({
      code: 403,
      subCode: 510_403,
      message: expect.stringContaining(message),
    });
    expect(lab.legs).toHaveLength(1);
    expect(lab.edge.liveDialogs).toBe(1);
    expect(lab.trace.events).toContainEqual(
      expect.objectContaining({ type: "error", code: expect.stringMatching(/^REFERRED_BY_/) }),
    );
  },
);

test("a referred INVITE that is refused for its offer fails the transfer with that", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  const referred = await lab.sbc.invite({ uri, headers: { "Referred-By": referredBy }, body: "" });
  expect(referred.response.status).toBe(488);
  await call.notify("SIP/2.0 488 Not Acceptable Here", "terminated;reason=noresource");
  expect(await settled).toMatchObject({
    code: 488,
    message: expect.stringContaining("INVITE has no SDP"),
  });
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a Request-URI that is not the Refer-To is refused", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, referredBy } = await refer(lab, leg);
  const referred = await lab.sbc.invite({ headers: { "Referred-By": referredBy } });
  expect(referred.response.status).toBe(403);
  await call.notify("SIP/2.0 403 Forbidden", "terminated;reason=noresource");
  expect(await settled).toMatchObject({
    message: expect.stringContaining("Request-URI is not the Refer-To"),
  });
});

test("a Request-URI that is only spelled otherwise is taken, and noted", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  const respelled = uri.replace(";transport=tls;user=phone", ";user=phone;transport=tls");
  const referred = lab.sbc.invite({ uri: respelled, headers: { "Referred-By": referredBy } });
  await answerQueue(lab);
  await referred;
  await call.notify("SIP/2.0 200 OK", "terminated");
  expect(await settled).toBe("accepted");
  expect(lab.findings()).toEqual(["REFER_TO_RESPELLED"]);
});

test("the target may be opaque: no user part, an identity as parameter", async () => {
  await using lab = await startOnlineLab({ certificates, policy: { referTo: "opaque" } });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  expect(uri).toMatch(/^sip:sip\.pstnhub\.microsoft\.com:\d+;transport=tls;x-m=8:acs:[\da-f_-]+$/);
  const referred = lab.sbc.invite({ uri, headers: { "Referred-By": referredBy } });
  const { third } = await answerQueue(lab);
  expect(third.request.uri).toContain(`sip:${QUEUE}@`);
  await referred;
  await call.notify("SIP/2.0 200 OK", "terminated");
  expect(await settled).toBe("accepted");
});

test("without a second address the REFER still comes on a connection of its own", async () => {
  const policy = { otherAddress: "192.0.2.1" };
  await using lab = await startOnlineLab({ certificates, policy });
  const { leg, call } = await connect(lab);
  const before = new Set(lab.sbc.stack.connections.map(({ id }) => id));
  const { settled, transaction } = await refer(lab, leg);
  expect(transaction.source.host).toBe("127.0.0.1");
  expect(before).not.toContain(transaction.connection.id);
  await call.notify("SIP/2.0 603 Decline", "terminated");
  await settled;
});

test("by policy the REFER comes on the call's own connection", async () => {
  await using lab = await startOnlineLab({
    certificates,
    policy: { referFromOtherAddress: false },
  });
  const { leg, call } = await connect(lab);
  const { settled, transaction } = await refer(lab, leg);
  expect(transaction.source.host).toBe("127.0.0.1");
  await call.notify("SIP/2.0 603 Decline", "terminated");
  expect(await settled).toMatchObject({ code: 603, subCode: 560_603 });
});

test("by policy the custom headers of a hairpin ride on the REFER too", async () => {
  const policy = { hairpinHeaders: "thirdInviteAndRefer" } as const;
  await using lab = await startOnlineLab({ certificates, policy });
  const { leg, call } = await connect(lab);
  const { settled, transaction } = await refer(lab, leg);
  expect(transaction.request.get("X-AI-Summary")).toBe("dispute%20a%20charge.");
  await call.notify("SIP/2.0 603 Decline", "terminated");
  await settled;
});

test("a border controller that dials the target by itself is found out", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled } = await refer(lab, leg);
  await call.notify("SIP/2.0 200 OK", "terminated;reason=noresource");
  expect(await settled).toBe("accepted");
  expect(lab.findings()).toEqual(["REFERRED_INVITE_MISSING"]);
});

test("a call without Allow is transferred as the trunk's OPTIONS allow", async () => {
  await using lab = await startEdgeLab({ certificates });
  for (const datacenter of lab.edge.datacenters) {
    await lab.sbc.options(datacenter, { Allow: "INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,REFER" });
  }
  const { leg, call } = await connect(lab, { headers: { Allow: undefined } });
  const { settled } = await refer(lab, leg);
  await call.notify("SIP/2.0 603 Decline", "terminated");
  expect(await settled).toMatchObject({ code: 603 });
});

test("a transfer can be given up; the call stays", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg } = await connect(lab);
  const giveUp = new AbortController();
  const transfer = leg.transfer(QUEUE, { signal: giveUp.signal }).catch((error: unknown) => error);
  lab.sbc.referral(await lab.sbc.next("REFER"));
  giveUp.abort();
  expect(await transfer).toMatchObject({ code: 487 });
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a Referred-By of no transfer is refused", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { response } = await lab.sbc.invite({ headers: { "Referred-By": "<sip:a@b;x-tt=abc>" } });
  expect(response.status).toBe(403);
  expect(response.get("Reason")).toContain("Referred-By names no transfer that is waiting");
});

test("a REFER that the border controller refuses fails the transfer at once", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg } = await connect(lab);
  const transfer = leg.transfer(QUEUE, {}).catch((error: unknown) => error);
  const refused = await lab.sbc.next("REFER");
  refused.respond(403);
  expect(await transfer).toMatchObject({ code: 403, subCode: 560_403 });
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a caller who gives up during the transfer takes the third call along", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  const { settled, uri, referredBy } = await refer(lab, leg);
  const giveUp = new AbortController();
  const referred = lab.sbc.invite({
    uri,
    headers: { "Referred-By": referredBy },
    signal: giveUp.signal,
  });
  const third = await lab.sbc.next("INVITE");
  third.respond(180);
  const cancelled = new Promise<void>((resolve) => third.onCancel(() => resolve()));
  giveUp.abort();
  await cancelled;
  await referred.catch(() => {});
  await call.notify("SIP/2.0 487 Request Terminated", "terminated;reason=noresource");
  expect(await settled).toMatchObject({ code: 487 });
});

test("with directTransfer the border controller routes the REFER itself, headers on it", async () => {
  await using lab = await startOnlineLab({ certificates, trunk: { directTransfer: true } });
  const { leg, call } = await connect(lab);
  const { settled, transaction, uri } = await refer(lab, leg);
  expect(uri).toMatch(/^sip:\+18005550150@sbc\.linecheck\.test:\d+;transport=tls;user=phone$/);
  expect(transaction.request.get("X-AI-Summary")).toBe("dispute%20a%20charge.");
  await call.notify("SIP/2.0 200 OK", "terminated;reason=noresource");
  expect(await settled).toBe("accepted");
  expect(await leg.ended).toEqual({ by: "transfer" });
  await expect.poll(() => lab.edge.liveDialogs).toBe(0);
});

test("with directTransfer the headers may also ride in Refer-To", async () => {
  const policy = { directTransferHeaders: "referAndReferTo" } as const;
  await using lab = await startOnlineLab({ certificates, policy, trunk: { directTransfer: true } });
  const { leg, call } = await connect(lab);
  const { settled, uri } = await refer(lab, leg);
  expect(uri).toMatch(/;user=phone\?X-AI-Summary=dispute%2520a%2520charge\.$/);
  await call.notify("SIP/2.0 200 OK", "terminated");
  expect(await settled).toBe("accepted");
});

const NO_REFER = { Allow: "INVITE,ACK,BYE,CANCEL,OPTIONS" };

test("without REFER in Allow the transfer is internal and the caller's dialog stays", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab, { headers: NO_REFER });
  const transfer = leg.transfer(QUEUE, { sipHeaders: SUMMARY });
  const { third, call: queue } = await answerQueue(lab);
  expect(third.request.get("X-AI-Summary")).toBe("dispute%20a%20charge.");
  await transfer;
  expect(await leg.ended).toEqual({ by: "transfer" });
  const digit = new Promise<string>((resolve) => call.media.onDigit(resolve));
  await queue.media.sendDigits("9");
  expect(await digit).toBe("9");
  const farewell = lab.sbc.next("BYE");
  await queue.bye();
  expect(call.owns(await farewell)).toBe(true);
});

test("a caller who hangs up during an internal transfer stops the ringing", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab, { headers: NO_REFER });
  const transfer = leg.transfer(QUEUE, {}).catch((error: unknown) => error);
  const third = await lab.sbc.next("INVITE");
  const cancelled = new Promise<void>((resolve) => third.onCancel(() => resolve()));
  third.respond(180);
  await call.bye();
  await cancelled;
  expect(await transfer).toMatchObject({ code: 487 });
  await expect.poll(() => lab.edge.liveDialogs).toBe(0);
});

test("without REFER but with Replaces a new dialog takes the old one's place", async () => {
  await using lab = await startOnlineLab({ certificates });
  const headers = { ...NO_REFER, Supported: "replaces" };
  const { leg, call } = await connect(lab, { headers });
  const transfer = leg.transfer(QUEUE, {});
  const { call: queue } = await answerQueue(lab);
  const replacing: ServerTransaction = await lab.sbc.next("INVITE");
  const { callId, localTag, remoteTag } = call.dialog.state;
  expect(replacing.request.get("Replaces")).toBe(
    `${callId};to-tag=${localTag};from-tag=${remoteTag}`,
  );
  const replacement = await lab.sbc.accept(replacing);
  const bye = lab.sbc.next("BYE");
  await transfer;
  expect(call.owns(await bye)).toBe(true);
  const digit = new Promise<string>((resolve) => queue.media.onDigit(resolve));
  await replacement.media.sendDigits("3");
  expect(await digit).toBe("3");
});

test("a header value that would end its line never reaches the wire", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg } = await connect(lab);
  const sipHeaders = { "X-AI-Summary": "a\r\nX-Evil: 1" };
  await expect(leg.transfer(QUEUE, { sipHeaders })).rejects.toThrow(
    "the value of X-AI-Summary contains a line end",
  );
});
