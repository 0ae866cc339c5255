import { expect, test } from "vitest";
import { PHRASES, REPROMPTS } from "./phrases.ts";
import { until } from "./testing/call-service.ts";
import {
  asked,
  connect,
  GREETING,
  greeted,
  startRealtimeWorld,
  turns,
} from "./testing/realtime-world.ts";
import { INCOMING, post, spoken } from "./testing/world.ts";

test("a session is configured for the telephone and asked to greet", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  expect(session.url).toBe("/openai/v1/realtime?model=voice");
  expect(session.received[0]).toMatchObject({
    type: "session.update",
    session: {
      type: "realtime",
      output_modalities: ["audio"],
      audio: {
        input: {
          format: { type: "audio/pcm", rate: 24_000 },
          turn_detection: { interrupt_response: true },
        },
        output: { format: { type: "audio/pcm", rate: 24_000 }, voice: "marin" },
      },
    },
  });
  expect(JSON.stringify(session.received[0])).toContain("escalate_to_human");
});

test("what the telephone network says is no part of the session's instructions", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  expect(JSON.stringify(session.received[0])).not.toContain("Dana");
  const [data] = session.received.slice(1);
  expect(data).toMatchObject({
    type: "conversation.item.create",
    item: { type: "message", role: "system", content: [{ type: "input_text" }] },
  });
  expect(JSON.stringify(data)).toContain("caller_data");
  expect(JSON.stringify(data)).toContain("Dana");
  expect(asked(session, GREETING)).toBe(true);
});

test("audio goes both ways and the words are kept", async () => {
  await using line = await startRealtimeWorld();
  const { media, session } = await connect(line);
  session.speaks("a", "Hello Dana.");
  session.done();
  await until(() => media.totalBytes === 2 * 480);
  media.frame();
  await until(() => session.received.some(({ type }) => type === "input_audio_buffer.append"));
  await until(() => turns(line.world).includes("agent: Hello Dana."));
  session.callerBegins();
  session.callerSays("What is my plan?");
  await until(() => turns(line.world).length === 2);
  expect(turns(line.world)).toEqual(["agent: Hello Dana.", "caller: What is my plan?"]);
});

test("an interruption stops the audio and cuts the model's memory to what was heard", async () => {
  await using line = await startRealtimeWorld();
  const { media, session } = await connect(line);
  const words = Array.from({ length: 100 }, (_, index) => `word${index}`).join(" ");
  session.speaks("a", words);
  await until(() => media.totalBytes >= 100 * 480);
  session.callerBegins();
  await until(() => media.stops === 1);
  session.done("cancelled");
  const truncate = await until(() =>
    session.received.find(({ type }) => type === "conversation.item.truncate"),
  );
  const heardMs = Number(truncate["audio_end_ms"]);
  expect(truncate).toMatchObject({ item_id: "a", content_index: 0 });
  expect(heardMs).toBeLessThan(1000);
  const [cut] = turns(line.world);
  const heard = cut?.replace("agent (cut): ", "") ?? "";
  expect(words.startsWith(heard)).toBe(true);
  expect(heard.split(" ").length).toBeLessThanOrEqual(Math.ceil(heardMs / 10) + 1);
});

test("tools are used, and the model goes on with their result", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  session.done();
  session.callerSays("My plan?");
  session.calls("look_up_customer", {});
  session.done();
  const result = await until(() =>
    session.received.find((event) => JSON.stringify(event).includes("function_call_output")),
  );
  expect(JSON.stringify(result)).toContain("Premium");
  await until(() => session.received.at(-1)?.type === "response.create");
});

test("escalation transfers with the summary; a refused one keeps the caller", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  session.done();
  session.calls("escalate_to_human", { summary: "Wants a refund." });
  session.done();
  await until(() => asked(session, PHRASES.connecting));
  session.speaks("b", PHRASES.connecting);
  session.done();
  const { body } = await line.world.calls.request(/:transferToParticipant$/);
  expect(JSON.stringify(body)).toContain("Wants%20a%20refund.");
  const resultInformation = { code: 486, subCode: 560486 };
  await line.world.calls.event("CallTransferFailed", {
    operationContext: body["operationContext"],
    resultInformation,
  });
  await until(() => asked(session, PHRASES.transferFailed));
});

test("the model ends the call", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  session.speaks("a", "Goodbye.");
  session.calls("end_call", {});
  session.done();
  await line.world.calls.request(/:terminate$/);
  await until(() => line.world.agent.activeCalls === 0);
  expect(line.world.agent.store.calls()[0]).toMatchObject({ outcome: "completed" });
});

