import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { PstnRefusal } from "./pstn.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const CALLER = { phoneNumber: "+14255550100" };
const HUMAN = { phoneNumber: "+18005550150" };
const NOBODY = { phoneNumber: "+19995550199" };
const SERVICE = { phoneNumber: "+18005550100" };

async function connect(lab: TestLab, from = "+14255550100") {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const serial = lab.acs.calls.length;
  const { leg, context } = await lab.ring({ from });
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected", serial);
  const { callConnectionId } = await callConnection.getCallConnectionProperties();
  return { leg, callConnection, id: callConnectionId ?? "" };
}

/** A call with the caller, the human and the bot. */
async function connectThree(lab: TestLab) {
  const { leg, callConnection } = await connect(lab);
  await callConnection.addParticipant({ targetParticipant: HUMAN, sourceCallIdNumber: SERVICE });
  await lab.application.event("AddParticipantSucceeded");
  const human = lab.gateway.dialled[0]?.leg;
  if (human === undefined) throw new Error("the human was not dialled");
  return { leg, human, callConnection };
}

test("participants are listed page by page and found one by one", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connectThree(lab);
  const { values } = await callConnection.listParticipants();
  expect(values?.map(({ identifier }) => identifier)).toMatchObject([
    { communicationUserId: expect.stringMatching(/^8:acs:/) },
    CALLER,
    HUMAN,
  ]);
  const found = await callConnection.getParticipant(HUMAN);
  expect(found).toMatchObject({ identifier: HUMAN, isMuted: false, isOnHold: false });
});

test("more participants than a page holds come with a nextLink", async () => {
  await using lab = await startTestLab({ policy: { participantPageSize: 2 } });
  const { callConnection } = await connectThree(lab);
  const { values } = await callConnection.listParticipants();
  expect(values).toHaveLength(3);
  const pages = lab.trace.events.filter(
    (event) => event.type === "http" && event.target.includes("/participants?"),
  );
  expect(pages).toHaveLength(2);
});

test("somebody who is not in the call is not found", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const notFound = { statusCode: 404, code: "8522", message: "Participant not found." };
  expect(await refusalOf(callConnection.getParticipant(NOBODY))).toEqual(notFound);
  expect(await refusalOf(callConnection.removeParticipant(NOBODY))).toEqual(notFound);
  expect(await refusalOf(callConnection.muteParticipant(NOBODY))).toEqual(notFound);
});

test("the participants of an unknown call are not found", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(await refusalOf(callConnection.listParticipants())).toMatchObject({
    statusCode: 404,
    message: "Call not found.",
  });
});

test("an added participant is called with its custom headers and reported", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const result = await callConnection.addParticipant(
    {
      targetParticipant: HUMAN,
      sourceCallIdNumber: SERVICE,
      customCallingContext: [{ kind: "sipx", key: "Reason", value: "billing" }],
    },
    { operationContext: "add", invitationTimeoutInSeconds: 30 },
  );
  expect(result).toMatchObject({
    participant: { identifier: HUMAN },
    operationContext: "add",
    invitationId: expect.stringMatching(/^[\da-f-]{36}$/),
  });
  const { data } = await lab.application.event("AddParticipantSucceeded");
  expect(data).toMatchObject({
    operationContext: "add",
    participant: { rawId: "4:+18005550150" },
    resultInformation: { code: 200, subCode: 0 },
  });
  expect(lab.gateway.dialled[0]).toMatchObject({
    to: "+18005550150",
    options: { from: "+18005550100", sipHeaders: { "X-MS-Custom-Reason": "billing" } },
  });
  const updated = await lab.application.event("ParticipantsUpdated", 1);
  expect(updated.data["participants"]).toHaveLength(3);
  expect(Number(updated.data["sequenceNumber"])).toBeGreaterThan(1);
});

