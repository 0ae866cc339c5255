import { expect, test } from "vitest";
import { PHRASES, REPROMPTS } from "./phrases.ts";
import { until } from "./testing/call-service.ts";
import {
  asked,
  connect,
  greeted,
  type Session,
  says,
  startRealtimeWorld,
  turns,
} from "./testing/realtime-world.ts";
import { recordSpans } from "./testing/span-recorder.ts";

test("a media socket that stays away gets the session's caller to a human", async () => {
  await using line = await startRealtimeWorld({
    AGENT_MEDIA_TIMEOUT_MS: "150",
    AGENT_SILENCE_MS: "2000",
    AGENT_REPROMPTS: "0",
  });
  const { media } = await greeted(line);
  media.socket.terminate();
  const { body } = await line.world.calls.request(/:transferToParticipant$/);
  await line.world.calls.event("CallTransferAccepted", {
    operationContext: body["operationContext"],
  });
  await line.world.calls.event("CallDisconnected");
  await until(() => line.world.agent.activeCalls === 0);
  expect(line.world.agent.store.calls()[0]).toMatchObject({
    outcome: "escalated",
    detail: "media",
  });
});

test("a media socket that comes back is told of, and the session goes on", async () => {
  await using line = await startRealtimeWorld();
  const { media, session } = await greeted(line);
  session.speaks("b", Array.from({ length: 200 }, () => "one ").join(""));
  session.done();
  await until(() => media.totalBytes >= 50 * 480);
  media.socket.terminate();
  const returned = await line.world.calls.openMedia();
  await until(() => asked(session, PHRASES.lineInterrupted));
  await until(() => session.received.some(({ type }) => type === "conversation.item.truncate"));
  session.speaks("c", PHRASES.lineInterrupted);
  session.done();
  await until(() => turns(line.world).at(-1) === `agent: ${PHRASES.lineInterrupted}`);
  expect(returned.totalBytes).toBeGreaterThan(0);
});

test("a caller whose line broke is asked as often as before whether they are there", async () => {
  await using line = await startRealtimeWorld({ AGENT_SILENCE_MS: "100", AGENT_REPROMPTS: "1" });
  const { media, session } = await connect(line);
  session.done();
  const [reprompt = ""] = REPROMPTS;
  await until(() => asked(session, reprompt));
  media.socket.terminate();
  await line.world.calls.openMedia();
  await until(() => line.world.log.some((entry) => entry.includes("came back")));
  session.done();
  await until(() => asked(session, PHRASES.lineInterrupted));
  session.done();
  await until(() => session.received.filter((event) => says(event, reprompt)).length === 2);
  expect(asked(session, PHRASES.silenceGoodbye)).toBe(false);
});

/** The model looks the customer up, and is asked for its answer. */
async function looksUp(session: Session): Promise<void> {
  session.calls("look_up_customer", {});
  session.done();
  const responses = () => session.received.filter(({ type }) => type === "response.create");
  await until(() => responses().length === 2);
}

test("a call that the model ends without a word ends with a goodbye", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await greeted(line);
  session.callerBegins();
  session.callerSays("My plan? Then that is all.");
  session.begins();
  session.speaks("b", "Let me see.");
  await looksUp(session);
  session.calls("end_call", {});
  session.done();
  await until(() => asked(session, PHRASES.goodbye));
  session.speaks("c", PHRASES.goodbye);
  session.done();
  await line.world.calls.request(/:terminate$/);
  await until(() => line.world.agent.activeCalls === 0);
  expect(turns(line.world)).toContain(`agent: ${PHRASES.goodbye}`);
  expect(line.world.agent.store.calls()[0]).toMatchObject({ outcome: "completed" });
});

test("a session that uses tools without end is stopped, and its caller gets a human", async () => {
  const spans = recordSpans(() => performance.now());
  await using line = await startRealtimeWorld({ AGENT_MAX_TOOL_ROUNDS: "2" });
  const { session } = await greeted(line);
  await looksUp(session);
  session.calls("look_up_customer", {});
  session.done();
  await until(() => asked(session, PHRASES.connecting));
  session.speaks("b", PHRASES.connecting);
  session.done();
  const { body } = await line.world.calls.request(/:transferToParticipant$/);
  const operationContext = body["operationContext"];
  await line.world.calls.event("CallTransferAccepted", { operationContext });
  await line.world.calls.event("CallDisconnected");
  await until(() => line.world.agent.activeCalls === 0);
  expect(line.world.agent.store.calls()[0]).toMatchObject({
    outcome: "escalated",
    detail: "tools",
    summary: "The caller has not said what it is about.",
  });
  expect(spans.map(({ name }) => name)).toContain("transfer");
});
