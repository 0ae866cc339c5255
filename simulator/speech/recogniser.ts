import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { Expectation } from "./expectation.ts";
import type { EarEvent } from "./listener.ts";
import type { RecogniserAnswer, RecogniserJob } from "./recogniser-worker.ts";
import type { Enrolment } from "./template.ts";

export type { EarEvent } from "./listener.ts";
export type { Enrolment } from "./template.ts";

/** Listens to one stream of audio. */
export interface Ear extends AsyncDisposable {
  /** Mono PCM in chunks of any size. Events follow later, in order. */
  accept(samples: Int16Array, rateHz: number): void;
  /** Judges what is still open; resolves when every event has been delivered. */
  finish(): Promise<void>;
}

export interface ListenOptions extends Expectation {
  onEvent: (event: EarEvent) => void;
  /** Silence that ends unknown speech. Default 600 ms. A known sentence ends 200 ms after its last sound. */
  segmentationSilenceMs?: number;
  /** Called as audio has been judged, after the events it gave rise to: how much of it, so far. */
  onProgress?: (heardMs: number) => void;
  /** Nothing more will be heard; `finish` rejects with the same. */
  onFailure?: (error: Error) => void;
}

/** Whatever makes text of audio: the template recogniser, or a real one that is plugged in. */
export interface SpeechEngine {
  listen(options: ListenOptions): Ear;
}

/**
 * Tells which known sentence was said. It knows what it was taught, in the voice it was taught it
 * in, and rejects everything else; it survives G.711, loss, gain and noise, not another voice.
 */
export interface Recogniser extends SpeechEngine, AsyncDisposable {
  /** The same text and audio twice count once. Ears that listen already know it from now on. */
  enrol(enrolment: Enrolment): Promise<void>;
}

export class RecogniserError extends Error {
  override readonly name = "RecogniserError";
  readonly code = "RECOGNISER_CLOSED";
}

const DEFAULT_SILENCE_MS = 600;

export async function startRecogniser(): Promise<Recogniser> {
  const worker = startWorker();
  const enrolled = new Map<string, Promise<void>>();
  let ears = 0;

  return {
    enrol(enrolment) {
      const key = digest(enrolment);
      const known = enrolled.get(key);
      if (known !== undefined) return known;
      const audio = plain(enrolment.audio);
      const job = { job: "enrol" as const, enrolment: { ...enrolment, audio } };
      const done = worker.ask(job);
      enrolled.set(key, done);
      return done;
    },
    listen({
      onEvent,
      onProgress,
      languages,
      phrases,
      segmentationSilenceMs = DEFAULT_SILENCE_MS,
    }) {
      const ear = ears++;
      const progress = onProgress !== undefined;
      worker.tell({ job: "listen", ear, segmentationSilenceMs, progress, languages, phrases });
      const stop = worker.subscribe(ear, { onEvent, onProgress });
      return {
        accept(samples, rateHz) {
          worker.tell({ job: "accept", ear, samples: samples.slice(), rateHz });
        },
        finish: () => worker.ask({ job: "finish", ear }),
        async [Symbol.asyncDispose]() {
          stop();
          worker.tell({ job: "close", ear });
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await worker.close();
    },
  };
}

/** Only what crosses to the worker; an utterance carries more. */
function plain({ samples, rateHz }: Enrolment["audio"]) {
  return { samples, rateHz };
}

function digest(enrolment: Enrolment): string {
  const { text, language = "en-US", rare = false } = enrolment;
  const { samples, rateHz } = enrolment.audio;
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return createHash("sha256")
    .update(JSON.stringify([rateHz, text, language, rare]))
    .update(bytes)
    .digest("base64");
}

type Question =
  | Omit<Extract<RecogniserJob, { job: "enrol" }>, "serial">
  | Omit<Extract<RecogniserJob, { job: "finish" }>, "serial">;

function startWorker() {
  const worker = new Worker(new URL("./recogniser-worker.ts", import.meta.url));
  worker.unref();
  const waiting = new Map<number, PromiseWithResolvers<void>>();
  const listeners = new Map<number, Pick<ListenOptions, "onEvent" | "onProgress">>();
  let serial = 0;
  let closed = false;

  const fail = (message: string) => {
    closed = true;
    for (const { reject } of waiting.values()) reject(new RecogniserError(message));
    waiting.clear();
  };
  const take = (answer: RecogniserAnswer) => {
    if (answer.answer === "event") listeners.get(answer.ear)?.onEvent(answer.event);
    else if (answer.answer === "progress") listeners.get(answer.ear)?.onProgress?.(answer.heardMs);
    else {
      waiting.get(answer.serial)?.resolve();
      waiting.delete(answer.serial);
      if (waiting.size === 0) worker.unref();
    }
  };
  worker.on("message", (answers: RecogniserAnswer[]) => answers.forEach(take));
  worker.on("error", (error) => fail(`the recogniser failed: ${String(error)}`));
  worker.on("exit", () => fail("the recogniser is closed"));

  // Crossing to a thread costs more than a frame's audio: what one turn of the event loop brought
  // goes over together, which is one frame while little happens, and many under load.
  const outbox: RecogniserJob[] = [];
  const post = () => {
    const jobs = outbox.splice(0);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
    if (!closed) worker.postMessage(jobs);
  };
  const tell = (job: RecogniserJob) => {
    if (outbox.push(job) === 1) setImmediate(post);
  };
  return {
    tell,
    ask(question: Question): Promise<void> {
      if (closed) return Promise.reject(new RecogniserError("the recogniser is closed"));
      const pending = Promise.withResolvers<void>();
      waiting.set(serial, pending);
      worker.ref();
      tell({ ...question, serial: serial++ });
      return pending.promise;
    },
    subscribe(ear: number, listener: Pick<ListenOptions, "onEvent" | "onProgress">) {
      listeners.set(ear, listener);
      return () => void listeners.delete(ear);
    },
    async close() {
      listeners.clear();
      await worker.terminate();
    },
  };
}
