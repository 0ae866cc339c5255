import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, onTestFinished, test, vi } from "vitest";
import { PstnRefusal } from "./pstn.ts";
import { Switchboard } from "./switchboard.ts";
import { sendSigned } from "./testing/hostile.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";

const HUMAN = { phoneNumber: "+18005550150" };
const COLLEAGUE = { phoneNumber: "+14255550177" };
const SERVICE = { phoneNumber: "+18005550100" };

const client = (lab: TestLab) =>
  new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
const callbacks = (lab: TestLab) => `${lab.application.url}/cb`;

async function answer(lab: TestLab) {
  const { leg, context } = await lab.ring();
  const { callConnection } = await client(lab).answerCall(context, callbacks(lab));
  await lab.application.event("CallConnected");
  return { leg, callConnection };
}

/** Holds back the end of a leg until released, as a BYE that is answered late. */
function slowly(leg: { hangUp: () => Promise<void> }): Disposable {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hangUp = leg.hangUp.bind(leg);
  leg.hangUp = async () => {
    await promise;
    await hangUp();
  };
  return { [Symbol.dispose]: resolve };
}

/** Whoever is dialled rings until picked up. */
function ringing(lab: TestLab, numbers: readonly string[]): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  lab.gateway.onDial = (to) => (numbers.includes(to) ? promise : undefined);
  return resolve;
}

/** Turn by turn of the event loop, for what needs no time. */
async function until(isReached: () => unknown): Promise<void> {
  for (let turn = 0; turn < 10_000 && !isReached(); turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isReached()).toBeTruthy();
}

test("somebody invited who answers while the call ends is hung up and not reported", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await answer(lab);
  const pickUp = ringing(lab, [HUMAN.phoneNumber]);
  await callConnection.addParticipant({ targetParticipant: HUMAN, sourceCallIdNumber: SERVICE });
  using hangingUp = slowly(leg);
  await callConnection.hangUp(true);
  pickUp();
  await until(() => lab.gateway.dialled[0]?.leg.isEnded);
  hangingUp[Symbol.dispose]();
  await lab.application.event("CallDisconnected");
  expect(lab.application.eventTypes()).not.toContain("AddParticipantSucceeded");
});

test("who answers a group call while it ends is hung up", async () => {
  await using lab = await startTestLab();
  const pickUp = ringing(lab, [COLLEAGUE.phoneNumber]);
  const { callConnection } = await client(lab).createGroupCall([HUMAN, COLLEAGUE], callbacks(lab), {
    sourceCallIdNumber: SERVICE,
  });
  await lab.application.event("CallConnected");
  const [first, second] = lab.gateway.dialled.map((dialled) => dialled.leg);
  if (first === undefined) throw new Error("nobody was dialled");
  using hangingUp = slowly(first);
  await callConnection.hangUp(true);
  pickUp();
  await until(() => second?.isEnded);
  hangingUp[Symbol.dispose]();
  await lab.application.event("CallDisconnected");
  expect(lab.application.eventTypes().filter((type) => type === "CallConnected")).toHaveLength(1);
});

test("a caller redirected to somebody who hangs up before the answer is through is hung up", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  const { promise: answered, resolve: acknowledge } = Promise.withResolvers<void>();
  leg.answer = () => {
    leg.isAnswered = true;
    return answered;
  };
  await client(lab).redirectCall(context, { targetParticipant: COLLEAGUE });
  await until(() => leg.isAnswered);
  lab.gateway.dialled[0]?.leg.end();
  await new Promise((resolve) => setImmediate(resolve));
  acknowledge();
  await until(() => leg.isEnded);
  expect(leg.listenerCount).toBe(0);
});

test("nobody connects to a call that ends", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await answer(lab);
  const { serverCallId = "" } = await callConnection.getCallConnectionProperties();
  using hangingUp = slowly(leg);
  await callConnection.hangUp(true);
  const attempt = client(lab).connectCall(
    { kind: "serverCallLocator", id: serverCallId },
    callbacks(lab),
  );
  await expect(attempt).rejects.toMatchObject({ statusCode: 400, code: "8528" });
  hangingUp[Symbol.dispose]();
  await lab.application.event("CallDisconnected");
  expect(lab.acs.calls.filter(({ isOver }) => !isOver)).toEqual([]);
});

