import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const client = (lab: TestLab) =>
  new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });

test("an incoming call is announced with its SIP headers and without what the service does not say", async () => {
  await using lab = await startTestLab();
  await lab.ring({ sipHeaders: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" } });
  const { envelope, data } = await lab.application.event("IncomingCall");
  expect(data).toEqual({
    to: { kind: "phoneNumber", rawId: "4:+18005550100", phoneNumber: { value: "+18005550100" } },
    from: { kind: "phoneNumber", rawId: "4:+14255550100", phoneNumber: { value: "+14255550100" } },
    serverCallId: expect.stringMatching(/^aHR0cHM6/),
    callerDisplayName: "",
    customContext: { sipHeaders: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" } },
    incomingCallContext: expect.stringMatching(/^eyJhbGciOiJub25l.*\.$/),
    correlationId: "00000000-0000-4000-8000-000000000000",
  });
  expect(String(data["incomingCallContext"]).length).toBeGreaterThan(6000);
  expect(envelope["eventType"]).toBe("Microsoft.Communication.IncomingCall");
  expect(envelope["subject"]).toBe("/caller/4:+14255550100/recipient/4:+18005550100");
});

test("a call without custom headers carries no customContext", async () => {
  await using lab = await startTestLab();
  await lab.ring();
  const { data } = await lab.application.event("IncomingCall");
  expect(data).not.toHaveProperty("customContext");
});

test("an answered call becomes connected and says so by CallConnected and ParticipantsUpdated", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  const answered = await client(lab).answerCall(context, `${lab.application.url}/callbacks`, {
    operationContext: "first",
  });
  expect(answered.callConnectionProperties).toMatchObject({
    callConnectionState: "unknown",
    answeredFor: { phoneNumber: "+18005550100" },
    correlationId: leg.correlationId,
    source: { phoneNumber: "+14255550100" },
    targetParticipants: [{ phoneNumber: "+18005550100" }],
  });
  const connected = await lab.application.event("CallConnected");
  const updated = await lab.application.event("ParticipantsUpdated");
  expect(leg.isAnswered).toBe(true);
  expect(connected.data).toMatchObject({
    operationContext: "first",
    version: "2026-03-12",
    resultInformation: { code: 200, subCode: 0, message: "" },
    publicEventType: "Microsoft.Communication.CallConnected",
  });
  expect(updated.data["participants"]).toEqual([
    {
      identifier: expect.objectContaining({ rawId: expect.stringMatching(/^8:acs:5ac0de00.*_/) }),
      isMuted: false,
      isOnHold: false,
    },
    {
      identifier: expect.objectContaining({ rawId: "4:+14255550100" }),
      isMuted: false,
      isOnHold: false,
    },
  ]);
  const properties = await answered.callConnection.getCallConnectionProperties();
  expect(properties.callConnectionState).toBe("connected");
});

test("CallConnected and ParticipantsUpdated come in both orders, by the seed", async () => {
  const orders = new Set<string>();
  await using lab = await startTestLab();
  for (let call = 0; call < 12; call++) {
    const { context } = await lab.ring();
    await client(lab).answerCall(context, `${lab.application.url}/callbacks`);
    await lab.application.event("ParticipantsUpdated", call);
    await lab.application.event("CallConnected", call);
    const sent = lab.trace.events.flatMap((event) =>
      event.type === "fault"
        ? []
        : [JSON.stringify(event).match(/CallConnected|ParticipantsUpd/)?.[0]],
    );
    orders.add(String(sent.filter((type) => type !== undefined).at(-1)));
  }
  expect(orders.size).toBe(2);
});

test("an unknown incomingCallContext is refused with 400/8523", async () => {
  await using lab = await startTestLab();
  const attempt = client(lab).answerCall("nonsense", `${lab.application.url}/callbacks`);
  expect(await refusalOf(attempt)).toEqual({
    statusCode: 400,
    code: "8523",
    message: "The field IncomingCallContext is invalid",
  });
});

test("a callback over plain http outside the loopback is refused", async () => {
  await using lab = await startTestLab();
  const { context } = await lab.ring();
  const attempt = client(lab).answerCall(context, "http://app.example.com/callbacks");
  expect(await refusalOf(attempt)).toMatchObject({
    statusCode: 400,
    message: "The field CallbackUri is invalid",
  });
});

test("a call can be answered once only", async () => {
  await using lab = await startTestLab();
  const { context } = await lab.ring();
  await client(lab).answerCall(context, `${lab.application.url}/callbacks`);
  const again = client(lab).answerCall(context, `${lab.application.url}/callbacks`);
  expect(await refusalOf(again)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a leg that fails while it is answered gives AnswerFailed and no call", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  leg.answerError = new Error("no ACK");
  const { callConnection } = await client(lab).answerCall(context, `${lab.application.url}/cb`);
  const { data } = await lab.application.event("AnswerFailed");
  expect(data["resultInformation"]).toEqual({ code: 500, subCode: 9999, message: "no ACK" });
  expect(await refusalOf(callConnection.getCallConnectionProperties())).toMatchObject({
    statusCode: 404,
    code: "8522",
  });
});

test.each([
  ["none", 603],
  ["busy", 486],
  ["forbidden", 403],
])("rejecting with %s refuses the leg with %i", async (callRejectReason, status) => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  await client(lab).rejectCall(context, { callRejectReason });
  expect(leg.rejected?.status).toBe(status);
});

test("rejecting an unknown call is refused with 400/8523", async () => {
  await using lab = await startTestLab();
  expect(await refusalOf(client(lab).rejectCall("nonsense"))).toMatchObject({ code: "8523" });
});

test("a call nobody subscribed to is refused with 404", async () => {
  await using lab = await startTestLab();
  lab.acs.unsubscribe("lab");
  const leg = lab.gateway.ring();
  expect(leg.rejected?.status).toBe(404);
});

test("hanging up a 1:1 call ends the leg and reports 200/7000", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  const { callConnection } = await client(lab).answerCall(context, `${lab.application.url}/cb`, {
    operationContext: "mine",
  });
  await lab.application.event("CallConnected");
  await callConnection.hangUp(false);
  const { data } = await lab.application.event("CallDisconnected");
  expect(leg.isEnded).toBe(true);
  expect(data).toMatchObject({
    operationContext: "mine",
    resultInformation: { code: 200, subCode: 7000 },
  });
});

test("terminating ends the call for everybody", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  const { callConnection } = await client(lab).answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  await callConnection.hangUp(true);
  await lab.application.event("CallDisconnected");
  expect(leg.isEnded).toBe(true);
  expect(await refusalOf(callConnection.hangUp(true))).toMatchObject({ statusCode: 404 });
  expect(await refusalOf(callConnection.hangUp(false))).toMatchObject({ statusCode: 404 });
});

