import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { PstnRefusal } from "./pstn.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const CUSTOMER = { phoneNumber: "+14255550100" };
const COLLEAGUE = { phoneNumber: "+14255550177" };
const SERVICE = { phoneNumber: "+18005550100" };
const USER = { communicationUserId: "8:acs:5ac0de00-0000-4000-8000-000000000001_agent-b" };

const client = (lab: TestLab, options: object = {}) =>
  new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
    ...options,
  });
const callbacks = (lab: TestLab, name = "callbacks") => `${lab.application.url}/${name}`;
const invite = { targetParticipant: CUSTOMER, sourceCallIdNumber: SERVICE };

test("a created call rings the telephone with the source's number and becomes connected", async () => {
  await using lab = await startTestLab();
  const { callConnectionProperties, callConnection } = await client(lab).createCall(
    { ...invite, sourceDisplayName: "Bot" },
    callbacks(lab),
    { operationContext: "outbound" },
  );
  expect(callConnectionProperties).toMatchObject({
    callConnectionState: "connecting",
    sourceDisplayName: "Bot",
    targetParticipants: [{ phoneNumber: "+14255550100" }],
  });
  expect(callConnectionProperties.serverCallId).toBeUndefined();
  const { data } = await lab.application.event("CallConnected");
  expect(data["operationContext"]).toBe("outbound");
  expect(lab.gateway.dialled).toMatchObject([
    { to: "+14255550100", options: { from: "+18005550100" } },
  ]);
  const connected = await callConnection.getCallConnectionProperties();
  expect(connected).toMatchObject({
    callConnectionState: "connected",
    serverCallId: expect.any(String),
  });
});

test("a refused call gives CreateCallFailed and CallDisconnected with the same result", async () => {
  await using lab = await startTestLab();
  lab.gateway.onDial = () =>
    new PstnRefusal("Decline. DiagCode: 603#0.@", {
      code: 603,
      subCode: 560_603,
      sip: { code: 603, message: "Decline" },
    });
  await client(lab).createCall(invite, callbacks(lab), { operationContext: "outbound" });
  const failed = await lab.application.event("CreateCallFailed");
  const ended = await lab.application.event("CallDisconnected");
  const resultInformation = {
    code: 603,
    subCode: 560_603,
    message: "Decline. DiagCode: 603#0.@",
    sipDetails: { code: 603, message: "Decline" },
  };
  expect(failed.data).toMatchObject({ resultInformation });
  expect(failed.data).not.toHaveProperty("operationContext");
  expect(ended.data).toMatchObject({ resultInformation, operationContext: "outbound" });
});

test("a call to a telephone without a caller id is refused with 400/8523", async () => {
  await using lab = await startTestLab();
  const attempt = client(lab).createCall({ targetParticipant: CUSTOMER }, callbacks(lab));
  expect(await refusalOf(attempt)).toEqual({
    statusCode: 400,
    code: "8523",
    message: "The field SourceCallerIdNumber is invalid",
  });
});

test("hanging up while it rings cancels the call", async () => {
  await using lab = await startTestLab();
  const { promise, reject } = Promise.withResolvers<void>();
  lab.gateway.onDial = (_to, signal) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    return promise;
  };
  const { callConnection } = await client(lab).createCall(invite, callbacks(lab));
  await callConnection.hangUp(true);
  const { data } = await lab.application.event("CallDisconnected");
  expect(data).toMatchObject({ resultInformation: { subCode: 7000 } });
  await expect(promise).rejects.toBeDefined();
});

test("a group call connects with the first answer and goes on without those who refuse", async () => {
  await using lab = await startTestLab();
  lab.gateway.onDial = (to) =>
    to === COLLEAGUE.phoneNumber
      ? new PstnRefusal("Busy Here", { code: 486, subCode: 560_486 })
      : undefined;
  const { callConnection } = await client(lab).createGroupCall(
    [CUSTOMER, COLLEAGUE, { phoneNumber: "+14255550178" }],
    callbacks(lab),
    { sourceCallIdNumber: SERVICE },
  );
  await lab.application.event("CallConnected");
  const { values } = await callConnection.listParticipants();
  expect(values?.map(({ identifier }) => identifier)).toMatchObject([
    { communicationUserId: expect.stringMatching(/^8:acs:/) },
    { phoneNumber: "+14255550100" },
    { phoneNumber: "+14255550178" },
  ]);
});

