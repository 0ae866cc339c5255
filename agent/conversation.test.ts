import { expect, test } from "vitest";
import { PHRASES, REPROMPTS, SPOKEN_BY_HEART } from "./phrases.ts";
import { until } from "./testing/call-service.ts";
import { connect, INCOMING, post, spoken, startWorld, type World } from "./testing/world.ts";

const QUICK = { AGENT_PLAYOUT_LATENCY_MS: "0" };

/** Connects and waits until the greeting has been heard. */
async function greeted(world: World) {
  const line = await connect(world);
  await until(() => turns(world).length > 0);
  return line;
}

function turns(world: World): string[] {
  const [call] = world.agent.store.calls();
  if (call === undefined) return [];
  return world.agent.store
    .turns(call.id)
    .map(({ role, text, interrupted }) => `${role}${interrupted ? " (cut)" : ""}: ${text}`);
}

async function ended(world: World) {
  await until(() => world.agent.activeCalls === 0);
  return world.agent.store.calls()[0];
}

const GREETING = "Hello Dana, I see you are calling about billing. How can I help you today?";

test.concurrent("three turns with a look-up, told in the transcript", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [
      { calls: [{ name: "look_up_customer", arguments: "{}" }] },
      { says: "You are on the Premium plan." },
      { calls: [{ name: "end_call", arguments: "{}" }], says: "You are welcome, goodbye." },
    ],
  });
  const { ear } = await greeted(world);
  ear.phrase("What plan am I on?");
  await until(() => turns(world).some((turn) => turn.includes("Premium plan.")));
  ear.phrase("Thank you.");
  expect(await ended(world)).toMatchObject({ outcome: "completed" });
  expect(turns(world)).toEqual([
    `agent: ${GREETING}`,
    "caller: What plan am I on?",
    expect.stringMatching(/^tool: look_up_customer: .*"plan":"Premium"/),
    "agent: You are on the Premium plan.",
    "caller: Thank you.",
    "agent: You are welcome, goodbye.",
    "tool: end_call: done",
  ]);
  await world.calls.request(/:terminate$/);
});

test.concurrent("the model's history after an interruption holds what was heard and no more", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [{ says: "One two three four five six seven eight nine ten." }, { says: "Of course." }],
  });
  const { ear, media } = await greeted(world);
  ear.phrase("Count to ten");
  await spoken(world, "One two three four five six seven eight nine ten.");
  await until(() => media.queuedBytes > 0);
  ear.onset();
  await until(() => media.stops > 0);
  ear.phrase("Stop please");
  await until(() => world.model.requests.length === 2);
  const history =
    world.model.requests[1]?.messages.map(({ role, content }) => `${role}: ${String(content)}`) ??
    [];
  const heard =
    history.find((message) => message.startsWith("assistant: One"))?.slice("assistant: ".length) ??
    "";
  expect(history.at(-1)).toBe("user: Stop please");
  expect("One two three four five six seven eight nine ten.".startsWith(heard)).toBe(true);
  expect(heard).not.toContain("ten");
});

test.concurrent("words that come while the model thinks abort it, and both are answered", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [{ stalls: true }, { says: "Both, then." }],
  });
  const { ear } = await greeted(world);
  ear.phrase("I have a question");
  await until(() => world.model.requests.length === 1);
  ear.hypothesis("about");
  await world.model.requests[0]?.aborted;
  ear.phrase("about my bill");
  await spoken(world, "Both, then.");
  const asked = world.model.requests[1]?.messages.slice(-2).map(({ content }) => content);
  expect(asked).toEqual(["I have a question", "about my bill"]);
});

test.concurrent("a sound that was no speech is asked about", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_SILENCE_MS: "300" } });
  const { ear, media } = await connect(world);
  await until(() => media.queuedBytes > 0);
  ear.onset();
  ear.noMatch();
  await spoken(world, PHRASES.pardon);
  expect(world.model.requests).toEqual([]);
});

test.concurrent("a silent caller is asked twice, then told goodbye", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_SILENCE_MS: "100" } });
  await connect(world);
  expect(await ended(world)).toMatchObject({ outcome: "silent" });
  expect(world.speech.spoken).toEqual([GREETING, ...REPROMPTS, PHRASES.silenceGoodbye]);
  await world.calls.request(/:terminate$/);
});

