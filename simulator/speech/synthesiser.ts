import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { threadId, Worker } from "node:worker_threads";
import type { Audio } from "../media/frame.ts";
import { type SentenceRequest, SYNTHESIS_RATE_HZ, type Word } from "./flite.ts";
import { splitSentences } from "./sentence.ts";
import { parseSsml, type SsmlSegment } from "./ssml.ts";
import type { SynthesisAnswer, SynthesisJob } from "./synthesis-worker.ts";
import { findVoice } from "./voices.ts";

/** One sentence as audio: 16 kHz mono, 40 ms of silence before it and 240 ms after. */
export interface Sentence extends Audio {
  readonly text: string;
  readonly durationMs: number;
  readonly words: readonly Word[];
}

/** Everything asked for, joined; what was said, in pieces, is in `sentences`. */
export interface Utterance extends Sentence {
  /** The short name of the first voice that spoke. */
  readonly voice: string;
  readonly sentences: readonly Sentence[];
  /** The same with the silences between them, whose text is empty. */
  readonly pieces: readonly Sentence[];
}

export interface SynthesisRequest {
  /** Plain text, or instead of it … */
  text?: string;
  /** … a document in SSML; its voice and rate win over those given here. */
  ssml?: string;
  /** An Azure short name or a built-in voice's name. Default `en-US-AvaMultilingualNeural`. */
  voice?: string;
  /** 2 is twice as fast; 0.5 … 2. Default 1. */
  rate?: number;
}

export interface Synthesiser extends AsyncDisposable {
  /**
   * The same request gives the same bytes. Rejects with {@link SynthesisError} (unknown voice, the
   * worker gone) or an SsmlError.
   */
  synthesise(request: SynthesisRequest): Promise<Utterance>;
}

export class SynthesisError extends Error {
  override readonly name = "SynthesisError";
  readonly code: "UNSUPPORTED_VOICE" | "SYNTHESIS_FAILED";

