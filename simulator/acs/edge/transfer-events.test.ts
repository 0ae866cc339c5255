import { CallAutomationClient } from "@azure/communication-call-automation";
import { beforeAll, expect, test } from "vitest";
import { type ManualClock, manualClock, systemClock } from "../../clock.ts";
import {
  type EdgeCertificates,
  type EdgeLab,
  issueEdgeCertificates,
  QUEUE,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import { startTestLab, type TestLab } from "../testing/lab.ts";
import type { SbcCall } from "../testing/scripted-sbc.ts";

let certificates: EdgeCertificates;

beforeAll(async () => {
  certificates = await issueEdgeCertificates();
});

/** Both halves of the service, with a call in the middle of its transfer. */
async function transferring({ sbc, edge, resource }: EdgeLab, headers = {}) {
  const lab = await startTestLab({ resource, pstn: edge });
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const invited = sbc.invite({ headers });
  const { data } = await lab.application.event("IncomingCall");
  const callbacks = `${lab.application.url}/callbacks`;
  const { callConnection } = await client.answerCall(
    String(data["incomingCallContext"]),
    callbacks,
  );
  const { call } = await invited;
  if (call === undefined) throw new Error("the call was refused");
  await lab.application.event("CallConnected");
  const operationContext = "hand-over";
  await callConnection.transferCallToParticipant({ phoneNumber: QUEUE }, { operationContext });
  return { lab, call };
}

/** What the application hears of the transfer and of the call's end, in order. */
async function lastEvents({ application }: TestLab) {
  await application.event("CallDisconnected");
  const last = application.events.filter(({ type }) => /^Call(Transfer|Disc)/.test(type));
  return last.map(({ type, data }) => [type, data["operationContext"]]);
}

const FAILED_THEN_ENDED = [
  ["CallTransferFailed", "hand-over"],
  ["CallDisconnected", undefined],
];

const untilReferred = async ({ sbc }: EdgeLab) => sbc.referral(await sbc.next("REFER"));

test("a missing NOTIFY fails the transfer before the call drops", async () => {
  const clock: ManualClock = manualClock({ start: systemClock().date() });
  const policy = { transferTimeoutMs: 2_000 };
  await using edge = await startOnlineLab({ certificates, clock, policy, application: false });
  const { lab } = await transferring(edge);
  await using _lab = lab;
  await untilReferred(edge);
  await clock.advance(2_000);
  expect(await lastEvents(lab)).toEqual(FAILED_THEN_ENDED);
});

test.each([
  ["a REFER", {}, untilReferred],
  ["an internal transfer", { Allow: "INVITE,ACK,BYE,CANCEL,OPTIONS" }, untilRinging],
] satisfies [string, Record<string, string>, (lab: EdgeLab) => Promise<unknown>][])(
  "a caller who hangs up during %s fails it before the call ends",
  async (_how, headers, reached) => {
    await using edge = await startOnlineLab({ certificates, application: false });
    const { lab, call }: { lab: TestLab; call: SbcCall } = await transferring(edge, headers);
    await using _lab = lab;
    await reached(edge);
    await call.bye();
    expect(await lastEvents(lab)).toEqual(FAILED_THEN_ENDED);
  },
);

async function untilRinging({ sbc }: EdgeLab) {
  const third = await sbc.next("INVITE");
  third.respond(180);
}