test.concurrent("a slow answer is bridged, and the bridge is no part of the history", async () => {
  await using world = await startWorld({
    env: {
      ...QUICK,
      AGENT_FILLER_MS: "100",
      AZURE_OPENAI_STALL_TIMEOUT_MS: "400",
      AZURE_OPENAI_MAX_RETRIES: "1",
    },
    turns: [{ stalls: true }, { says: "Here it is." }],
  });
  const { ear } = await greeted(world);
  ear.phrase("Where is my invoice?");
  await spoken(world, "Here it is.");
  expect(world.speech.spoken).toContain(PHRASES.oneMoment);
  await until(() => turns(world).length === 3);
  expect(turns(world)[2]).toBe("agent: Here it is.");
});

test.concurrent.each([
  ["429", [{ fails: 429 }]],
  ["500", [{ fails: 500 }, { fails: 500 }]],
  ["a stall", [{ stalls: true as const }, { stalls: true as const }]],
])("a model that answers with %s costs an apology and a human", async (_case, failures) => {
  await using world = await startWorld({
    env: { ...QUICK, AZURE_OPENAI_STALL_TIMEOUT_MS: "100", AZURE_OPENAI_MAX_RETRIES: "0" },
    turns: failures,
  });
  const { ear } = await greeted(world);
  ear.phrase("Where is my invoice?");
  const { body } = await world.calls.request(/:transferToParticipant$/);
  expect(world.speech.spoken).toContain(PHRASES.trouble);
  expect(JSON.stringify(body["customCallingContext"])).toContain(
    "Caller%20said%3A%20Where%20is%20my%20invoice%3F",
  );
});

test.concurrent("a filtered question is declined and the call goes on", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [{ filters: true }, { says: "Gladly." }],
  });
  const { ear } = await greeted(world);
  ear.phrase("Something forbidden");
  await spoken(world, PHRASES.notAllowed);
  await until(() => turns(world).length === 3);
  ear.phrase("Then something else");
  await spoken(world, "Gladly.");
  expect(world.agent.activeCalls).toBe(1);
});

test.concurrent("an answer that breaks off is asked for again", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [{ says: "Your balance is fine today. And", thenDrops: true }],
  });
  const { ear } = await greeted(world);
  ear.phrase("My balance?");
  await spoken(world, PHRASES.lostThread);
  expect(turns(world)).toContain("agent: Your balance is fine today.");
});

test.concurrent.each([
  [
    "malformed arguments",
    { name: "look_up_customer", arguments: '{"customer_id":' },
    "not a JSON object",
  ],
  ["an unknown tool", { name: "transfer_money", arguments: "{}" }, "no tool named"],
])("a tool call with %s is told to the model, which answers", async (_case, call, told) => {
  await using world = await startWorld({
    env: QUICK,
    turns: [{ calls: [call] }, { says: "Let me see." }],
  });
  const { ear } = await greeted(world);
  ear.phrase("My balance?");
  await spoken(world, "Let me see.");
  const result = world.model.requests[1]?.messages.at(-1);
  expect(result).toMatchObject({ role: "tool", content: expect.stringContaining(told) });
});

test.concurrent("parallel tools are all answered, and the one that ends the turn comes last", async () => {
  const summary = JSON.stringify({ summary: "Wants a refund." });
  await using world = await startWorld({
    env: QUICK,
    calls: { refuseTransfer: { status: 409, code: "8607" } },
    turns: [
      {
        calls: [
          { name: "escalate_to_human", arguments: summary },
          { name: "look_up_customer", arguments: "{}" },
          { name: "end_call", arguments: "{}" },
        ],
      },
      { says: "I am sorry about that." },
    ],
  });
  const { ear } = await greeted(world);
  ear.phrase("Refund me");
  await spoken(world, PHRASES.transferFailed);
  await until(() => turns(world).some((turn) => turn.includes(PHRASES.transferFailed)));
  ear.phrase("Well?");
  await spoken(world, "I am sorry about that.");
  const messages = JSON.stringify(world.model.requests[1]?.messages);
  expect(messages).toContain("the transfer failed: 409/8607");
  expect(messages).toContain("Premium");
  expect(messages).toContain("not done");
});

