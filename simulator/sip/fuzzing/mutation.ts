/** Numbers that repeat for the same seed (xorshift32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    // Zero is the one state the generator never leaves.
    this.#state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  }

  /** An integer from 0 to below `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

/** What tends to hurt SIP parsers. */
const TOKENS = [
  "\r\n",
  "\r\n ",
  "\n",
  "\r",
  "\r\n\r\n",
  "\0",
  "\t",
  " ",
  "  ",
  ":",
  ";",
  ",",
  "=",
  "@",
  "%",
  "%00",
  "%4",
  "<",
  ">",
  "<>",
  '"',
  '\\"',
  "\\",
  "[",
  "]",
  "[::1]",
  "*",
  "?",
  "/",
  "SIP/2.0",
  "sip:",
  "sips:",
  "tel:",
  ";tag=",
  ";lr",
  ";branch=z9hG4bK",
  ";rport",
  ";received=",
  "-1",
  "0",
  "65536",
  "4294967296",
  "2147483648",
  "99999999999999999999",
  "Content-Length: ",
  "l: ",
  "Via: ",
  "v:",
  "CSeq: 1 ",
  "To: ",
  "From: ",
  "é",
  "\u{1F600}",
  "INVITE ",
  "ACK ",
  "CANCEL ",
  "SIP/2.0 200 OK",
  "SIP/2.0 ",
  "a".repeat(300),
].map((text) => Buffer.from(text));

const MAX_BYTES = 4096;
const MAX_CHANGES = 6;

/** Changes a corpus input in a few places: bytes, tokens, pieces of itself or of another input. */
export function mutate(random: SeededRandom, corpus: readonly Buffer[]): Buffer {
  let bytes = random.pick(corpus);
  for (let changes = 1 + random.below(MAX_CHANGES); changes > 0; changes--) {
    bytes = change(random, bytes, corpus);
  }
  return bytes.subarray(0, MAX_BYTES);
}

function change(random: SeededRandom, bytes: Buffer, corpus: readonly Buffer[]): Buffer {
  const at = random.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + random.below(16));
  const head = bytes.subarray(0, at);
  const tail = bytes.subarray(at);
  switch (random.below(7)) {
    case 0:
      return Buffer.concat([head, Buffer.from([random.below(256)]), tail.subarray(1)]);
    case 1:
      return Buffer.concat([head, random.pick(TOKENS), tail]);
    case 2:
      return Buffer.concat([head, random.pick(TOKENS), bytes.subarray(to)]);
    case 3:
      return Buffer.concat([head, bytes.subarray(to)]);
    case 4:
      return Buffer.concat([head, bytes.subarray(at, to), tail]);
    case 5:
      return Buffer.concat([head, piece(random, random.pick(corpus)), tail]);
    default:
      return head.length === 0 ? bytes : head;
  }
}

function piece(random: SeededRandom, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  return bytes.subarray(at, at + random.below(64));
}
