import { expect, test } from "vitest";
import { until } from "./testing/call-service.ts";
import { connect, spoken, startWorld } from "./testing/world.ts";

test("answers with media streaming and greets the customer by name and reason", async () => {
  await using world = await startWorld();
  await connect(world);
  await spoken(world, "Hello Dana, I see you are calling about billing. How can I help you today?");
  const { body } = await world.calls.request(/:answer$/);
  expect(body["mediaStreamingOptions"]).toMatchObject({
    transportType: "websocket",
    contentType: "audio",
    audioChannelType: "mixed",
    audioFormat: "pcm16KMono",
    startMediaStreaming: true,
    enableBidirectional: true,
  });
});

test("a caller's question is answered by the model, sentence by sentence", async () => {
  await using world = await startWorld({
    turns: [{ says: "Your plan is Premium. Anything else today?" }],
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("What is my plan?");
  await spoken(world, "Your plan is Premium.");
  await spoken(world, "Anything else today?");
  expect(world.model.requests[0]?.messages.at(-1)).toEqual({
    role: "user",
    content: "What is my plan?",
  });
});

test("the caller's first sound stops the audio", async () => {
  await using world = await startWorld();
  const { ear, media } = await connect(world);
  await until(() => media.queuedBytes > 0);
  ear.onset();
  await until(() => media.stops === 1);
  expect(media.queuedBytes).toBe(0);
});

test("escalation transfers with the encoded summary and ends as escalated", async () => {
  const summary = "Customer confirmed identity and wants to dispute a charge.";
  await using world = await startWorld({
    turns: [
      {
        calls: [
          { name: "escalate_to_human", arguments: JSON.stringify({ summary, reason: "dispute" }) },
        ],
      },
    ],
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("I want to dispute a charge");
  const { body } = await world.calls.request(/:transferToParticipant$/);
  expect(body["targetParticipant"]).toMatchObject({ phoneNumber: { value: "+18005550150" } });
  expect(body["customCallingContext"]).toMatchObject({
    sipHeaders: {
      "X-AI-Summary": "Customer%20confirmed%20identity%20and%20wants%20to%20dispute%20a%20charge.",
      "X-Customer-ID": "C-1042",
      "X-Transfer-Reason": "billing",
    },
  });
  const { operationContext } = body;
  await world.calls.event("CallTransferAccepted", {
    operationContext,
    resultInformation: { code: 200, subCode: 0 },
  });
  await world.calls.event("CallDisconnected", { resultInformation: { code: 200, subCode: 7000 } });
  await until(() => world.agent.activeCalls === 0);
  expect(world.agent.store.calls()[0]).toMatchObject({ outcome: "escalated", summary });
}, 20_000);

test("the caller hanging up ends the call and closes every connection", async () => {
  await using world = await startWorld();
  const { media } = await connect(world);
  await until(() => media.totalBytes > 0);
  await world.calls.event("CallDisconnected", {
    resultInformation: { code: 200, subCode: 540000 },
  });
  await until(() => world.agent.activeCalls === 0);
  await until(() => world.speech.connections === 0);
  expect(world.agent.store.calls()[0]).toMatchObject({ outcome: "caller-left" });
});
