import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import { parseMessage } from "./framing.ts";
import type { Ear, ListenOptions, Recogniser, SpeechEngine } from "./recogniser.ts";
import { startSpeech } from "./server.ts";
import type { Synthesiser } from "./synthesiser.ts";

const clock = systemClock();
const CHUNK_MS = 100;
const BYTES_PER_MS = 32;

/** An engine in the hands of the test: one ear, that counts what it is given and tells nothing itself. */
class Engine implements SpeechEngine {
  readonly #disposed = Promise.withResolvers<void>();
  readonly #waiting: { ms: number; resolve: () => void }[] = [];
  givenMs = 0;
  listening: ListenOptions | undefined;

  get disposed(): Promise<void> {
    return this.#disposed.promise;
  }

  listen(listening: ListenOptions): Ear {
    this.listening = listening;
    return {
      accept: (samples, rateHz) => {
        this.givenMs += (samples.length * 1000) / rateHz;
        for (const { ms, resolve } of this.#waiting) if (this.givenMs >= ms) resolve();
      },
      finish: async () => {},
      [Symbol.asyncDispose]: async () => this.#disposed.resolve(),
    };
  }

  /** Resolves when it was given so much. */
  given(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push({ ms, resolve }));
  }
}

const NOTHING: Recogniser & Synthesiser = {
  enrol: () => Promise.reject(new Error("not used")),
  listen: () => {
    throw new Error("not used");
  },
  synthesise: () => Promise.reject(new Error("not used")),
  [Symbol.asyncDispose]: async () => {},
};

async function open(mode: "interactive" | "conversation") {
  const engine = new Engine();
  const trace = openTrace({ clock }).as("speech");
  const common = { clock, trace, synthesiser: NOTHING, recogniser: NOTHING };
  const speech = await startSpeech({ ...common, engine, keys: ["k"] });
  onTestFinished(() => speech[Symbol.asyncDispose]());
  const path = `/speech/recognition/${mode}/cognitiveservices/v1?Ocp-Apim-Subscription-Key=k`;
  const client = new WebSocket(speech.url + path);
  await once(client, "open");
  return { engine, speech, client };
}

function sendAudio(client: WebSocket, ms: number): void {
  const head = Buffer.from("\0\x20Path:audio\r\nX-RequestId:00000000\r\n", "latin1");
  head.writeUInt16BE(head.length - 2);
  const chunk = Buffer.concat([head, Buffer.alloc(CHUNK_MS * BYTES_PER_MS)]);
  for (let sentMs = 0; sentMs < ms; sentMs += CHUNK_MS) client.send(chunk);
}

test("the ear is gone when the turn is over, though the connection stays", async () => {
  const { engine, client } = await open("interactive");
  const paths: string[] = [];
  client.on("message", (data: Buffer, isBinary) => paths.push(parseMessage(data, isBinary).path));
  sendAudio(client, 2000);
  await engine.given(2000);
  engine.listening?.onEvent({ type: "phrase", text: "Yes.", startMs: 100, endMs: 500 });
  engine.listening?.onProgress?.(2000);
  await engine.disposed;
  expect(client.readyState).toBe(WebSocket.OPEN);
  client.ping();
  await once(client, "pong");
  expect(paths.at(-1)).toBe("turn.end");
});

test("a client that is far ahead of an engine which tells no progress is held back", async () => {
  const { engine, speech, client } = await open("conversation");
  sendAudio(client, 60_000);
  await engine.given(30_000);
  // Were it not held back, everything would arrive meanwhile.
  for (const _ of Array.from({ length: 50 })) await fetch(speech.url);
  expect(engine.givenMs).toBeLessThan(40_000);
  const rest = engine.given(60_000);
  engine.listening?.onProgress?.(engine.givenMs);
  await rest;
  expect(engine.givenMs).toBe(60_000);
});

test.each([
  { state: "is held back", failsAtMs: 30_100 },
  { state: "would soon be held back", failsAtMs: 10_000 },
])("a client that $state is told at once when the engine fails", async ({ failsAtMs }) => {
  const { engine, client } = await open("conversation");
  sendAudio(client, 60_000);
  await engine.given(failsAtMs);
  engine.listening?.onFailure?.(new Error("out of memory"));
  const [code] = await once(client, "close");
  expect(code).toBe(1011);
});