test("a caller who hangs up gives CallDisconnected with 200/540000 and nothing after it", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  await client(lab).answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  await lab.application.event("ParticipantsUpdated");
  leg.end({ by: "peer", q850: { code: 16, message: "Normal call clearing" } });
  const { data } = await lab.application.event("CallDisconnected");
  expect(data["resultInformation"]).toEqual({
    code: 200,
    subCode: 540_000,
    message: "Call ended successfully by local PSTN caller.",
    q850Details: { code: 16, message: "Normal call clearing" },
  });
  expect(lab.application.eventTypes().at(-1)).toBe("CallDisconnected");
  expect(leg.listenerCount).toBe(0);
});

test("a request repeated with the same Repeatability-Request-ID is executed once", async () => {
  await using lab = await startTestLab();
  const { context } = await lab.ring();
  const ids: string[] = [];
  const repeat = {
    name: "repeat",
    sendRequest: async (request: never, next: (request: never) => Promise<unknown>) => {
      const first = await next(request);
      ids.push(JSON.stringify(first, ["status", "bodyAsText"]));
      const second = await next(request);
      ids.push(JSON.stringify(second, ["status", "bodyAsText"]));
      return second as never;
    },
  };
  const repeating = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    additionalPolicies: [{ position: "perRetry", policy: repeat }],
  } as object);
  await repeating.answerCall(context, `${lab.application.url}/cb`);
  expect(ids[0]).toContain('"status":200');
  expect(ids[1]).toBe(ids[0]);
  expect(lab.acs.calls).toHaveLength(1);
});

test("a call nobody answers is refused with 480 when its time is over", async () => {
  const clock = manualClock();
  await using lab = await startTestLab({ clock, policy: { ringTimeoutMs: 3000 } });
  const { leg, context } = await lab.ring();
  await clock.advance(3000);
  expect(leg.rejected).toEqual({ status: 480, reason: "Temporarily Unavailable" });
  const late = client(lab).answerCall(context, `${lab.application.url}/callbacks`);
  expect(await refusalOf(late)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a caller who gives up cannot be answered any more", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  leg.end();
  await leg.ended;
  const late = client(lab).answerCall(context, `${lab.application.url}/callbacks`);
  expect(await refusalOf(late)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a leg that does not answer its BYE does not hold up CallDisconnected", async () => {
  const clock = manualClock();
  await using lab = await startTestLab({ clock });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client(lab).answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  leg.hangUp = () => new Promise(() => {});
  await callConnection.hangUp(true);
  const again = await refusalOf(callConnection.hangUp(true));
  await clock.advance(500);
  const { data } = await lab.application.event("CallDisconnected");
  expect(again).toMatchObject({ statusCode: 400, code: "8528" });
  expect(data).toMatchObject({ resultInformation: { subCode: 7000 } });
  leg.hangUp = async () => {};
});
