/**
 * G.711 by table: 16-bit linear PCM to and from the two 8-bit laws (ITU-T G.711; code for code
 * the same as the ITU reference's segment arithmetic on 14 and 13 bits, as most libraries have it).
 */
const MULAW_BIAS = 0x84;
const MULAW_CLIP = 32_635;

const mulawEncodeTable = encodeTable(mulawCode);
const alawEncodeTable = encodeTable(alawCode);
const mulawDecodeTable = decodeTable(mulawLevel);
const alawDecodeTable = decodeTable(alawLevel);

/** PCM to mu-law, into `target` if given. */
export function encodeMulaw(samples: Int16Array, target?: Uint8Array): Uint8Array {
  return encode(mulawEncodeTable, samples, target);
}

/** PCM to A-law, into `target` if given. */
export function encodeAlaw(samples: Int16Array, target?: Uint8Array): Uint8Array {
  return encode(alawEncodeTable, samples, target);
}

export function decodeMulaw(codes: Uint8Array): Int16Array {
  return decode(mulawDecodeTable, codes);
}

export function decodeAlaw(codes: Uint8Array): Int16Array {
  return decode(alawDecodeTable, codes);
}

/** The two G.711 payload formats by their RTP names (RFC 3551). */
export type CodecName = "PCMU" | "PCMA";

export interface Codec {
  readonly name: CodecName;
  /** Static payload type, RFC 3551 table 4. */
  readonly payloadType: number;
  encode(samples: Int16Array, target?: Uint8Array): Uint8Array;
  decode(codes: Uint8Array): Int16Array;
}

export const CODECS: Readonly<Record<CodecName, Codec>> = {
  PCMU: { name: "PCMU", payloadType: 0, encode: encodeMulaw, decode: decodeMulaw },
  PCMA: { name: "PCMA", payloadType: 8, encode: encodeAlaw, decode: decodeAlaw },
};

function encode(
  table: Uint8Array,
  samples: Int16Array,
  target: Uint8Array = new Uint8Array(samples.length),
): Uint8Array {
  for (let index = 0; index < samples.length; index++) {
    target[index] = table[(samples[index] ?? 0) & 0xffff] ?? 0;
  }
  return target;
}

function decode(table: Int16Array, codes: Uint8Array): Int16Array {
  const samples = new Int16Array(codes.length);
  for (let index = 0; index < codes.length; index++) {
    samples[index] = table[codes[index] ?? 0] ?? 0;
  }
  return samples;
}

function encodeTable(code: (sample: number) => number): Uint8Array {
  const table = new Uint8Array(65_536);
  for (let sample = -32_768; sample < 32_768; sample++) table[sample & 0xffff] = code(sample);
  return table;
}

function decodeTable(level: (code: number) => number): Int16Array {
  return Int16Array.from({ length: 256 }, (_, code) => level(code));
}

function mulawCode(sample: number): number {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(sample), MULAW_CLIP) + MULAW_BIAS;
  const exponent = Math.floor(Math.log2(magnitude)) - 7;
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~(sign | (exponent << 4) | mantissa) & 0xff;
}

function mulawLevel(code: number): number {
  const bits = ~code & 0xff;
  const magnitude = (((bits & 0x0f) << 3) + MULAW_BIAS) << ((bits & 0x70) >> 4);
  return bits & 0x80 ? MULAW_BIAS - magnitude : magnitude - MULAW_BIAS;
}

/** Even bits are inverted on the wire (0x55); the sign bit is set for positive values. */
function alawCode(sample: number): number {
  const sign = sample < 0 ? 0 : 0x80;
  const magnitude = (sample < 0 ? ~sample : sample) >> 3;
  const exponent = magnitude < 32 ? 0 : Math.floor(Math.log2(magnitude)) - 4;
  const mantissa = exponent < 2 ? (magnitude >> 1) & 0x0f : (magnitude >> exponent) & 0x0f;
  return (sign | (exponent << 4) | mantissa) ^ 0x55;
}

function alawLevel(code: number): number {
  const bits = code ^ 0x55;
  const exponent = (bits & 0x70) >> 4;
  const step = ((bits & 0x0f) << 4) + 8;
  const magnitude = exponent === 0 ? step : (step + 0x100) << (exponent - 1);
  return bits & 0x80 ? magnitude : -magnitude;
}
