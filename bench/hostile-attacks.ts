import { CallAutomationClient } from "@azure/communication-call-automation";
import { cloudEvent } from "../agent/testing/call-service.ts";
import { INCOMING, post, startWorld, type World } from "../agent/testing/world.ts";
import type { Policy } from "../simulator/acs/policy.ts";
import { type Mutator, sendSigned } from "../simulator/acs/testing/hostile.ts";
import { HostileWebhook } from "../simulator/acs/testing/hostile-webhook.ts";
import { startTestLab, type TestLab } from "../simulator/acs/testing/lab.ts";
import type { PartyTrace } from "../simulator/trace.ts";

/** How often each outcome came. */
export class Tally {
  readonly counts: Record<string, number> = {};

  add(outcome: string | number, times = 1): void {
    this.counts[outcome] = (this.counts[outcome] ?? 0) + times;
  }

  count(outcome: string | number): number {
    return this.counts[outcome] ?? 0;
  }
}

/** One kind of attack: takes a number of messages more, and says what became of all so far. */
export interface Attack extends AsyncDisposable {
  readonly name: string;
  readonly tally: Tally;
  send(count: number): Promise<void>;
}

/** What the emulator says of itself: internal errors above all, of which there must be none. */
export const INTERNAL = "internal errors";

function watching(tally: Tally): PartyTrace {
  return {
    record(event) {
      if (event.type === "error" && event.code === "ACS_INTERNAL") tally.add(INTERNAL);
      if (event.type !== "media" || event.kind !== "stopped") return;
      tally.add("messages judged", Number(event.detail["messagesReceived"]));
      tally.add("messages invalid", Number(event.detail["invalidMessages"]));
    },
  };
}

async function openLab(tally: Tally, policy: Partial<Policy> = {}): Promise<TestLab> {
  const delivery = { answerTimeoutMs: ANSWER_TIMEOUT_MS };
  return startTestLab({ trace: watching(tally), policy, delivery });
}

/** A mutated answer may be one that never ends. */
const ANSWER_TIMEOUT_MS = 50;

async function answerCall(lab: TestLab, callbackUrl: string, changes: object = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const leg = lab.gateway.ring();
  const context = String(lab.acs.incomingCalls.at(-1)?.["incomingCallContext"]);
  const { callConnection } = await client.answerCall(context, callbackUrl, changes);
  // What the stand-ins remember is no leak of the emulator's.
  lab.application.requests.length = 0;
  lab.gateway.legs.length = 0;
  return { leg, callConnection };
}

/** Mutated REST requests, signed as the SDK signs, about a call that is up. */
export async function attackRest(mutator: Mutator): Promise<Attack> {
  const tally = new Tally();
  const lab = await openLab(tally);
  const send = async (count: number) => {
    for (let sent = 0; sent < count; sent++) {
      const isUp = lab.acs.calls.at(-1)?.state === "connected";
      if (!isUp) await answerCall(lab, `${lab.application.url}/callbacks`);
      const request = mutator.request(lab.acs.calls.at(-1)?.id ?? "");
      const status = await sendSigned(lab, request);
      tally.add(`${String(status).slice(0, 1)}xx`);
      if (status < 300) tally.add(`2xx to ${plainTarget(request)}`);
    }
  };
  const dispose = () => lab[Symbol.asyncDispose]();
  return { name: "REST requests", tally, send, [Symbol.asyncDispose]: dispose };
}

function plainTarget({ method, target }: { method: string; target: string }): string {
  const path = target
    .replace(/\?.*/s, "")
    .replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, "ID");
  return `${method} ${path}`;
}

/** Mutated media messages; a stream that was closed is started anew. */
export async function attackMedia(mutator: Mutator): Promise<Attack> {
  const tally = new Tally();
  const lab = await openLab(tally, { mediaReconnects: 0 });
  const { application } = lab;
  const { callConnection } = await answerCall(lab, `${application.url}/callbacks`, {
    mediaStreamingOptions: {
      transportUrl: application.socketUrl,
      transportType: "websocket",
      contentType: "audio",
      audioChannelType: "mixed",
      enableBidirectional: true,
    },
  });
  const send = async (count: number) => {
    const goal = tally.count("messages judged") + count;
    while (tally.count("messages judged") < goal) {
      application.streams.length = 0;
      application.requests.length = 0;
      await callConnection.getCallMedia().startMediaStreaming();
      const stream = await application.stream();
      await application.message(stream, "AudioMetadata");
      for (let frame = 0; frame < MESSAGES_PER_STREAM; frame++) stream.socket.send(mutator.frame());
      stream.socket.send("{");
      tally.add(`closed with ${await application.until(() => stream.closeCode, "close")}`);
      await application.event("MediaStreamingFailed");
    }
  };
  const dispose = () => lab[Symbol.asyncDispose]();
  return { name: "media messages", tally, send, [Symbol.asyncDispose]: dispose };
}

