import { beforeAll, expect, test } from "vitest";
import { manualClock, systemClock } from "../../clock.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  issueEdgeCertificates,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import type { SbcCall } from "../testing/scripted-sbc.ts";

const clock = systemClock();
let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

/** Sessions of seconds: media ticks 50 times in each of them, which takes its time. */
const SHORT = { sessionExpiresS: 20, minSessionExpiresS: 10 };

/** A lab whose time is moved by hand, with one call up. */
async function timedCall(headers: Record<string, string>) {
  const time = manualClock({ start: clock.date() });
  const lab = await startEdgeLab({ certificates, clock: time, policy: SHORT });
  const { leg, call, response } = await connect(lab, { headers });
  return { time, lab, leg, call, response };
}

/** Answers a re-INVITE of the edge with what the media session makes of it. */
function answer(call: SbcCall, transaction: ServerTransaction, contact: string, extra = {}) {
  const body = call.media.answer(transaction.request.body.toString());
  const headers = { Contact: contact, "Content-Type": "application/sdp", ...extra };
  transaction.respond(200, { headers, body });
}

test("hold with a=inactive stops the media and resume brings it back", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { leg, call } = await connect(lab);
  const held = await call.reinvite("inactive");
  expect(held.body.toString()).toContain("a=inactive\r\n");
  expect(call.media.negotiated?.direction).toBe("inactive");
  const resumed = await call.reinvite("sendrecv");
  expect(resumed.body.toString()).toContain("a=sendrecv\r\n");
  const digit = new Promise<string>((resolve) => leg.onDigit(resolve));
  await call.media.sendDigits("2");
  expect(await digit).toBe("2");
  expect(lab.findings()).toEqual([]);
});

test("hold with a=sendonly is answered and noted", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  const held = await call.reinvite("sendonly");
  expect(held.status).toBe(200);
  expect(lab.findings()).toEqual(["HOLD_NOT_INACTIVE"]);
});

test("hold with the address 0.0.0.0 is refused", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  const offer = call.media.offer().replaceAll(/c=IN IP4 .*/g, "c=IN IP4 0.0.0.0");
  const response = await call.send("INVITE", { "Content-Type": "application/sdp" }, offer);
  expect(response.status).toBe(488);
  expect(response.get("Reason")).toContain("BlackholeMedia");
});

test("a re-INVITE without offer is answered with an offer of a=inactive", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  const response = await call.reinvite(undefined);
  expect(response.body.toString()).toContain("a=inactive\r\n");
  expect(call.media.negotiated?.direction).toBe("inactive");
});

test("in-dialog requests travel on another connection when ours is gone", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  for (const connection of lab.sbc.stack.connections) connection.close();
  const bye = lab.sbc.next("BYE");
  await leg.hangUp();
  expect(call.owns(await bye)).toBe(true);
});

test.each(["INFO", "UPDATE", "REFER", "PRACK"])("%s in a dialog is not allowed", async (method) => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  const response = await call.send(method);
  expect(response.status).toBe(405);
  expect(response.get("Allow")).toBe("INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY");
});

test("OPTIONS in a dialog are answered", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  expect((await call.send("OPTIONS")).status).toBe(200);
});

test("a NOTIFY nobody waits for is refused", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  expect((await call.notify("SIP/2.0 200 OK", "terminated")).status).toBe(481);
});

test("an older CSeq is out of order", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  await call.send("OPTIONS");
  call.dialog.state.localNumber = 0;
  expect((await call.send("OPTIONS")).status).toBe(500);
});

test("a request that lost x-i and x-c is refused and noted", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  call.dialog.state.remoteTarget = "sip:api-du-a-usea.pstnhub.microsoft.com:443";
  expect((await call.send("BYE")).status).toBe(481);
  expect(lab.findings()).toEqual(["DIALOG_IDENTITY_LOST"]);
  expect(lab.edge.liveDialogs).toBe(1);
});

test("by policy a request without x-i and x-c is served", async () => {
  await using lab = await startEdgeLab({ certificates, policy: { lostIdentity: "accept" } });
  const { call } = await connect(lab);
  call.dialog.state.remoteTarget = "sip:api-du-a-usea.pstnhub.microsoft.com:443";
  expect((await call.send("BYE")).status).toBe(200);
});

test("by policy no Record-Route is added and the next hop is our Contact", async () => {
  await using lab = await startEdgeLab({ certificates, policy: { recordRoute: false } });
  const { call, response } = await connect(lab);
  expect(response.has("Record-Route")).toBe(false);
  expect(call.dialog.state.routeSet).toEqual([]);
  expect((await call.bye()).status).toBe(200);
});

test("by policy Record-Route names our address", async () => {
  const policy = { routeBy: "address" } as const;
  await using lab = await startOnlineLab({ certificates, policy });
  const { leg, call, response } = await connect(lab);
  const [first] = lab.edge.datacenters;
  const own = `<sip:127.0.0.1:${first?.port};transport=tls;lr>`;
  expect(response.list("Record-Route")).toEqual([own]);
  const bye = lab.sbc.next("BYE");
  await leg.hangUp();
  expect((await bye).request.has("Route")).toBe(false);
  const correlationId = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";
  const dialled = lab.edge.dial("+18005550150", { from: "+18005550100", correlationId });
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.list("Record-Route")).toEqual([own]);
  await lab.sbc.accept(invite);
  await (await dialled).hangUp();
  expect(call.dialog.state.routeSet).toEqual([own]);
});

const TIMER = { Supported: "timer" };