test("a participant who refuses gives AddParticipantFailed", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  lab.gateway.onDial = () => new PstnRefusal("Busy Here", { code: 486, subCode: 560_486 });
  await callConnection.addParticipant({ targetParticipant: HUMAN, sourceCallIdNumber: SERVICE });
  const { data } = await lab.application.event("AddParticipantFailed");
  expect(data).toMatchObject({
    participant: { rawId: "4:+18005550150" },
    resultInformation: { code: 486, subCode: 560_486, message: "Busy Here" },
  });
});

test("a telephone cannot be added without a caller id, nor somebody twice", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const anonymous = callConnection.addParticipant({ targetParticipant: HUMAN });
  expect(await refusalOf(anonymous)).toMatchObject({ statusCode: 400, code: "8523" });
  const twice = callConnection.addParticipant({
    targetParticipant: CALLER,
    sourceCallIdNumber: SERVICE,
  });
  expect(await refusalOf(twice)).toMatchObject({ statusCode: 409, code: "8519" });
});

test("somebody who rings already is not invited again", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const { promise: ringing, resolve: pickUp } = Promise.withResolvers<void>();
  lab.gateway.onDial = () => ringing;
  const invitation = { targetParticipant: HUMAN, sourceCallIdNumber: SERVICE };
  await callConnection.addParticipant(invitation);
  const again = callConnection.addParticipant(invitation);
  expect(await refusalOf(again)).toMatchObject({ statusCode: 409, code: "8519" });
  pickUp();
  await lab.application.event("AddParticipantSucceeded");
  expect(lab.gateway.dialled).toHaveLength(1);
});

test("an invitation can be cancelled while it rings, and not after", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  lab.gateway.onDial = (_to, signal) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const { invitationId } = await callConnection.addParticipant({
    targetParticipant: HUMAN,
    sourceCallIdNumber: SERVICE,
  });
  await callConnection.cancelAddParticipantOperation(invitationId ?? "", {
    operationContext: "cancel",
  });
  const { data } = await lab.application.event("CancelAddParticipantSucceeded");
  expect(data).toMatchObject({ invitationId, operationContext: "cancel" });
  await callConnection.cancelAddParticipantOperation(invitationId ?? "");
  const failed = await lab.application.event("CancelAddParticipantFailed");
  expect(failed.data).toMatchObject({ invitationId, resultInformation: { code: 404 } });
  expect(lab.application.eventTypes()).not.toContain("AddParticipantFailed");
});

test("a removed participant leaves and the others stay", async () => {
  await using lab = await startTestLab();
  const { human, callConnection } = await connectThree(lab);
  const { operationContext } = await callConnection.removeParticipant(HUMAN, {
    operationContext: "out",
  });
  expect(operationContext).toBe("out");
  const { data } = await lab.application.event("RemoveParticipantSucceeded");
  expect(data).toMatchObject({ participant: { rawId: "4:+18005550150" } });
  const updated = await lab.application.event("ParticipantsUpdated", 2);
  expect(updated.data["participants"]).toHaveLength(2);
  expect(human.isEnded).toBe(true);
});

/** A call with the caller and two applications. */
async function connectTwice(lab: TestLab) {
  const { leg, callConnection } = await connect(lab);
  const { serverCallId = "" } = await callConnection.getCallConnectionProperties();
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const locator = { kind: "serverCallLocator", id: serverCallId } as const;
  const second = await client.connectCall(locator, `${lab.application.url}/second`);
  await lab.application.event("CallConnected", 1);
  const { source } = second.callConnectionProperties;
  if (source === undefined) throw new Error("the second application has no identity");
  return { leg, callConnection, bot: source };
}

test("a removed application loses its own connection, not that of whoever removed it", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection, bot } = await connectTwice(lab);
  await callConnection.removeParticipant(bot);
  const ended = await lab.application.event("CallDisconnected");
  const removed = await lab.application.event("RemoveParticipantSucceeded");
  const { values } = await callConnection.listParticipants();
  expect([ended.path, removed.path]).toEqual(["/second", "/cb"]);
  expect(values).toHaveLength(2);
  expect(leg.isEnded).toBe(false);
});