test.concurrent("a model that uses tools without end is stopped", async () => {
  const again = { calls: [{ name: "look_up_customer", arguments: "{}" }] };
  await using world = await startWorld({
    env: { ...QUICK, AGENT_MAX_TOOL_ROUNDS: "2" },
    turns: [again, again, again],
  });
  const { ear } = await greeted(world);
  ear.phrase("My balance?");
  await world.calls.request(/:transferToParticipant$/);
  expect(world.model.requests).toHaveLength(2);
});

test.concurrent("a transfer that fails leaves the caller with the agent", async () => {
  await using world = await startWorld({
    env: QUICK,
    turns: [
      { calls: [{ name: "escalate_to_human", arguments: '{"summary":"s"}' }] },
      { says: "I can take a note." },
    ],
  });
  const { ear } = await greeted(world);
  ear.phrase("A human please");
  const { body } = await world.calls.request(/:transferToParticipant$/);
  const resultInformation = { code: 486, subCode: 560486, message: "Busy Here" };
  await world.calls.event("CallTransferFailed", {
    operationContext: body["operationContext"],
    resultInformation,
  });
  await spoken(world, PHRASES.transferFailed);
  await until(() => turns(world).at(-1)?.includes(PHRASES.transferFailed));
  ear.phrase("Take a note then");
  await spoken(world, "I can take a note.");
  expect(world.agent.activeCalls).toBe(1);
});

test.concurrent("a refused recognition costs a sentence and a human", async () => {
  await using world = await startWorld({ env: QUICK, speech: { refuseRecognition: 401 } });
  const { agent, calls } = world;
  await post(agent.webhookUrl, INCOMING);
  await calls.openMedia();
  await calls.event("CallConnected");
  await calls.request(/:transferToParticipant$/);
  expect(world.speech.spoken).toContain(PHRASES.cannotHear);
});

test.concurrent("a voice that is refused still gets the caller to a human", async () => {
  await using world = await startWorld({ env: QUICK, speech: { refuseSynthesis: 429 } });
  await connect(world);
  const { body } = await world.calls.request(/:transferToParticipant$/);
  await world.calls.event("CallTransferAccepted", { operationContext: body["operationContext"] });
  await world.calls.event("CallDisconnected");
  expect(await ended(world)).toMatchObject({ outcome: "escalated", detail: "synthesis" });
});

test.concurrent("a voice cut off in the middle of a sentence goes on at the word", async () => {
  await using world = await startWorld({ env: QUICK, speech: { cutSynthesisAfterWords: 3 } });
  await connect(world);
  await until(() => world.speech.spoken.length === 2);
  expect(world.speech.spoken[1]).toBe(
    "I see you are calling about billing. How can I help you today?".split(" ").slice(1).join(" "),
  );
});

test.concurrent("a media socket that never opens gets the caller to a human", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_MEDIA_TIMEOUT_MS: "100" } });
  expect(world.speech.spoken).toEqual([]);
  await post(world.agent.webhookUrl, INCOMING);
  await world.calls.event("CallConnected");
  await world.calls.request(/:transferToParticipant$/);
});

test.concurrent("a lost CallConnected delays the greeting, nothing more", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_CONNECTED_TIMEOUT_MS: "50" } });
  await post(world.agent.webhookUrl, INCOMING);
  const media = await world.calls.openMedia();
  await until(() => media.totalBytes > 0);
  expect(world.log.join("")).toContain("CallConnected did not come");
});

test.concurrent("the longest call ends with an explanation", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_MAX_CALL_MS: "1000" } });
  await connect(world);
  expect(await ended(world)).toMatchObject({ outcome: "too-long" });
  expect(world.speech.spoken.at(-1)).toBe(`${PHRASES.tooLong} ${PHRASES.callAgain}`);
});

