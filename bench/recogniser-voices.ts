import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Audio } from "../simulator/media/frame.ts";
import type { Word } from "../simulator/speech/flite.ts";
import { startSynthesiser } from "../simulator/speech/synthesiser.ts";

/** A voice that says what the benchmark needs. */
export interface Speaker extends AsyncDisposable {
  readonly name: string;
  say(text: string): Promise<{ audio: Audio; words?: readonly Word[] }>;
}

/** One of the built-in voices, or `espeak`: the program espeak-ng, which has to be installed. */
export async function openSpeaker(name: string): Promise<Speaker> {
  return name === "espeak" ? espeak() : builtIn(name);
}

async function builtIn(name: string): Promise<Speaker> {
  const synthesiser = await startSynthesiser();
  return {
    name,
    async say(text) {
      const { samples, rateHz, words } = await synthesiser.synthesise({ text, voice: name });
      return { audio: { samples, rateHz }, words };
    },
    [Symbol.asyncDispose]: () => synthesiser[Symbol.asyncDispose](),
  };
}

const ESPEAK_RATE_HZ = 22_050;
const WAV_HEADER_BYTES = 44;
const LIMIT_WAV_BYTES = 10_000_000;

function espeak(): Speaker {
  const run = promisify(execFile);
  return {
    name: "espeak",
    async say(text) {
      const options = { encoding: "buffer", maxBuffer: LIMIT_WAV_BYTES } as const;
      const { stdout } = await run("espeak-ng", ["--stdout", text], options);
      const pcm = Uint8Array.from(stdout.subarray(WAV_HEADER_BYTES));
      const samples = new Int16Array(pcm.buffer, 0, pcm.length >> 1);
      return { audio: { samples, rateHz: ESPEAK_RATE_HZ } };
    },
    async [Symbol.asyncDispose]() {},
  };
}