test("a removed telephone is hung up though two applications stay behind", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connectTwice(lab);
  await callConnection.removeParticipant(CALLER);
  const { data } = await lab.application.event("RemoveParticipantSucceeded");
  expect(data).toMatchObject({ participant: { rawId: "4:+14255550100" } });
  expect(leg.isEnded).toBe(true);
});

test("removing one of the last two ends the call and nothing else is said", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await connect(lab);
  await callConnection.removeParticipant(CALLER);
  await lab.application.event("CallDisconnected");
  expect(leg.isEnded).toBe(true);
  expect(lab.application.eventTypes()).not.toContain("RemoveParticipantSucceeded");
});

test("a muted participant is shown as muted and heard by nobody", async () => {
  await using lab = await startTestLab();
  const { leg, human, callConnection } = await connectThree(lab);
  const heard = (value: number) => () =>
    human.written.some(({ samples }) => samples[0] === value) || undefined;
  human.onWritten = () => lab.application.poke();
  leg.speak(new Int16Array(160).fill(7));
  await lab.application.until(heard(7), "the caller at the human's ear");
  await callConnection.muteParticipant(CALLER, { operationContext: "quiet" });
  const { data } = await lab.application.event("ParticipantsUpdated", 2);
  expect(data["participants"]).toContainEqual({
    identifier: expect.objectContaining({ rawId: "4:+14255550100" }),
    isMuted: true,
    isOnHold: false,
  });
  leg.speak(new Int16Array(160).fill(9));
  await lab.application.until(heard(0), "silence at the human's ear");
  expect(heard(9)()).toBeUndefined();
});

test("a participant moves to another call, which ends the one it left", async () => {
  await using lab = await startTestLab();
  const first = await connect(lab);
  const second = await connect(lab, "+14255550101");
  const result = await first.callConnection.moveParticipants(
    [{ phoneNumber: "+14255550101" }],
    second.id,
    { operationContext: "join" },
  );
  expect(result).toMatchObject({ operationContext: "join", fromCall: second.id });
  const moved = await lab.application.event("MoveParticipantSucceeded");
  expect(moved.data).toMatchObject({
    callConnectionId: first.id,
    participant: { rawId: "4:+14255550101" },
    fromCall: second.id,
  });
  const ended = await lab.application.event("CallDisconnected");
  expect(ended.data["callConnectionId"]).toBe(second.id);
  const { values } = await first.callConnection.listParticipants();
  expect(values).toHaveLength(3);
});

test("nobody moves to where one of the same name is", async () => {
  await using lab = await startTestLab();
  const first = await connect(lab);
  const second = await connect(lab);
  await first.callConnection.moveParticipants([CALLER], second.id);
  const { data } = await lab.application.event("MoveParticipantFailed");
  expect(data).toMatchObject({ callConnectionId: first.id, fromCall: second.id });
  const left = await second.callConnection.listParticipants();
  expect(left.values).toHaveLength(2);
});

test("moving from an unknown call, or somebody who is not there, is refused", async () => {
  await using lab = await startTestLab();
  const { callConnection, id } = await connect(lab);
  const other = await connect(lab, "+14255550101");
  const notFound = { statusCode: 404, code: "8522" };
  const unknown = callConnection.moveParticipants([CALLER], "nowhere");
  expect(await refusalOf(unknown)).toMatchObject(notFound);
  expect(await refusalOf(callConnection.moveParticipants([NOBODY], other.id))).toMatchObject(
    notFound,
  );
  const self = callConnection.moveParticipants([CALLER], id);
  expect(await refusalOf(self)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a removed participant's own hang-up is not taken for a caller's", async () => {
  await using lab = await startTestLab();
  const { human, callConnection } = await connectThree(lab);
  const { promise: slowly, resolve } = Promise.withResolvers<void>();
  human.hangUp = async () => {
    human.end({ by: "local" });
    await slowly;
  };
  await callConnection.removeParticipant(HUMAN);
  setImmediate(resolve);
  await lab.application.event("RemoveParticipantSucceeded");
  await lab.application.event("ParticipantsUpdated", 2);
  const updates = lab.application.eventTypes().filter((type) => type === "ParticipantsUpdated");
  expect(updates).toHaveLength(3);
});
