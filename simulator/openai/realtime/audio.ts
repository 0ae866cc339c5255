import type { Audio } from "../../media/frame.ts";
import { CODECS } from "../../media/g711.ts";
import { resample } from "../../media/resample.ts";

/** An audio format of a session, by its older name. */
export type AudioFormat = "pcm16" | "g711_ulaw" | "g711_alaw";

/** The formats by their GA name: PCM at 24 kHz, or G.711 at 8 kHz. */
export const FORMATS: Readonly<Record<string, AudioFormat>> = {
  "audio/pcm": "pcm16",
  "audio/pcmu": "g711_ulaw",
  "audio/pcma": "g711_alaw",
};

const PCM_RATE_HZ = 24_000;
const G711_RATE_HZ = 8_000;

export function rateOf(format: AudioFormat): number {
  return format === "pcm16" ? PCM_RATE_HZ : G711_RATE_HZ;
}

/** Mono samples of the session's input format. An odd last byte of PCM is left out. */
export function decodeAudio(bytes: Buffer, format: AudioFormat): Int16Array {
  if (format === "g711_ulaw") return CODECS.PCMU.decode(bytes);
  if (format === "g711_alaw") return CODECS.PCMA.decode(bytes);
  const samples = new Int16Array(bytes.length >> 1);
  for (let index = 0; index < samples.length; index++) {
    samples[index] = bytes.readInt16LE(index * 2);
  }
  return samples;
}

/** Audio of any rate in the session's output format. */
export function encodeAudio({ samples, rateHz }: Audio, format: AudioFormat): Buffer {
  const resampled = resample(samples, rateHz, rateOf(format));
  if (format === "g711_ulaw") return Buffer.from(CODECS.PCMU.encode(resampled));
  if (format === "g711_alaw") return Buffer.from(CODECS.PCMA.encode(resampled));
  const bytes = Buffer.alloc(resampled.length * 2);
  for (const [index, sample] of resampled.entries()) bytes.writeInt16LE(sample, index * 2);
  return bytes;
}

export function bytesPerMs(format: AudioFormat): number {
  return format === "pcm16" ? (PCM_RATE_HZ * 2) / 1000 : G711_RATE_HZ / 1000;
}
