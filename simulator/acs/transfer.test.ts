import { CallAutomationClient, type CallConnection } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { PstnRefusal } from "./pstn.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const COLLEAGUE = { phoneNumber: "+14255550177" };
const CALLER = { phoneNumber: "+14255550100" };
const HUMAN = { phoneNumber: "+18005550150" };

async function connect(lab: TestLab, { from = CALLER.phoneNumber, nth = 0 } = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring({ from });
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/callbacks`);
  await lab.application.event("CallConnected", nth);
  return { leg, callConnection };
}

const summary = (callConnection: CallConnection, value: string) =>
  callConnection.transferCallToParticipant(HUMAN, {
    customCallingContext: [{ kind: "sipx", key: "AI-Summary", value, sipHeaderPrefix: "X-" }],
  });

test("a caller id that is no number is refused, and never reaches the leg", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const sourceCallIdNumber = { phoneNumber: "+1\r\nX-Evil: 1" };
  const attempt = callConnection.transferCallToParticipant(HUMAN, { sourceCallIdNumber });
  expect(await refusalOf(attempt)).toEqual({
    statusCode: 400,
    code: "8523",
    message: "The field SourceCallerIdNumber is invalid",
  });
  expect(leg.transfers).toEqual([]);
});

test("a transfer carries its headers to the leg and is reported before the call ends", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const result = await callConnection.transferCallToParticipant(HUMAN, {
    operationContext: "hand-over",
    customCallingContext: [
      {
        kind: "sipx",
        key: "AI-Summary",
        value: "dispute%20over%20INV-2207",
        sipHeaderPrefix: "X-",
      },
      { kind: "sipx", key: "Queue", value: "billing" },
      { kind: "sipuui", key: "ignored", value: "616263;encoding=hex" },
    ],
  });
  expect(result.operationContext).toBe("hand-over");
  const accepted = await lab.application.event("CallTransferAccepted");
  const ended = await lab.application.event("CallDisconnected");
  expect(leg.transfers).toEqual([
    {
      target: "+18005550150",
      options: {
        sipHeaders: {
          "X-AI-Summary": "dispute%20over%20INV-2207",
          "X-MS-Custom-Queue": "billing",
          "User-To-User": "616263;encoding=hex",
        },
        signal: expect.any(AbortSignal),
      },
    },
  ]);
  expect(accepted.data).toMatchObject({
    operationContext: "hand-over",
    transferTarget: { rawId: "4:+18005550150" },
    transferee: { rawId: "4:+14255550100" },
    resultInformation: { code: 200, subCode: 0 },
  });
  expect(ended.data).toMatchObject({ resultInformation: { code: 200, subCode: 7000 } });
});

test("a refused transfer leaves the call up and names the SBC's answer", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  leg.onTransfer = () =>
    Promise.reject(
      new PstnRefusal("Busy Here", {
        code: 486,
        subCode: 560_486,
        sip: { code: 486, message: "Busy Here" },
        q850: { code: 17, message: "User busy" },
      }),
    );
  await callConnection.transferCallToParticipant(HUMAN, { operationContext: "hand-over" });
  const { data } = await lab.application.event("CallTransferFailed");
  expect(data).toMatchObject({
    operationContext: "hand-over",
    resultInformation: {
      code: 486,
      subCode: 560_486,
      sipDetails: { code: 486, message: "Busy Here" },
      q850Details: { code: 17, message: "User busy" },
    },
  });
  const { callConnectionState } = await callConnection.getCallConnectionProperties();
  expect(callConnectionState).toBe("connected");
});

test("a second transfer while one is pending is refused with 409/8607", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const { promise, resolve } = Promise.withResolvers<void>();
  leg.onTransfer = () => promise;
  await callConnection.transferCallToParticipant(HUMAN);
  const second = await refusalOf(callConnection.transferCallToParticipant(HUMAN));
  const { callConnectionState } = await callConnection.getCallConnectionProperties();
  resolve();
  expect(second).toMatchObject({ statusCode: 409, code: "8607" });
  expect(callConnectionState).toBe("transferring");
  await lab.application.event("CallTransferAccepted");
});

test("the outcome goes to the operation's own callback address", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  await callConnection.transferCallToParticipant(HUMAN, {
    operationCallbackUrl: `${lab.application.url}/transfers?secret=s`,
  });
  const { path } = await lab.application.event("CallTransferAccepted");
  expect(path).toBe("/transfers?secret=s");
});

test.each([
  ["a space", "Customer is angry", /X-AI-Summary.*" "/],
  ["more than 256 characters", "a".repeat(257), /X-AI-Summary.*257.*256/],
])("a header value with %s is refused by name", async (_what, value, message) => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const refused = await refusalOf(summary(callConnection, value));
  expect(refused).toMatchObject({ statusCode: 400, code: "8523" });
  expect(refused.message).toMatch(message);
  expect(leg.transfers).toEqual([]);
  expect(lab.trace.events).toContainEqual(
    expect.objectContaining({ type: "error", code: "ACS_CUSTOM_HEADER" }),
  );
});

test("six custom headers are one too many", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const six = [1, 2, 3, 4, 5, 6].map((n) => ({ kind: "sipx", key: `H${n}`, value: "v" }) as const);
  const attempt = callConnection.transferCallToParticipant(HUMAN, { customCallingContext: six });
  expect((await refusalOf(attempt)).message).toMatch(/6 custom headers.*5/);
});

test("a policy may cut values instead, and nothing lets a line break through", async () => {
  await using lab = await startTestLab({ policy: { customHeaders: "truncate" } });
  const { leg, callConnection } = await connect(lab);
  const attempt = summary(callConnection, "x\r\nX-Evil: 1");
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 400, code: "8523" });
  await summary(callConnection, "a".repeat(300));
  await lab.application.event("CallTransferAccepted");
  expect(leg.transfers[0]?.options.sipHeaders).toEqual({ "X-AI-Summary": "a".repeat(256) });
});

test("a transfer of a call that is gone is refused with 404/8522", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  leg.end();
  await lab.application.event("CallDisconnected");
  const attempt = callConnection.transferCallToParticipant(HUMAN);
  expect(await refusalOf(attempt)).toEqual({
    statusCode: 404,
    code: "8522",
    message: "Call not found.",
  });
});

test("a fault makes a failed transfer end the call", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  leg.onTransfer = () =>
    Promise.reject(new PstnRefusal("Decline", { code: 603, subCode: 560_603 }));
  lab.faults.add({ name: "acs.drop-failed-transfer" });
  await callConnection.transferCallToParticipant(HUMAN);
  await lab.application.event("CallTransferFailed");
  const { data } = await lab.application.event("CallDisconnected");
  expect(data).toMatchObject({ resultInformation: { code: 603 } });
});

test("a caller is transferred to another application with VoIP headers, and stays connected to it", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const other = { communicationUserId: "8:acs:5ac0de00-0000-4000-8000-000000000001_other" };
  await callConnection.transferCallToParticipant(other, {
    customCallingContext: [{ kind: "voip", key: "reason", value: "billing, urgent" }],
  });
  const { data } = await lab.application.event("IncomingCall", 1);
  expect(data).toMatchObject({
    from: { rawId: "4:+14255550100" },
    to: { rawId: other.communicationUserId },
    customContext: { voipHeaders: { reason: "billing, urgent" } },
  });
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  const context = String(data["incomingCallContext"]);
  const answered = await client.answerCall(context, `${lab.application.url}/other`);
  await lab.application.event("CallTransferAccepted");
  const first = await lab.application.event("CallDisconnected");
  expect(first.path).toBe("/callbacks");
  expect(leg.isEnded).toBe(false);
  await answered.callConnection.hangUp(true);
  await lab.application.event("CallDisconnected", 1);
  expect(leg.isEnded).toBe(true);
});

test("an application that rejects a transferred caller gives CallTransferFailed", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  await callConnection.transferCallToParticipant({ communicationUserId: "8:acs:a_b" });
  const { data } = await lab.application.event("IncomingCall", 1);
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  await client.rejectCall(String(data["incomingCallContext"]), { callRejectReason: "busy" });
  const failed = await lab.application.event("CallTransferFailed");
  expect(failed.data).toMatchObject({ resultInformation: { code: 486 } });
});

test("in a group call the one who is named moves and the others stay", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const sourceCallIdNumber = { phoneNumber: "+18005550100" };
  await callConnection.addParticipant({ targetParticipant: COLLEAGUE, sourceCallIdNumber });
  await lab.application.event("AddParticipantSucceeded");
  expect(await refusalOf(callConnection.transferCallToParticipant(HUMAN))).toMatchObject({
    statusCode: 400,
    message: "The field Transferee is invalid",
  });
  await callConnection.transferCallToParticipant(HUMAN, { transferee: COLLEAGUE });
  const { data } = await lab.application.event("CallTransferAccepted");
  expect(data).toMatchObject({ transferee: { rawId: "4:+14255550177" } });
  const updated = await lab.application.event("ParticipantsUpdated", 2);
  expect(updated.data["participants"]).toHaveLength(2);
  const { callConnectionState } = await callConnection.getCallConnectionProperties();
  expect([callConnectionState, leg.isEnded]).toEqual(["connected", false]);
});

/** A transfer of the caller that is under way, with two applications in the call. */
async function connectTwo(lab: TestLab) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, callConnection } = await connect(lab);
  const { serverCallId = "" } = await callConnection.getCallConnectionProperties();
  const locator = { kind: "serverCallLocator", id: serverCallId } as const;
  const second = await client.connectCall(locator, `${lab.application.url}/second`);
  await lab.application.event("CallConnected", 1);
  const { promise, resolve } = Promise.withResolvers<void>();
  leg.onTransfer = () => promise;
  await callConnection.transferCallToParticipant(HUMAN, { transferee: CALLER });
  return { callConnection, second: second.callConnection, accept: resolve };
}

test("another application can neither transfer nor move who is being transferred", async () => {
  await using lab = await startTestLab();
  const { callConnection, second, accept } = await connectTwo(lab);
  const elsewhere = await connect(lab, { from: COLLEAGUE.phoneNumber, nth: 2 });
  const { callConnectionId = "" } = await callConnection.getCallConnectionProperties();
  const pending = { statusCode: 409, code: "8607" };
  const transfer = second.transferCallToParticipant(HUMAN, { transferee: CALLER });
  expect(await refusalOf(transfer)).toMatchObject(pending);
  const move = elsewhere.callConnection.moveParticipants([CALLER], callConnectionId);
  expect(await refusalOf(move)).toMatchObject(pending);
  accept();
  await lab.application.event("CallTransferAccepted");
});

test("who was not transferred after all can be moved", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  const elsewhere = await connect(lab, { from: COLLEAGUE.phoneNumber, nth: 1 });
  leg.onTransfer = () =>
    Promise.reject(new PstnRefusal("Decline", { code: 603, subCode: 560_603 }));
  await callConnection.transferCallToParticipant(HUMAN);
  await lab.application.event("CallTransferFailed");
  const { callConnectionId = "" } = await callConnection.getCallConnectionProperties();
  await elsewhere.callConnection.moveParticipants([CALLER], callConnectionId);
  const { data } = await lab.application.event("MoveParticipantSucceeded");
  expect(data["participant"]).toMatchObject({ rawId: "4:+14255550100" });
});

test("a transfer accepted after its application left takes the caller out for the others", async () => {
  await using lab = await startTestLab();
  const { callConnection, accept } = await connectTwo(lab);
  await callConnection.hangUp(false);
  await lab.application.event("CallDisconnected");
  accept();
  const { path } = await lab.application.event("CallDisconnected", 1);
  expect(path).toBe("/second");
});
