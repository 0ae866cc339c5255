import { connect } from "node:net";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS as PreviewWS } from "openai/beta/realtime/ws";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { onTestFinished } from "vitest";
import { type Clock, systemClock } from "../../../clock.ts";
import { type Fault, faultPlan } from "../../../faults.ts";
import { openTrace } from "../../../trace.ts";
import { createScript, type Script } from "../../script.ts";
import { startOpenAi } from "../../server.ts";
import type { RealtimeOptions } from "../endpoint.ts";

export const KEY = "lab-openai-key";
/** A word of the tests' voice lasts so long. */
const WORD_MS = 100;

export interface Received {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A voice without speech: words are tones, and the caller's turns are in words beforehand. */
function fakeVoice(turns: string[]): RealtimeOptions["voice"] {
  return {
    hear: () => ({ accept: () => {}, finish: () => Promise.resolve(turns.shift() ?? "") }),
    speak: (text) => {
      const count = text.split(" ").length;
      const samples = tone(count * WORD_MS, 16_000);
      const words = Array.from({ length: count }, (_, index) => ({ startMs: index * WORD_MS }));
      return Promise.resolve({ samples, rateHz: 16_000, words });
    },
  };
}

export function tone(durationMs: number, rateHz: number): Int16Array {
  return Int16Array.from({ length: (durationMs * rateHz) / 1000 }, (_, index) =>
    Math.round(8000 * Math.sin((2 * Math.PI * 440 * index) / rateHz)),
  );
}

/** PCM as an append event carries it: a tone, or silence. */
export function pcm(durationMs: number, kind: "tone" | "silence" = "tone"): string {
  const samples = kind === "tone" ? tone(durationMs, 24_000) : new Int16Array(durationMs * 24);
  return Buffer.from(samples.buffer).toString("base64");
}

export interface ServiceOptions extends Omit<Partial<RealtimeOptions>, "voice"> {
  /** What the caller says, turn by turn. */
  turns?: string[];
  write?: (script: Script) => void;
  faults?: readonly Fault[];
  clock?: Clock;
  tls?: { key: string; cert: string };
}

/** The emulator with a scripted model, on a clock that is fifty times as fast. */
export async function startService(options: ServiceOptions = {}) {
  const { turns = [], write = () => {}, faults = [], tls, ...realtime } = options;
  const clock = options.clock ?? systemClock({ rate: 50 });
  const trace = openTrace({ clock });
  const script = createScript();
  write(script);
  const service = await startOpenAi({
    clock,
    trace: trace.as("openai"),
    faults: faultPlan(faults),
    script,
    keys: [KEY],
    deployments: ["chat"],
    ...(tls === undefined ? {} : { tls }),
    realtime: { voice: fakeVoice(turns), deployments: ["voice"], ...realtime },
  });
  onTestFinished(() => service[Symbol.asyncDispose]());
  const azure = new AzureOpenAI({
    endpoint: service.url,
    apiKey: KEY,
    apiVersion: "2025-04-01-preview",
  });
  return { service, trace, script, clock, azure };
}

type Azure = Awaited<ReturnType<typeof startService>>["azure"];

/** The SDK insists on wss; the connection beneath it is opened without TLS. */
export function plainly(url: string) {
  const { port, hostname } = new URL(url);
  return { createConnection: () => connect(Number(port), hostname) };
}

/** A session by the SDK's GA class, and what it received. */
export async function openSession(azure: Azure) {
  const options = plainly(azure.baseURL);
  return listen(await OpenAIRealtimeWS.azure(azure, { deploymentName: "voice", options }));
}

export async function openPreviewSession(azure: Azure) {
  const options = plainly(azure.baseURL);
  return listen(await PreviewWS.azure(azure, { deploymentName: "voice", options }));
}

/** The parts of both classes that matter here: their event types differ, the wire is the same. */
interface SdkConnection {
  on(event: "event" | "error", listener: (value: never) => void): unknown;
  send(event: never): void;
  close(): void;
  readonly socket: { once(event: string, listener: (...details: never[]) => void): unknown };
}

export interface Session {
  readonly received: readonly Received[];
  /** All types so far, the many ones of a kind as one. */
  readonly types: readonly string[];
  readonly closed: Promise<number>;
  send(event: object): void;
  close(): void;
  /** The next event of that type that was not taken yet. */
  next(type: string): Promise<Received>;
}

async function listen(connection: SdkConnection): Promise<Session> {
  const received: Received[] = [];
  const taken = new Set<Received>();
  const waiting = new Set<() => void>();
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  connection.on("event", (event: Received) => {
    received.push(event);
    for (const wake of waiting) wake();
  });
  // `error` events are among the others; without a listener the SDK rejects somewhere else.
  connection.on("error", () => {});
  connection.socket.once("close", (code: number) => resolve(code));
  onTestFinished(() => connection.close());
  await new Promise<void>((open) => {
    connection.socket.once("open", open);
  });
  return {
    received,
    closed,
    get types() {
      const types = received.map(({ type }) => type);
      return types.filter((type, index) => type !== types[index - 1]);
    },
    send: (event) => connection.send(event as never),
    close: () => connection.close(),
    next(type) {
      const found = Promise.withResolvers<Received>();
      const look = () => {
        const event = received.find((each) => each.type === type && !taken.has(each));
        if (event === undefined) return;
        taken.add(event);
        waiting.delete(look);
        found.resolve(event);
      };
      waiting.add(look);
      look();
      return found.promise;
    },
  };
}
