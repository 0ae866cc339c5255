import { readFile, writeFile } from "node:fs/promises";
// oxlint-disable-next-line import/default -- CommonJS: Node offers its exports as the default
import wavefile from "wavefile";
import type { Audio } from "./frame.ts";

// oxlint-disable-next-line import/no-named-as-default-member -- the named import fails in Node
const { WaveFile } = wavefile;

const MULAW = "8m";
const ALAW = "8a";
const LINEAR = "16";

/** Two channels of one rate; the shorter one is padded with silence. */
export interface StereoAudio {
  readonly left: Audio;
  readonly right: Audio;
}

/**
 * A WAV file's audio as mono PCM. 16-bit linear and G.711 are taken; several channels are averaged.
 * Throws an Error that names the file and what it holds instead.
 */
export async function readWav(source: string | Uint8Array): Promise<Audio> {
  const name = typeof source === "string" ? source : "WAV data";
  return parseWav(typeof source === "string" ? await readFile(source) : source, name);
}

export async function writeWav(path: string, audio: Audio | StereoAudio): Promise<void> {
  await writeFile(path, toWavBuffer(audio));
}

/** A 16-bit WAV file in memory. */
export function toWavBuffer(audio: Audio | StereoAudio): Buffer {
  const wav = new WaveFile();
  if ("samples" in audio) {
    wav.fromScratch(1, audio.rateHz, LINEAR, audio.samples);
  } else {
    const { left, right } = audio;
    if (left.rateHz !== right.rateHz) {
      throw new RangeError(`WAV: expected one rate, got ${left.rateHz} and ${right.rateHz} Hz`);
    }
    wav.fromScratch(2, left.rateHz, LINEAR, interleave(left.samples, right.samples));
  }
  return Buffer.from(wav.toBuffer());
}

/** The same as {@link readWav} for data at hand; `name` is for the error's text. */
export function parseWav(data: Uint8Array, name = "WAV data"): Audio {
  const wav = open(data, name);
  const { bitDepth } = wav;
  if (bitDepth === MULAW) wav.fromMuLaw();
  else if (bitDepth === ALAW) wav.fromALaw();
  else if (bitDepth !== LINEAR) {
    throw new Error(`${name}: expected 16-bit linear or G.711, got ${bitDepth} bits`);
  }
  const { sampleRate: rateHz = 0, numChannels: channels = 1 } = wav.fmt as Partial<WavFormat>;
  const interleaved = wav.getSamples(true, Int16Array) as unknown as Int16Array;
  return { samples: mixDown(interleaved, channels), rateHz };
}

interface WavFormat {
  sampleRate: number;
  numChannels: number;
}

function open(data: Uint8Array, name: string) {
  try {
    return new WaveFile(data);
  } catch (cause) {
    throw new Error(`${name}: expected a RIFF WAVE file`, { cause });
  }
}

function mixDown(interleaved: Int16Array, channels: number): Int16Array {
  if (channels === 1) return Int16Array.from(interleaved);
  return Int16Array.from({ length: Math.floor(interleaved.length / channels) }, (_, index) => {
    const frame = interleaved.subarray(index * channels, (index + 1) * channels);
    return frame.reduce((sum, sample) => sum + sample, 0) / channels;
  });
}

function interleave(left: Int16Array, right: Int16Array): Int16Array {
  const samples = new Int16Array(Math.max(left.length, right.length) * 2);
  left.forEach((sample, index) => {
    samples[index * 2] = sample;
  });
  right.forEach((sample, index) => {
    samples[index * 2 + 1] = sample;
  });
  return samples;
}
