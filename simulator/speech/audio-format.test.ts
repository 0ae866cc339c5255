import { expect, test } from "vitest";
import {
  type AudioFormat,
  decodeAudio,
  encodeAudio,
  formatWavHeader,
  parseOutputFormat,
  parseWavHeader,
} from "./audio-format.ts";

const MULAW_8K: AudioFormat = { encoding: "mulaw", rateHz: 8000, channels: 1 };
const PCM_16K: AudioFormat = { encoding: "pcm", rateHz: 16_000, channels: 1 };

/** As the Speech SDK sends it: sizes are 0. */
const SDK_HEADER = Buffer.from(
  "52494646 00000000 57415645 666d7420 10000000 0700 0100 401f0000 401f0000 0100 0800 64617461 00000000".replaceAll(
    " ",
    "",
  ),
  "hex",
);

test("the header that opens the stream says how samples are written", () => {
  expect(parseWavHeader(SDK_HEADER)).toEqual({ format: MULAW_8K, dataAt: 44 });
});

test("a header that is written is read back", () => {
  expect(parseWavHeader(formatWavHeader(PCM_16K, 320))).toEqual({ format: PCM_16K, dataAt: 44 });
  expect(formatWavHeader(PCM_16K, 320).readUInt32LE(4)).toBe(356);
});

test.each([
  ["text", Buffer.from("GET / HTTP/1.1\r\n"), "expected a RIFF WAVE header"],
  ["no data", SDK_HEADER.subarray(0, 36), "expected the chunks fmt and data"],
  ["float samples", withUInt16(SDK_HEADER, 20, 3), "got tag 3, 8 bits"],
  ["24 bits", withUInt16(withUInt16(SDK_HEADER, 20, 1), 34, 24), "got tag 1, 24 bits"],
  ["4 kHz", withUInt16(SDK_HEADER, 24, 4000), "expected 8000 to 48000 Hz, got 4000"],
])("a header with %s is refused", (_, header, message) => {
  expect(() => parseWavHeader(header)).toThrow(message);
});

function withUInt16(header: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(header);
  changed.writeUInt16LE(value, at);
  return changed;
}

test("of two channels the first is heard, and half a sample is not", () => {
  const stereo: AudioFormat = { encoding: "pcm", rateHz: 16_000, channels: 2 };
  const bytes = Buffer.from([1, 0, 9, 9, 2, 0, 9, 9, 3]);
  expect(decodeAudio(stereo, bytes)).toEqual(Int16Array.of(1, 2));
});

test("G.711 is decoded by its law", () => {
  expect(decodeAudio(MULAW_8K, Buffer.from([0xff, 0x80, 0x00]))).toEqual(
    Int16Array.of(0, 32_124, -32_124),
  );
});

test("samples are resampled and written in the format asked for", () => {
  const samples = new Int16Array(320).fill(1000);
  expect(encodeAudio(PCM_16K, { samples, rateHz: 16_000 }).readInt16LE(100)).toBe(1000);
  expect(encodeAudio(MULAW_8K, { samples, rateHz: 16_000 })).toHaveLength(160);
});

test.each([
  ["raw-8khz-8bit-mono-mulaw", { format: MULAW_8K, riff: false }],
  ["riff-16khz-16bit-mono-pcm", { format: PCM_16K, riff: true }],
  ["raw-24khz-16bit-mono-pcm", { format: { ...PCM_16K, rateHz: 24_000 }, riff: false }],
  ["raw-8khz-8bit-mono-pcm", undefined],
  ["audio-16khz-32kbitrate-mono-mp3", undefined],
])("output format %s", (name, expected) => {
  expect(parseOutputFormat(name)).toEqual(expected);
});
