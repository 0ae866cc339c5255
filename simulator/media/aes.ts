import { read32 } from "./rtp.ts";

const ROUNDS = 10;
const SBOX = substitutionBox();
/** One round's SubBytes, ShiftRows and MixColumns for an octet of each of the four rows. */
const ROW0 = roundTable(0);
const ROW1 = roundTable(8);
const ROW2 = roundTable(16);
const ROW3 = roundTable(24);

/** Four columns of the state, or of a round key. */
interface Columns {
  a: number;
  b: number;
  c: number;
  d: number;
}

/**
 * AES-128 in counter mode as SRTP uses it (FIPS 197; RFC 3711 §4.1.1). In JavaScript because a call
 * into OpenSSL costs more than the ten blocks of a G.711 packet, and leaves native handles behind.
 */
export class AesCounter {
  readonly #whitening: Columns;
  readonly #rounds: readonly Columns[];
  readonly #last: Columns;

  /** `key` has 16 octets. */
  constructor(key: Uint8Array) {
    const words = expandKey(key);
    this.#whitening = columns(words, 0);
    this.#rounds = Array.from({ length: ROUNDS - 1 }, (_, round) => columns(words, round + 1));
    this.#last = columns(words, ROUNDS);
  }

  /** XORs `data` from `start` to `end` with the key stream of `counter` (16 octets, last two 0). */
  apply(counter: Uint8Array, data: Uint8Array, start = 0, end = data.length): void {
    const [a, b, c, d] = [0, 4, 8, 12].map((at) => read32(counter, at)) as [
      number,
      number,
      number,
      number,
    ];
    for (let offset = start, block = 0; offset < end; offset += 16, block++) {
      const stream = this.#encrypt({ a, b, c, d: d + block });
      const to = Math.min(offset + 16, end);
      xor(data, offset, to, stream.a);
      xor(data, offset + 4, to, stream.b);
      xor(data, offset + 8, to, stream.c);
      xor(data, offset + 12, to, stream.d);
    }
  }

  #encrypt(block: Columns): Columns {
    let a = block.a ^ this.#whitening.a;
    let b = block.b ^ this.#whitening.b;
    let c = block.c ^ this.#whitening.c;
    let d = block.d ^ this.#whitening.d;
    for (const key of this.#rounds) {
      const e = mixedColumn(a, b, c, d) ^ key.a;
      const f = mixedColumn(b, c, d, a) ^ key.b;
      const g = mixedColumn(c, d, a, b) ^ key.c;
      d = mixedColumn(d, a, b, c) ^ key.d;
      a = e;
      b = f;
      c = g;
    }
    return {
      a: lastColumn(a, b, c, d) ^ this.#last.a,
      b: lastColumn(b, c, d, a) ^ this.#last.b,
      c: lastColumn(c, d, a, b) ^ this.#last.c,
      d: lastColumn(d, a, b, c) ^ this.#last.d,
    };
  }
}

function columns(words: Uint32Array, round: number): Columns {
  const [a = 0, b = 0, c = 0, d = 0] = words.subarray(round * 4);
  return { a, b, c, d };
}

/** XORs the four octets of `word` into `data` from `offset`, not beyond `end`. */
function xor(data: Uint8Array, offset: number, end: number, word: number): void {
  const to = Math.min(offset + 4, end);
  for (let at = offset, shift = 24; at < to; at++, shift -= 8) {
    data[at] = (data[at] ?? 0) ^ (word >>> shift);
  }
}

function mixedColumn(w: number, x: number, y: number, z: number): number {
  return (
    (ROW0[w >>> 24] ?? 0) ^
    (ROW1[(x >>> 16) & 0xff] ?? 0) ^
    (ROW2[(y >>> 8) & 0xff] ?? 0) ^
    (ROW3[z & 0xff] ?? 0)
  );
}

/** The last round has no MixColumns. */
function lastColumn(w: number, x: number, y: number, z: number): number {
  return (
    ((SBOX[w >>> 24] ?? 0) << 24) |
    ((SBOX[(x >>> 16) & 0xff] ?? 0) << 16) |
    ((SBOX[(y >>> 8) & 0xff] ?? 0) << 8) |
    (SBOX[z & 0xff] ?? 0)
  );
}

function expandKey(key: Uint8Array): Uint32Array {
  if (key.length !== 16) throw new RangeError(`AES-128 key: expected 16 octets, got ${key.length}`);
  const words = new Uint32Array(4 * (ROUNDS + 1));
  for (let index = 0; index < 4; index++) words[index] = read32(key, index * 4);
  let constant = 1;
  for (let index = 4; index < words.length; index++) {
    let word = words[index - 1] ?? 0;
    if (index % 4 === 0) {
      word = lastColumn(word << 8, word << 8, word << 8, word >>> 24) ^ (constant << 24);
      constant = double(constant);
    }
    words[index] = (words[index - 4] ?? 0) ^ word;
  }
  return words;
}

function roundTable(turn: number): Uint32Array {
  return Uint32Array.from(SBOX, (octet) => {
    const twice = double(octet);
    const column = (twice << 24) | (octet << 16) | (octet << 8) | (twice ^ octet);
    return (column >>> turn) | (column << (32 - turn));
  });
}

/** Inverses in GF(2^8) by walking the powers of 3, then the affine map (FIPS 197 §5.1.1). */
function substitutionBox(): Uint8Array {
  const box = new Uint8Array(256);
  let power = 1;
  let inverse = 1;
  do {
    power ^= double(power);
    inverse ^= (inverse << 1) & 0xff;
    inverse ^= (inverse << 2) & 0xff;
    inverse ^= (inverse << 4) & 0xff;
    if (inverse & 0x80) inverse ^= 0x09;
    const turned = [1, 2, 3, 4].map((by) => ((inverse << by) | (inverse >> (8 - by))) & 0xff);
    box[power] = turned.reduce((sum, octet) => sum ^ octet, inverse) ^ 0x63;
  } while (power !== 1);
  box[0] = 0x63;
  return box;
}

/** Multiplication by x modulo the AES polynomial. */
function double(octet: number): number {
  return ((octet << 1) ^ (octet & 0x80 ? 0x11b : 0)) & 0xff;
}