test.concurrent("an agent that has to end hands the caller to a human, whatever was being said", async () => {
  await using world = await startWorld({ env: QUICK, turns: [{ stalls: true }] });
  const { ear } = await greeted(world);
  ear.phrase("What plan am I on?");
  await until(() => world.model.requests.length === 1);
  const drained = world.agent.drain({ timeoutMs: 0 });
  const { body } = await world.calls.request(/:transferToParticipant$/);
  await world.calls.event("CallTransferAccepted", { operationContext: body["operationContext"] });
  await world.calls.event("CallDisconnected");
  await drained;
  expect(await ended(world)).toMatchObject({
    outcome: "escalated",
    detail: "shutdown",
    summary: "Caller said: What plan am I on?",
  });
  expect(world.speech.spoken).toEqual([GREETING, PHRASES.connecting]);
});

test.concurrent("where nobody takes the caller of an agent that has to end, it says goodbye", async () => {
  await using world = await startWorld({ env: QUICK });
  await greeted(world);
  const drained = world.agent.drain({ timeoutMs: 0 });
  const { body } = await world.calls.request(/:transferToParticipant$/);
  const resultInformation = { code: 486, subCode: 560486 };
  const operationContext = body["operationContext"];
  await world.calls.event("CallTransferFailed", { operationContext, resultInformation });
  await drained;
  expect(await ended(world)).toMatchObject({ outcome: "failed", detail: "shutdown" });
  expect(world.speech.spoken.at(-1)).toBe(PHRASES.callAgain);
});

test.concurrent("a media socket that comes back finds the conversation where it was", async () => {
  await using world = await startWorld({ env: QUICK, turns: [{ says: "Still with you." }] });
  const { ear, media } = await greeted(world);
  media.socket.terminate();
  const returned = await world.calls.openMedia();
  returned.frame();
  await spoken(world, PHRASES.lineInterrupted);
  await until(() => returned.totalBytes > 0);
  ear.phrase("Are you there?");
  await spoken(world, "Still with you.");
  expect(world.calls.requests.map(({ path }) => path)).not.toContainEqual(
    expect.stringContaining("transfer"),
  );
});

test.concurrent("a media socket that stays away gets the caller to a human", async () => {
  await using world = await startWorld({ env: { ...QUICK, AGENT_MEDIA_TIMEOUT_MS: "150" } });
  const { media } = await greeted(world);
  media.socket.terminate();
  const { body } = await world.calls.request(/:transferToParticipant$/);
  await world.calls.event("CallTransferAccepted", { operationContext: body["operationContext"] });
  await world.calls.event("CallDisconnected");
  expect(await ended(world)).toMatchObject({ outcome: "escalated", detail: "media" });
});

test.concurrent("media streaming that the service gives up gets the caller to a human at once", async () => {
  await using world = await startWorld({ env: QUICK });
  await post(world.agent.webhookUrl, INCOMING);
  await world.calls.event("CallConnected");
  await world.calls.event("MediaStreamingFailed", {
    resultInformation: { code: 400, subCode: 8581 },
  });
  await world.calls.request(/:transferToParticipant$/);
  expect(world.speech.spoken).toEqual([GREETING]);
});

test.concurrent("the greeting is synthesised while the call is being answered", async () => {
  await using world = await startWorld({ env: QUICK });
  await post(world.agent.webhookUrl, INCOMING);
  await spoken(world, GREETING);
  const { media } = await connect(world);
  await until(() => media.totalBytes > 0);
  expect(world.speech.spoken).toEqual([GREETING]);
});

test.concurrent("phrases known by heart are heard although the voice is gone", async () => {
  await using world = await startWorld({
    env: { ...QUICK, AGENT_PREPARED_PHRASES: "on", AGENT_PREPARATION_IDLE_MS: "0" },
  });
  await until(() => world.speech.spoken.length === SPOKEN_BY_HEART.length);
  await until(() => world.speech.connections === 0);
  world.speech.options.refuseSynthesis = 503;
  const { media } = await connect(world);
  await world.calls.request(/:transferToParticipant$/);
  expect(media.totalBytes).toBeGreaterThan(0);
  expect(turns(world)).toEqual([`agent: ${PHRASES.connecting}`]);
});