test("a redirect that failed leaves nothing behind", async () => {
  await using lab = await startTestLab();
  lab.gateway.onDial = () => new PstnRefusal("Busy Here", { code: 486, subCode: 560_486 });
  const { leg, context } = await lab.ring();
  const serverCallId = String(lab.acs.incomingCalls[0]?.["serverCallId"]);
  await client(lab).redirectCall(context, { targetParticipant: COLLEAGUE });
  await until(() => leg.rejected);
  await new Promise((resolve) => setImmediate(resolve));
  const attempt = client(lab).connectCall(
    { kind: "serverCallLocator", id: serverCallId },
    callbacks(lab),
  );
  await expect(attempt).rejects.toMatchObject({ statusCode: 404, code: "8522" });
});

/** How many conversations were made since. */
function conversationsMade(): () => number {
  const made = vi.spyOn(Switchboard.prototype, "newConversation");
  onTestFinished(() => made.mockRestore());
  return () => made.mock.calls.length;
}

const ROOM = { kind: "roomCallLocator", id: "99" } as const;
const INVITE = { targetParticipant: HUMAN, sourceCallIdNumber: SERVICE };

test.each([
  ["create", (lab: TestLab) => client(lab).createCall(INVITE, callbacks(lab))],
  ["connect", (lab: TestLab) => client(lab).connectCall(ROOM, callbacks(lab))],
])("a %s that is throttled makes no conversation", async (_what, attempt) => {
  await using lab = await startTestLab({ policy: { callLimit: 0 } });
  const made = conversationsMade();
  await expect(attempt(lab)).rejects.toMatchObject({ statusCode: 429, code: "8516" });
  expect(made()).toBe(0);
});

test("a call that is refused for its display name makes no conversation", async () => {
  await using lab = await startTestLab();
  const made = conversationsMade();
  const body = JSON.stringify({
    callbackUri: callbacks(lab),
    targets: [{ rawId: "4:+18005550150" }],
    sourceCallerIdNumber: { value: SERVICE.phoneNumber },
    sourceDisplayName: 7,
  });
  const target = "/calling/callConnections?api-version=2026-03-12";
  const status = await sendSigned(lab, { method: "POST", target, body });
  expect([status, made()]).toEqual([400, 0]);
});

test("recording a room without a call finds none and makes none", async () => {
  await using lab = await startTestLab();
  const made = conversationsMade();
  const attempt = client(lab).getCallRecording().start({ callLocator: ROOM });
  await expect(attempt).rejects.toMatchObject({ statusCode: 404, code: "8522" });
  expect(made()).toBe(0);
});

test("who connects to a room while its call ends gets a call of its own", async () => {
  await using lab = await startTestLab();
  const first = await client(lab).connectCall(ROOM, callbacks(lab));
  await lab.application.event("CallConnected");
  await first.callConnection.addParticipant(INVITE);
  await lab.application.event("AddParticipantSucceeded");
  const leg = lab.gateway.dialled[0]?.leg;
  if (leg === undefined) throw new Error("nobody was dialled");
  using hangingUp = slowly(leg);
  await first.callConnection.hangUp(true);
  const second = await client(lab).connectCall(ROOM, callbacks(lab));
  await lab.application.event("CallConnected", 1);
  hangingUp[Symbol.dispose]();
  await lab.application.event("CallDisconnected");
  const again = await client(lab).connectCall(ROOM, callbacks(lab));
  await lab.application.event("CallConnected", 2);
  const states = lab.acs.calls.map(({ state }) => state);
  expect(states).toEqual(["disconnected", "connected", "connected"]);
  const ids = await Promise.all(
    [second, again].map(async ({ callConnection }) => {
      const { serverCallId } = await callConnection.getCallConnectionProperties();
      return serverCallId;
    }),
  );
  expect(new Set(ids).size).toBe(1);
});

test("a caller redirected to where the call comes from is hung up, and so is whoever answers", async () => {
  await using lab = await startTestLab();
  const { leg, context } = await lab.ring();
  await client(lab).redirectCall(context, { targetParticipant: { phoneNumber: leg.from } });
  await until(() => leg.isEnded);
  expect(lab.gateway.dialled[0]?.leg.isEnded).toBe(true);
});

test("nobody is moved out of a call that ends", async () => {
  await using lab = await startTestLab();
  const { leg, callConnection } = await answer(lab);
  const { callConnectionId = "" } = await callConnection.getCallConnectionProperties();
  const created = await client(lab).createCall(INVITE, callbacks(lab));
  await lab.application.event("CallConnected", 1);
  using _hangingUp = slowly(leg);
  await callConnection.hangUp(true);
  const caller = { phoneNumber: leg.from };
  const attempt = created.callConnection.moveParticipants([caller], callConnectionId);
  await expect(attempt).rejects.toMatchObject({ statusCode: 400, code: "8528" });
});