const MESSAGES_PER_STREAM = 50;
/** Calls that the answers are given to at the same time. */
const AT_ONCE = [1, 2, 3, 4];

/** Mutated answers to what the emulator posts: IncomingCall, callbacks, both handshakes. */
export async function attackAnswers(mutator: Mutator): Promise<Attack> {
  const tally = new Tally();
  const webhook = await HostileWebhook.start(mutator);
  const policy = { callbackTimeoutMs: ANSWER_TIMEOUT_MS, callbackOrderMs: 10 };
  const lab = await openLab(tally, policy);
  await lab.acs.subscribe(webhook.url, { name: "hostile", isValidated: true });
  const round = async () => {
    const { leg } = await answerCall(lab, `${webhook.url}/callbacks`);
    leg.end();
    const schema = mutator.pick(["EventGrid", "CloudEvents"] as const);
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const subscription = lab.acs.subscribe(webhook.url, { schema, signal, name: "handshake" });
    const outcome = await subscription.then(
      () => "passed",
      (error: Error) => error.name,
    );
    tally.add(`handshake: ${outcome}`);
    lab.acs.unsubscribe("handshake");
  };
  const send = async (count: number) => {
    const goal = webhook.answered + count;
    while (webhook.answered < goal) await Promise.all(AT_ONCE.map(round));
    tally.counts["answered"] = webhook.answered;
    tally.counts["dead letters"] = lab.acs.deadLetters.length;
  };
  const dispose = async () => {
    await lab[Symbol.asyncDispose]();
    await webhook[Symbol.asyncDispose]();
  };
  return { name: "answers to events", tally, send, [Symbol.asyncDispose]: dispose };
}

/** What arrives at the agent's doors in a good call. */
const EVENTS: readonly unknown[] = [
  JSON.parse(INCOMING),
  [cloudEvent("CallConnected", { resultInformation: { code: 200, subCode: 0, message: "" } })],
  [cloudEvent("ParticipantsUpdated", { participants: [{ identifier: { rawId: "4:+1" } }] })],
  [cloudEvent("CallTransferFailed", { operationContext: "transfer", resultInformation: {} })],
  [cloudEvent("MediaStreamingFailed", { mediaStreamingUpdate: { contentType: "Audio" } })],
  [cloudEvent("CallDisconnected", { resultInformation: { code: 200, subCode: 7000 } })],
  [
    {
      id: "1",
      eventType: "Microsoft.EventGrid.SubscriptionValidationEvent",
      data: { validationCode: "7" },
    },
  ],
];

/** Mutated events at the agent's webhook and at the callbacks of a call that is up. */
export async function attackAgent(mutator: Mutator): Promise<Attack> {
  const tally = new Tally();
  const world = await startWorld({ env: { LOG_LEVEL: "silent", AGENT_MAX_CALLS: "5" } });
  const send = async (count: number) => {
    for (let sent = 0; sent < count; sent++) {
      const callbackUrl = await callbackOf(world, sent);
      const event = mutator.value(mutator.pick(EVENTS));
      const body = JSON.stringify(event) ?? "";
      const door = mutator.pick([world.agent.webhookUrl, callbackUrl]);
      const isBroken = mutator.pick([true, false, false]);
      const response = await post(door, isBroken ? mutator.text(body) : body);
      await response.arrayBuffer();
      tally.add(response.status);
    }
  };
  const dispose = () => world[Symbol.asyncDispose]();
  return { name: "events at the agent", tally, send, [Symbol.asyncDispose]: dispose };
}

/** The callback URL of a call that the agent has; a new call when the last one was ended. */
async function callbackOf({ agent, calls }: World, call: number): Promise<string> {
  if (agent.activeCalls === 0) {
    // A context that was seen before is the same call, announced twice.
    const incoming = INCOMING.replace("eyJhbGciOiJub25l", `eyJhbGciOiJub25l${call}`);
    await post(agent.webhookUrl, incoming);
  }
  const { body } = await calls.request(/:answer$/);
  return String(body["callbackUri"]);
}
