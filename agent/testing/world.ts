import { readFileSync } from "node:fs";
import { readConfig } from "../config.ts";
import type { Replicas } from "../replicas.ts";
import { type Agent, startAgent } from "../service.ts";
import { createLogger } from "../telemetry.ts";
import {
  type CallService,
  type CallServiceOptions,
  startCallService,
  until,
} from "./call-service.ts";
import { type ModelService, type ModelTurn, startModelService } from "./model-service.ts";
import {
  type SpeechService,
  type SpeechServiceOptions,
  startSpeechService,
} from "./speech-service.ts";

/** An agent between stand-ins for its three services. */
export interface World extends AsyncDisposable {
  readonly agent: Agent;
  readonly calls: CallService;
  readonly speech: SpeechService;
  readonly model: ModelService;
  readonly log: string[];
}

export interface WorldOptions {
  readonly turns?: readonly ModelTurn[];
  readonly env?: Record<string, string>;
  readonly calls?: CallServiceOptions;
  readonly speech?: SpeechServiceOptions;
  readonly replicas?: Replicas;
}

export async function startWorld({
  turns = [],
  env = {},
  replicas,
  ...options
}: WorldOptions = {}): Promise<World> {
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
    AGENT_CUSTOMERS: new URL("../../fixtures/customers.json", import.meta.url).pathname,
    AGENT_CONNECTED_TIMEOUT_MS: "5000",
    AGENT_PREPARED_PHRASES: "off",
    AGENT_LINGER_MS: "0",
    LOG_LEVEL: "debug",
    ...env,
  });
  const logger = createLogger(config, { write: (line) => void log.push(line) });
  const agent = stack.use(await startAgent(config, { logger, replicas }));
  return { agent, calls, speech, model, log, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

export const INCOMING = readFileSync(
  new URL("../../fixtures/wire/agent-incoming-call.json", import.meta.url),
  "utf8",
);

export function post(url: string, body: string): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

/** Rings, is answered, connects and opens the media socket. */
export async function connect({ agent, calls, speech }: World) {
  await post(agent.webhookUrl, INCOMING);
  const media = await calls.openMedia();
  await calls.event("CallConnected");
  media.frame();
  media.frame();
  return { media, ear: await speech.recognition() };
}

/** Waits until the caller has been sent everything of the utterance. */
export async function spoken(world: World, text: string): Promise<void> {
  await until(() => world.speech.spoken.includes(text));
}