  constructor(code: SynthesisError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export interface SynthesiserOptions {
  /** Where audio is kept between runs. Default: only in memory. */
  cacheFolder?: string | undefined;
  /** Sentences kept in memory; the oldest goes first. Default 2,000 (about 150 MB). */
  limitSentences?: number;
}

/** Changes when the same text would give other bytes, so that old cache files are not used. */
const CACHE_VERSION = "flite-0.1.1/1";

export async function startSynthesiser({
  cacheFolder,
  limitSentences = 2000,
}: SynthesiserOptions = {}): Promise<Synthesiser> {
  const worker = startWorker();
  const render = (request: SentenceRequest) => worker.render(request);
  const make = (request: SentenceRequest) =>
    cacheFolder === undefined ? render(request) : throughFolder(cacheFolder, request, render);
  const sentences = new Map<string, Promise<Sentence>>();

  const sentence = (request: SentenceRequest): Promise<Sentence> => {
    const key = keyOf(request);
    const kept = sentences.get(key);
    if (kept !== undefined) return kept;
    const made = make(request);
    sentences.set(key, made);
    made.catch(() => sentences.delete(key));
    const [oldest] = sentences.keys();
    if (sentences.size > limitSentences && oldest !== undefined) sentences.delete(oldest);
    return made;
  };

  return {
    async synthesise(request) {
      const plan = planOf(request);
      const pieces = plan.pieces.map((piece) =>
        "durationMs" in piece ? Promise.resolve(silence(piece.durationMs)) : sentence(piece),
      );
      return joined(plan.voice, await Promise.all(pieces));
    },
    async [Symbol.asyncDispose]() {
      sentences.clear();
      await worker.close();
    },
  };
}

type Piece = SentenceRequest | { durationMs: number };

function planOf({ text, ssml, voice, rate = 1 }: SynthesisRequest): {
  voice: string;
  pieces: Piece[];
} {
  const segments: SsmlSegment[] =
    ssml === undefined ? [{ kind: "speech", text: text ?? "", rate: 1 }] : parseSsml(ssml);
  const voices: string[] = [];
  const pieces = segments.flatMap((segment): Piece[] => {
    if (segment.kind === "silence") return [{ durationMs: segment.durationMs }];
    const { shortName, builtIn } = requireVoice(segment.voice ?? voice);
    voices.push(shortName);
    const clamped = Math.min(2, Math.max(0.5, segment.rate * rate));
    return splitSentences(segment.text).map((each) => ({
      text: each,
      voice: builtIn,
      rate: clamped,
    }));
  });
  return { voice: voices[0] ?? requireVoice(voice).shortName, pieces };
}

function requireVoice(name: string | undefined) {
  const voice = findVoice(name);
  if (voice !== undefined) return voice;
  throw new SynthesisError("UNSUPPORTED_VOICE", `Unsupported voice ${name}.`);
}

function silence(durationMs: number): Sentence {
  const samples = new Int16Array(Math.round((durationMs * SYNTHESIS_RATE_HZ) / 1000));
  return { text: "", samples, rateHz: SYNTHESIS_RATE_HZ, durationMs, words: [] };
}

function joined(voice: string, pieces: readonly Sentence[]): Utterance {
  const total = pieces.reduce((sum, { samples }) => sum + samples.length, 0);
  const samples = new Int16Array(total);
  const words: Word[] = [];
  let offset = 0;
  for (const piece of pieces) {
    samples.set(piece.samples, offset);
    const startMs = (offset * 1000) / SYNTHESIS_RATE_HZ;
    words.push(...piece.words.map((word) => ({ ...word, startMs: word.startMs + startMs })));
    offset += piece.samples.length;
  }
  const sentences = pieces.filter(({ text }) => text !== "");
  const text = sentences.map((each) => each.text).join(" ");
  const durationMs = (total * 1000) / SYNTHESIS_RATE_HZ;
  return { text, voice, samples, rateHz: SYNTHESIS_RATE_HZ, durationMs, words, sentences, pieces };
}

interface RenderingWorker {
  render(request: SentenceRequest): Promise<Sentence>;
  close(): Promise<void>;
}

function startWorker(): RenderingWorker {
  const worker = new Worker(new URL("./synthesis-worker.ts", import.meta.url));
  worker.unref();
  const waiting = new Map<number, PromiseWithResolvers<Sentence> & { text: string }>();
  let serial = 0;
  let closed = false;

  const fail = (message: string) => {
    closed = true;
    for (const { reject } of waiting.values())
      reject(new SynthesisError("SYNTHESIS_FAILED", message));
    waiting.clear();
  };
  worker.on("message", (answer: SynthesisAnswer) => {
    const asked = waiting.get(answer.serial);
    waiting.delete(answer.serial);
    if (waiting.size === 0) worker.unref();
    if ("error" in answer) asked?.reject(new SynthesisError("SYNTHESIS_FAILED", answer.error));
    else asked?.resolve(sentenceOf(asked.text, answer.samples, answer.words));
  });
  worker.on("error", (error) => fail(`the synthesis worker failed: ${String(error)}`));
  worker.on("exit", () => fail("the synthesiser is closed"));

  return {
    render(request) {
      if (closed) {
        return Promise.reject(new SynthesisError("SYNTHESIS_FAILED", "the synthesiser is closed"));
      }
      const asked = { ...Promise.withResolvers<Sentence>(), text: request.text };
      const job: SynthesisJob = { serial: serial++, ...request };
      waiting.set(job.serial, asked);
      worker.ref();
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
      worker.postMessage(job);
      return asked.promise;
    },
    async close() {
      await worker.terminate();
    },
  };
}

function sentenceOf(text: string, samples: Int16Array, words: readonly Word[]): Sentence {
  const durationMs = (samples.length * 1000) / SYNTHESIS_RATE_HZ;
  return { text, samples, rateHz: SYNTHESIS_RATE_HZ, durationMs, words };
}

function keyOf({ voice, rate, text }: SentenceRequest): string {
  return JSON.stringify([CACHE_VERSION, voice, rate, text]);
}

/** A file is one line of JSON (the words), then the samples, little-endian. */
async function throughFolder(
  folder: string,
  request: SentenceRequest,
  render: (request: SentenceRequest) => Promise<Sentence>,
): Promise<Sentence> {
  const name = createHash("sha256").update(keyOf(request)).digest("hex");
  const path = join(folder, `${name}.speech`);
  const kept = await readFile(path).catch(() => undefined);
  const end = kept?.indexOf("\n") ?? -1;
  if (kept !== undefined && end > 0) {
    const samples = new Int16Array(new Uint8Array(kept.subarray(end + 1)).buffer);
    return sentenceOf(request.text, samples, JSON.parse(kept.toString("utf8", 0, end)) as Word[]);
  }
  const made = await render(request);
  // A folder that cannot be written costs the next run time, and this one nothing.
  await keep(path, made).catch(() => {});
  return made;
}

let keptFiles = 0;

/** Whole or not at all, whoever else writes the same file at the same time. */
async function keep(path: string, { samples, words }: Sentence): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}-${threadId}-${keptFiles++}`;
  const pcm = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  await writeFile(temporary, Buffer.concat([Buffer.from(`${JSON.stringify(words)}\n`), pcm]));
  await rename(temporary, path);
}