test("a silent caller is asked twice, then told goodbye", async () => {
  await using line = await startRealtimeWorld({ AGENT_SILENCE_MS: "100" });
  const { session } = await connect(line);
  session.done();
  for (const text of [...REPROMPTS, PHRASES.silenceGoodbye]) {
    await until(() => asked(session, text));
    session.done();
  }
  await until(() => line.world.agent.activeCalls === 0);
  expect(line.world.agent.store.calls()[0]).toMatchObject({ outcome: "silent" });
});

test("a session that is refused is replaced by the cascade, which greets", async () => {
  await using line = await startRealtimeWorld();
  line.service.refuse = 401;
  await post(line.world.agent.webhookUrl, INCOMING);
  await line.world.calls.openMedia();
  await line.world.calls.event("CallConnected");
  await spoken(line.world, GREETING);
  expect(line.world.speech.formats[0]).toBe("raw-24khz-16bit-mono-pcm");
});

test("a session that drops is replaced by the cascade, which does not greet again", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await greeted(line);
  session.drop();
  await spoken(line.world, PHRASES.lineInterrupted);
  expect(line.world.agent.activeCalls).toBe(1);
});

test("an agent that has to end hands the session's caller to a human", async () => {
  await using line = await startRealtimeWorld();
  await greeted(line);
  void line.world.agent.drain({ timeoutMs: 0 });
  await line.world.calls.request(/:transferToParticipant$/);
  expect(turns(line.world).slice(1)).toEqual([`agent: ${PHRASES.connecting}`]);
});

test("a session that sends more than a limit allows is replaced by the cascade", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  for (let item = 0; item <= 100; item++) session.speaks(`item ${item}`, "x".repeat(10));
  await spoken(line.world, GREETING);
  expect(line.world.agent.activeCalls).toBe(1);
});

test("a session that never answers is replaced by the cascade", async () => {
  await using line = await startRealtimeWorld({ AZURE_OPENAI_STALL_TIMEOUT_MS: "100" });
  await connect(line);
  await spoken(line.world, GREETING);
  expect(line.world.agent.activeCalls).toBe(1);
});

test("an error about one event does not end the session; a refused configuration does", async () => {
  await using line = await startRealtimeWorld();
  const { session } = await connect(line);
  session.reports("response_cancel_not_active");
  session.speaks("a", "Hello Dana.");
  session.done();
  await until(() => turns(line.world).length === 1);
  expect(line.world.speech.formats).toEqual([]);
  session.reports("unknown_parameter", "configuration");
  await spoken(line.world, PHRASES.lineInterrupted);
});

test("a sentence waits for the answer that the service began by itself", async () => {
  await using line = await startRealtimeWorld({ AGENT_SILENCE_MS: "100" });
  const { session } = await connect(line);
  session.refusesNext("conversation_already_has_active_response");
  session.done();
  await until(() => asked(session, REPROMPTS[0] ?? ""));
  const before = session.received.length;
  session.begins();
  session.done();
  await until(() => session.received.length > before);
  expect(JSON.stringify(session.received.at(-1))).toContain(REPROMPTS[0]);
});

test("an announcement is heard to its end, whatever the caller says meanwhile", async () => {
  await using line = await startRealtimeWorld();
  const { media, session } = await connect(line);
  session.done();
  session.calls("escalate_to_human", { summary: "Wants a refund." });
  session.done();
  await until(() => asked(session, PHRASES.connecting));
  session.speaks("b", PHRASES.connecting);
  session.callerBegins();
  session.callerSays("Hurry up.");
  session.done();
  await line.world.calls.request(/:transferToParticipant$/);
  expect(media.stops).toBe(0);
  expect(turns(line.world)).toContain(`agent: ${PHRASES.connecting}`);
  const updates = session.received.filter(({ type }) => type === "session.update");
  expect(updates.at(-1)).toMatchObject({
    session: { audio: { input: { turn_detection: { interrupt_response: false } } } },
  });
});

test("an interruption cuts what is being said and takes back what was to follow", async () => {
  await using line = await startRealtimeWorld();
  const { media, session } = await connect(line);
  session.speaks("a", Array.from({ length: 100 }, () => "one ").join(""));
  session.done();
  session.speaks("b", "never heard");
  await until(() => media.totalBytes >= 100 * 480);
  session.callerBegins();
  await until(() => session.received.some(({ type }) => type === "conversation.item.delete"));
  const changes = session.received.filter(({ type }) => /truncate|delete/.test(type));
  expect(changes).toMatchObject([
    { type: "conversation.item.truncate", item_id: "a" },
    { type: "conversation.item.delete", item_id: "b" },
  ]);
  expect(JSON.stringify(turns(line.world))).not.toContain("never");
});
