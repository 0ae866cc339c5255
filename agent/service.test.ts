import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { type Agent, startAgent } from "./service.ts";
import { createLogger } from "./telemetry.ts";
import {
  type CallService,
  type CallServiceOptions,
  startCallService,
  until,
} from "./testing/call-service.ts";
import { type ModelService, type ModelTurn, startModelService } from "./testing/model-service.ts";
import {
  type SpeechService,
  type SpeechServiceOptions,
  startSpeechService,
} from "./testing/speech-service.ts";

interface World extends AsyncDisposable {
  readonly agent: Agent;
  readonly calls: CallService;
  readonly speech: SpeechService;
  readonly model: ModelService;
  readonly log: string[];
}

interface WorldOptions {
  readonly turns?: readonly ModelTurn[];
  readonly env?: Record<string, string>;
  readonly calls?: CallServiceOptions;
  readonly speech?: SpeechServiceOptions;
}

async function startWorld({ turns = [], env = {}, ...options }: WorldOptions = {}): Promise<World> {
  const stack = new AsyncDisposableStack();
  const calls = stack.use(await startCallService(options.calls));
  const speech = stack.use(await startSpeechService(options.speech));
  const model = stack.use(await startModelService(...turns));
  const log: string[] = [];
  const config = readConfig({
    AGENT_PORT: "0",
    ACS_CONNECTION_STRING: calls.connectionString,
    ACS_ALLOW_INSECURE_CONNECTION: "true",
    SPEECH_KEY: "speech key",
    SPEECH_HOST: speech.url,
    AZURE_OPENAI_ENDPOINT: model.url,
    AZURE_OPENAI_KEY: "model key",
    AZURE_OPENAI_DEPLOYMENT: "gpt",
    AGENT_QUEUE_NUMBER: "+18005550150",
    AGENT_CUSTOMERS: new URL("../fixtures/customers.json", import.meta.url).pathname,
    AGENT_CONNECTED_TIMEOUT_MS: "5000",
    LOG_LEVEL: "debug",
    ...env,
  });
  const logger = createLogger(config, { write: (line) => void log.push(line) });
  const agent = stack.use(await startAgent(config, { logger }));
  return { agent, calls, speech, model, log, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const INCOMING = readFileSync(
  new URL("../fixtures/wire/agent-incoming-call.json", import.meta.url),
  "utf8",
);

function post(url: string, body: string): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

/** Rings, is answered, connects and opens the media socket. */
async function connect({ agent, calls, speech }: World) {
  expect((await post(agent.webhookUrl, INCOMING)).status).toBe(200);
  const media = await calls.openMedia();
  await calls.event("CallConnected");
  media.frame();
  media.frame();
  return { media, ear: await speech.recognition() };
}

/** Waits until the caller has been sent everything of the utterance. */
async function spoken(world: World, text: string): Promise<void> {
  await until(() => world.speech.spoken.includes(text));
}

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