test("the edge refreshes the session at half its interval when it may", async () => {
  const { time, lab, call, response } = await timedCall(TIMER);
  await using _lab = lab;
  expect(response.get("Session-Expires")).toBe("20;refresher=uas");
  const refresh = lab.sbc.next("INVITE");
  await time.advance(10_000);
  const transaction = await refresh;
  expect(call.owns(transaction)).toBe(true);
  expect(transaction.request.get("Session-Expires")).toBe("20;refresher=uac");
  answer(call, transaction, lab.sbc.contact, { "Session-Expires": "20;refresher=uac" });
  await expect.poll(() => time.pending).toBeGreaterThan(0);
  expect(call.media.negotiated?.direction).toBe("sendrecv");
});

test("a border controller that is to refresh and does not loses the call", async () => {
  const { time, lab, leg, response } = await timedCall({ "Session-Expires": "30;refresher=uac" });
  await using _lab = lab;
  expect(response.get("Session-Expires")).toBe("30;refresher=uac");
  expect(response.get("Require")).toBe("timer");
  await time.advance(19_000);
  expect(lab.edge.liveDialogs).toBe(1);
  await time.advance(2_000);
  expect(await leg.ended).toEqual({ by: "network" });
  expect(lab.findings()).toEqual(["SESSION_EXPIRED"]);
});

test("a refresh in time keeps the call", async () => {
  const { time, lab, call } = await timedCall({ "Session-Expires": "30;refresher=uac" });
  await using _lab = lab;
  await time.advance(15_000);
  await call.reinvite("sendrecv", { "Session-Expires": "30;refresher=uac" });
  await time.advance(15_000);
  expect(lab.edge.liveDialogs).toBe(1);
});

test("without timer support no timer is set", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { response } = await connect(lab);
  expect(response.has("Session-Expires")).toBe(false);
});

test("a refresh that asks for too little gets 422", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  const response = await call.reinvite("sendrecv", { "Session-Expires": "90" });
  expect(response.status).toBe(422);
  expect(response.get("Min-SE")).toBe("300");
});

test("re-INVITEs that cross get 491, and ours is tried again later", async () => {
  const { time, lab, call } = await timedCall(TIMER);
  await using _lab = lab;
  const first = lab.sbc.next("INVITE");
  await time.advance(10_000);
  const transaction = await first;
  expect((await call.reinvite("sendrecv")).status).toBe(491);
  transaction.respond(491);
  await expect.poll(() => refused(lab)).toBe(true);
  const second = lab.sbc.next("INVITE");
  await time.advance(4_000);
  answer(call, await second, lab.sbc.contact);
  expect(lab.edge.liveDialogs).toBe(1);
});

function refused({ trace }: EdgeLab): boolean {
  return trace.events.some(
    (event) =>
      event.type === "sip" &&
      event.party === "acs" &&
      event.direction === "in" &&
      event.message.startsWith("SIP/2.0 491"),
  );
}

test("a border controller that has lost the dialog ends the call at the next refresh", async () => {
  const { time, lab, leg } = await timedCall(TIMER);
  await using _lab = lab;
  const refresh = lab.sbc.next("INVITE");
  await time.advance(10_000);
  (await refresh).respond(481);
  expect(await leg.ended).toEqual({ by: "network" });
});

test("a refresh that is refused is found, and leaves the call up until its session expires", async () => {
  const { time, lab, leg } = await timedCall(TIMER);
  await using _lab = lab;
  const refresh = lab.sbc.next("INVITE");
  await time.advance(10_000);
  (await refresh).respond(488);
  await expect.poll(() => lab.findings()).toEqual(["SESSION_REFRESH_FAILED"]);
  expect(lab.edge.findings.at(-1)?.message).toContain("was refused with 488");
  await time.advance(9_999);
  expect(lab.edge.liveDialogs).toBe(1);
  await time.advance(1);
  expect(await leg.ended).toEqual({ by: "network" });
  expect(lab.findings()).toEqual(["SESSION_REFRESH_FAILED", "SESSION_EXPIRED"]);
  expect(lab.edge.findings.at(-1)?.message).toContain("took no refresh");
});

test("an outgoing INVITE that is too short for the border controller is sent again", async () => {
  await using lab = await startOnlineLab({ certificates });
  const correlationId = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";
  const dialled = lab.edge.dial("+18005550150", { from: "+18005550100", correlationId });
  const first = await lab.sbc.next("INVITE");
  first.respond(422, { headers: { "Min-SE": "7200" } });
  const second = await lab.sbc.next("INVITE");
  expect(second.request.callId).toBe(first.request.callId);
  expect(second.request.cseq).toEqual({ number: 2, method: "INVITE" });
  expect(second.request.get("Session-Expires")).toBe("7200;refresher=uac");
  expect(second.request.get("Min-SE")).toBe("7200");
  await lab.sbc.accept(second);
  await dialled;
});

test("a call from which no packet comes for 20 seconds is dropped", async () => {
  const { time, lab, leg, call } = await timedCall({});
  await using _lab = lab;
  await time.advance(15_000);
  expect(lab.edge.liveDialogs).toBe(1);
  await call.media[Symbol.asyncDispose]();
  await time.advance(26_000);
  expect(await leg.ended).toEqual({ by: "network" });
  expect(lab.findings()).toContain("MEDIA_SILENT");
});

test("a held call may be silent", async () => {
  const { time, lab, call } = await timedCall({});
  await using _lab = lab;
  await call.reinvite("inactive");
  await time.advance(30_000);
  expect(lab.edge.liveDialogs).toBe(1);
});

test("disposal says goodbye to every call", async () => {
  const lab = await startOnlineLab({ certificates });
  const { call } = await connect(lab);
  const bye = lab.sbc.next("BYE");
  await lab.edge[Symbol.asyncDispose]();
  expect(call.owns(await bye)).toBe(true);
  expect(lab.edge.liveDialogs).toBe(0);
  await lab[Symbol.asyncDispose]();
});