test.each([
  ["without targets", []],
  ["with one target twice", [CUSTOMER, COLLEAGUE, CUSTOMER]],
])("a group call %s is refused with 400/8523", async (_, targets) => {
  await using lab = await startTestLab();
  const options = { sourceCallIdNumber: SERVICE };
  const attempt = client(lab).createGroupCall(targets, callbacks(lab), options);
  expect(lab.gateway.dialled).toEqual([]);
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("two applications talk to each other, and each learns that the other hung up", async () => {
  await using lab = await startTestLab();
  const source = { communicationUserId: "8:acs:5ac0de00-0000-4000-8000-000000000001_agent-a" };
  const first = client(lab, { sourceIdentity: source });
  await first.createCall({ targetParticipant: USER }, callbacks(lab, "a"));
  const { data } = await lab.application.event("IncomingCall");
  expect(data).toMatchObject({
    from: { kind: "communicationUser", communicationUser: { id: source.communicationUserId } },
    to: { rawId: USER.communicationUserId },
  });
  const context = String(data["incomingCallContext"]);
  const answered = await client(lab).answerCall(context, callbacks(lab, "b"));
  await lab.application.event("CallConnected", 1);
  await answered.callConnection.hangUp(false);
  await lab.application.event("CallDisconnected", 1);
  const ends = lab.application.events.filter(({ type }) => type === "CallDisconnected");
  const results = Object.fromEntries(
    ends.map(({ path, data: end }) => [path, end["resultInformation"]]),
  );
  expect(results).toMatchObject({ "/b": { subCode: 7000 }, "/a": { subCode: 5001 } });
  const ids = new Set(ends.map(({ data: end }) => end["correlationId"]));
  expect(ids.size).toBe(1);
});

test("an application that rejects a call gives its caller 603", async () => {
  await using lab = await startTestLab();
  await client(lab).createCall({ targetParticipant: USER }, callbacks(lab));
  const { data } = await lab.application.event("IncomingCall");
  await client(lab).rejectCall(String(data["incomingCallContext"]));
  const failed = await lab.application.event("CreateCallFailed");
  expect(failed.data["resultInformation"]).toEqual({
    code: 603,
    subCode: 0,
    message: "Decline. DiagCode: 603#0.@",
  });
});

test("a redirected caller is joined with the target and leaves the application's sight", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  await client(lab).redirectCall(context, { targetParticipant: COLLEAGUE });
  const { leg: other, options } = await answeredDial(lab);
  expect(options.from).toBe("+14255550100");
  expect(options.redirectedFrom).toEqual({ number: "+18005550100" });
  const heard = Promise.withResolvers<void>();
  other.onWritten = heard.resolve;
  await until(() => leg.isAnswered);
  leg.speak(new Int16Array(160).fill(5));
  await heard.promise;
  expect(other.written[0]?.samples).toEqual(new Int16Array(160).fill(5));
  leg.end();
  await until(() => other.isEnded);
});

test("redirecting an unknown call is refused with 400/8523", async () => {
  await using lab = await startTestLab();
  const attempt = client(lab).redirectCall("nonsense", { targetParticipant: COLLEAGUE });
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a redirect nobody answers refuses the caller", async () => {
  await using lab = await startTestLab();
  lab.gateway.onDial = () => new PstnRefusal("Busy Here", { code: 486, subCode: 560_486 });
  const { leg, context } = await lab.ring();
  await client(lab).redirectCall(context, { targetParticipant: COLLEAGUE });
  await until(() => leg.rejected);
  expect(leg.rejected?.status).toBe(480);
});

test("a second application connects to a running call by its serverCallId", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  await client(lab).answerCall(context, callbacks(lab, "a"));
  const { data } = await lab.application.event("CallConnected");
  const second = await client(lab).connectCall(
    { kind: "serverCallLocator", id: String(data["serverCallId"]) },
    callbacks(lab, "b"),
  );
  expect(second.callConnectionProperties.callConnectionState).toBe("connecting");
  const connected = await lab.application.event("CallConnected", 1);
  expect(connected).toMatchObject({ path: "/b", data: { serverCallId: data["serverCallId"] } });
  leg.end();
  await lab.application.event("CallDisconnected", 1);
});

test("a room can be connected to, an unknown call cannot", async () => {
  await using lab = await startTestLab();
  await client(lab).connectCall({ kind: "roomCallLocator", id: "99" }, callbacks(lab));
  await lab.application.event("CallConnected");
  const attempt = client(lab).connectCall(
    { kind: "serverCallLocator", id: "aHR0cHM6Ly94" },
    callbacks(lab),
  );
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 404, code: "8522" });
});

test("a connection may fail by a fault", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.fail-connect" });
  await client(lab).connectCall({ kind: "groupCallLocator", id: "7" }, callbacks(lab));
  const { data } = await lab.application.event("ConnectFailed");
  expect(data).toMatchObject({ resultInformation: { code: 500 } });
});

async function answeredDial(lab: TestLab) {
  await until(() => lab.gateway.dialled[0]);
  const [dialled] = lab.gateway.dialled;
  if (dialled === undefined) throw new Error("nothing was dialled");
  return dialled;
}

/** Waits, turn by turn of the event loop, for something that needs no time. */
async function until(isReached: () => unknown): Promise<void> {
  for (let turn = 0; turn < 10_000 && !isReached(); turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isReached()).toBeTruthy();
}
