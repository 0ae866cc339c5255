import type { Audio } from "../media/frame.ts";
import { decodeAlaw, decodeMulaw, encodeAlaw, encodeMulaw } from "../media/g711.ts";
import { resample } from "../media/resample.ts";

/** How samples are written in bytes. */
export interface AudioFormat {
  readonly encoding: "pcm" | "mulaw" | "alaw";
  readonly rateHz: number;
  readonly channels: number;
}

const WAV_TAGS = new Map<number, AudioFormat["encoding"]>([
  [1, "pcm"],
  [6, "alaw"],
  [7, "mulaw"],
]);
const PCM_BITS = 16;
const G711_BITS = 8;
const LOWEST_RATE_HZ = 8000;
const HIGHEST_RATE_HZ = 48_000;

/** What the service does not take; it closes with 1007. */
export class AudioFormatError extends Error {
  override readonly name = "AudioFormatError";
  readonly code = "SPEECH_AUDIO_FORMAT";
}

/** Reads the header that opens a stream of audio; its sizes are 0 and of no meaning. */
export function parseWavHeader(header: Buffer): { format: AudioFormat; dataAt: number } {
  if (header.toString("latin1", 0, 4) !== "RIFF" || header.toString("latin1", 8, 12) !== "WAVE") {
    throw new AudioFormatError("expected a RIFF WAVE header");
  }
  let format: AudioFormat | undefined;
  for (let at = 12; at + 8 <= header.length; ) {
    const id = header.toString("latin1", at, at + 4);
    const lengthBytes = header.readUInt32LE(at + 4);
    if (id === "fmt ") format = parseFormat(header.subarray(at + 8, at + 8 + lengthBytes));
    if (id === "data" && format !== undefined) return { format, dataAt: at + 8 };
    at += 8 + lengthBytes + (lengthBytes % 2);
  }
  throw new AudioFormatError("expected the chunks fmt and data");
}

function parseFormat(chunk: Buffer): AudioFormat {
  if (chunk.length < 16) throw new AudioFormatError(`fmt chunk of ${chunk.length} bytes`);
  const tag = chunk.readUInt16LE(0);
  const encoding = WAV_TAGS.get(tag);
  const bits = chunk.readUInt16LE(14);
  if (encoding === undefined || bits !== (encoding === "pcm" ? PCM_BITS : G711_BITS)) {
    throw new AudioFormatError(`expected 16-bit PCM or 8-bit G.711, got tag ${tag}, ${bits} bits`);
  }
  const rateHz = chunk.readUInt32LE(4);
  if (rateHz < LOWEST_RATE_HZ || rateHz > HIGHEST_RATE_HZ) {
    throw new AudioFormatError(`expected 8000 to 48000 Hz, got ${rateHz}`);
  }
  return { encoding, rateHz, channels: Math.max(1, chunk.readUInt16LE(2)) };
}

export function bytesPerSample({ encoding, channels }: AudioFormat): number {
  return (encoding === "pcm" ? 2 : 1) * channels;
}

/** Bytes to mono samples; of several channels the first counts. An odd byte at the end is dropped. */
export function decodeAudio(format: AudioFormat, bytes: Buffer): Int16Array {
  const { encoding, channels } = format;
  if (encoding === "pcm") {
    const count = Math.floor(bytes.length / bytesPerSample(format));
    const samples = new Int16Array(count);
    for (let index = 0; index < count; index++) {
      samples[index] = bytes.readInt16LE(2 * channels * index);
    }
    return samples;
  }
  const decoded = encoding === "mulaw" ? decodeMulaw(bytes) : decodeAlaw(bytes);
  return channels === 1 ? decoded : decoded.filter((_, index) => index % channels === 0);
}

export function encodeAudio({ encoding, rateHz }: AudioFormat, audio: Audio): Buffer {
  const samples = resample(audio.samples, audio.rateHz, rateHz);
  if (encoding === "mulaw") return Buffer.from(encodeMulaw(samples));
  if (encoding === "alaw") return Buffer.from(encodeAlaw(samples));
  const bytes = Buffer.alloc(2 * samples.length);
  for (const [index, sample] of samples.entries()) bytes.writeInt16LE(sample, 2 * index);
  return bytes;
}

/** `raw-8khz-8bit-mono-mulaw`, `riff-16khz-16bit-mono-pcm`, …; `undefined` for compressed ones. */
export function parseOutputFormat(
  name: string,
): { format: AudioFormat; riff: boolean } | undefined {
  const match =
    /^(raw|riff)-(8|16|22050|24|44100|48)(?:khz|hz)-(8|16)bit-mono-(pcm|mulaw|alaw)$/.exec(name);
  if (match === null) return undefined;
  const [, container, rate, bits, encoding] = match;
  if ((encoding === "pcm") !== (bits === "16")) return undefined;
  const rateHz = Number(rate) < 100 ? Number(rate) * 1000 : Number(rate);
  const known = encoding === "mulaw" || encoding === "alaw" ? encoding : "pcm";
  return { format: { encoding: known, rateHz, channels: 1 }, riff: container === "riff" };
}

/** The 44 bytes before raw audio of `lengthBytes`. */
export function formatWavHeader(format: AudioFormat, lengthBytes: number): Buffer {
  const { encoding, rateHz } = format;
  const tag = encoding === "pcm" ? 1 : encoding === "alaw" ? 6 : 7;
  const width = encoding === "pcm" ? 2 : 1;
  const header = Buffer.alloc(44);
  header.write("RIFF", 0, "latin1");
  header.writeUInt32LE(36 + lengthBytes, 4);
  header.write("WAVEfmt ", 8, "latin1");
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(tag, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rateHz, 24);
  header.writeUInt32LE(rateHz * width, 28);
  header.writeUInt16LE(width, 32);
  header.writeUInt16LE(8 * width, 34);
  header.write("data", 36, "latin1");
  header.writeUInt32LE(lengthBytes, 40);
  return header;
}
