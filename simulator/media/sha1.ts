import { write32 } from "./rtp.ts";

/** The five chaining words. */
interface Chain {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
}

const INITIAL: Chain = {
  a: 0x67452301,
  b: 0xefcdab89 | 0,
  c: 0x98badcfe | 0,
  d: 0x10325476,
  e: 0xc3d2e1f0 | 0,
};
const BLOCK_OCTETS = 64;
const DIGEST_OCTETS = 20;

/**
 * HMAC-SHA1 (RFC 2104, FIPS 180-4) for many short messages under one key: the two key blocks are
 * hashed once, a message then costs its own blocks and one more, and nothing is allocated.
 */
export class HmacSha1 {
  readonly #inner: Chain;
  readonly #outer: Chain;
  #state: Chain = INITIAL;
  readonly #block = new Uint8Array(BLOCK_OCTETS);
  readonly #view = new DataView(this.#block.buffer);
  readonly #schedule = new Int32Array(80);
  readonly #digest = new Uint8Array(DIGEST_OCTETS);

  /** `key` has at most 64 octets; SRTP's has 20. */
  constructor(key: Uint8Array) {
    this.#inner = this.#keyState(key, 0x36);
    this.#outer = this.#keyState(key, 0x5c);
  }

  /** The MAC of `data` up to `end` followed by `word` (32 bits); valid until the next call. */
  sign(data: Uint8Array, end: number, word?: number): Uint8Array {
    this.#state = this.#inner;
    const whole = end - (end % BLOCK_OCTETS);
    for (let offset = 0; offset < whole; offset += BLOCK_OCTETS) {
      this.#block.set(data.subarray(offset, offset + BLOCK_OCTETS));
      this.#compress();
    }
    this.#block.fill(0);
    this.#block.set(data.subarray(whole, end));
    this.#finish(end - whole, end, word);
    this.#writeDigest();
    this.#state = this.#outer;
    this.#block.fill(0);
    this.#block.set(this.#digest);
    this.#pad(DIGEST_OCTETS, BLOCK_OCTETS + DIGEST_OCTETS);
    this.#writeDigest();
    return this.#digest;
  }

  /** The last octets of the message: what is left of the data, then the word, octet by octet. */
  #finish(rest: number, length: number, word: number | undefined): void {
    if (word === undefined) return this.#pad(rest, BLOCK_OCTETS + length);
    let used = rest;
    for (let shift = 24; shift >= 0; shift -= 8) {
      if (used === BLOCK_OCTETS) used = this.#nextBlock();
      this.#block[used++] = word >>> shift;
    }
    if (used === BLOCK_OCTETS) used = this.#nextBlock();
    this.#pad(used, BLOCK_OCTETS + length + 4);
  }

  #nextBlock(): number {
    this.#compress();
    this.#block.fill(0);
    return 0;
  }

  /** FIPS 180-4 §5.1.1: a one bit, zeros, and the length in bits. `used` octets are taken. */
  #pad(used: number, totalOctets: number): void {
    this.#block[used] = 0x80;
    if (used > BLOCK_OCTETS - 9) this.#nextBlock();
    this.#view.setUint32(BLOCK_OCTETS - 4, totalOctets * 8);
    this.#compress();
  }

  #writeDigest(): void {
    const { a, b, c, d, e } = this.#state;
    for (const [index, word] of [a, b, c, d, e].entries()) {
      write32(this.#digest, index * 4, word);
    }
  }

  #keyState(key: Uint8Array, pad: number): Chain {
    this.#state = INITIAL;
    this.#block.fill(0);
    this.#block.set(key);
    for (let index = 0; index < BLOCK_OCTETS; index++) {
      this.#block[index] = (this.#block[index] ?? 0) ^ pad;
    }
    this.#compress();
    return this.#state;
  }

  #expand(): Int32Array {
    const words = this.#schedule;
    for (let t = 0; t < 16; t++) words[t] = this.#view.getInt32(t * 4);
    for (let t = 16; t < 80; t++) {
      const mixed =
        (words[t - 3] ?? 0) ^ (words[t - 8] ?? 0) ^ (words[t - 14] ?? 0) ^ (words[t - 16] ?? 0);
      words[t] = (mixed << 1) | (mixed >>> 31);
    }
    return words;
  }

  /** FIPS 180-4 §6.1.2, a loop for each of the four round functions. */
  #compress(): void {
    const words = this.#expand();
    const before = this.#state;
    let { a, b, c, d, e } = before;
    for (let t = 0; t < 20; t++) {
      const sum = ((a << 5) | (a >>> 27)) + ((b & c) | (~b & d)) + e + 0x5a827999 + (words[t] ?? 0);
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = sum | 0;
    }
    for (let t = 20; t < 40; t++) {
      const sum = ((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1 + (words[t] ?? 0);
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = sum | 0;
    }
    for (let t = 40; t < 60; t++) {
      const sum =
        ((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e + 0x8f1bbcdc + (words[t] ?? 0);
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = sum | 0;
    }
    for (let t = 60; t < 80; t++) {
      const sum = ((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0xca62c1d6 + (words[t] ?? 0);
      e = d;
      d = c;
      c = (b << 30) | (b >>> 2);
      b = a;
      a = sum | 0;
    }
    this.#state = {
      a: (before.a + a) | 0,
      b: (before.b + b) | 0,
      c: (before.c + c) | 0,
      d: (before.d + d) | 0,
      e: (before.e + e) | 0,
    };
  }
}
