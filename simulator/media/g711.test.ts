import { expect, test } from "vitest";
// oxlint-disable-next-line import/default -- CommonJS: Node offers its exports as the default
import wavefile from "wavefile";
import { decodeAlaw, decodeMulaw, encodeAlaw, encodeMulaw } from "./g711.ts";

// oxlint-disable-next-line import/no-named-as-default-member -- the named import fails in Node
const { WaveFile } = wavefile;

const every16Bit = Int16Array.from({ length: 65_536 }, (_, index) => index - 32_768);
const everyCode = Uint8Array.from({ length: 256 }, (_, code) => code);

test("the laws' corner values are those of ITU-T G.711", () => {
  const samples = Int16Array.of(0, -1, 1, 32_767, -32_768, 1_000, -1_000);
  expect([...encodeMulaw(samples)]).toEqual([0xff, 0x7f, 0xff, 0x80, 0x00, 0xce, 0x4e]);
  expect([...encodeAlaw(samples)]).toEqual([0xd5, 0x55, 0xd5, 0xaa, 0x2a, 0xfa, 0x7a]);
  expect([...decodeMulaw(Uint8Array.of(0xff, 0x80, 0x00))]).toEqual([0, 32_124, -32_124]);
  expect([...decodeAlaw(Uint8Array.of(0xd5, 0xaa, 0x2a))]).toEqual([8, 32_256, -32_256]);
});

test("all 65,536 samples encode as an independent implementation encodes them", () => {
  const mulaw = pcmFile();
  mulaw.toMuLaw();
  expect(Buffer.from(encodeMulaw(every16Bit)).equals(samplesOf(mulaw))).toBe(true);

  const alaw = pcmFile();
  alaw.toALaw();
  const theirs = samplesOf(alaw);
  const ours = encodeAlaw(every16Bit);
  const differing = every16Bit.filter((_, index) => ours[index] !== theirs[index]);
  // On a decision level a negative sample has two codes; ITU-T G.191 takes the one nearer to zero.
  expect(differing.length).toBe(127);
  expect(differing.every((sample) => sample < 0 && sample % 16 === 0)).toBe(true);
});

test("every code survives decoding and encoding, but for mu-law's negative zero", () => {
  const again = [...encodeMulaw(decodeMulaw(everyCode))];
  expect(again.filter((code, index) => code !== index)).toEqual([0xff]);
  expect([...encodeAlaw(decodeAlaw(everyCode))]).toEqual([...everyCode]);
});

test("speech-level audio keeps a signal-to-noise ratio above 36 dB", () => {
  const tone = Int16Array.from({ length: 8_000 }, (_, n) => 8_000 * Math.sin(n * 0.37));
  for (const decoded of [decodeMulaw(encodeMulaw(tone)), decodeAlaw(encodeAlaw(tone))]) {
    const noise = tone.reduce((sum, sample, n) => sum + (sample - (decoded[n] ?? 0)) ** 2, 0);
    const signal = tone.reduce((sum, sample) => sum + sample ** 2, 0);
    expect(10 * Math.log10(signal / noise)).toBeGreaterThan(36);
  }
});

function pcmFile(): InstanceType<typeof WaveFile> {
  const wav = new WaveFile();
  wav.fromScratch(1, 8_000, "16", every16Bit);
  return wav;
}

function samplesOf(wav: InstanceType<typeof WaveFile>): Uint8Array {
  return (wav.data as { samples: Uint8Array }).samples;
}
