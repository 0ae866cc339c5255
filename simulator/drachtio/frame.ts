/**
 * The framing of drachtio's control protocol: `<decimal byte length>#<message>`, back to back, no
 * trailer. A message is one line of tokens separated by `|`, then CRLF and a SIP message if the
 * kind carries one. Source: drachtio-server `src/client.cpp`, drachtio-srf `lib/wire-protocol.js`.
 */
export interface Frame {
  /** The first line, split at `|`. */
  readonly tokens: readonly string[];
  /** The bytes after the first CRLF; empty if there is none. */
  readonly message: Buffer;
  /** Set when the message was longer than the limit: its length. Only the first bytes were kept. */
  readonly oversizeBytes?: number;
}

export class FrameError extends Error {
  override readonly name = "FrameError";
  readonly code = "FRAME_INVALID";
}

/** Digits of a length that are looked at before the stream is called garbage. */
const LENGTH_DIGITS = 10;
/** What is kept of an oversize message: enough for its id and kind, so that it can be refused. */
const OVERSIZE_HEAD_BYTES = 128;
const HASH = 0x23;
const ZERO = 0x30;

export function encodeFrame(head: string, message?: Uint8Array): Buffer {
  const headBytes = Buffer.byteLength(head);
  const length = headBytes + (message === undefined ? 0 : message.length + 2);
  const prefix = `${length}#`;
  const frame = Buffer.allocUnsafe(prefix.length + length);
  frame.write(prefix, 0);
  frame.write(head, prefix.length);
  if (message !== undefined) {
    frame.write("\r\n", prefix.length + headBytes);
    frame.set(message, prefix.length + headBytes + 2);
  }
  return frame;
}

/** Cuts a byte stream into frames. Messages longer than the limit are skipped, not buffered. */
export class FrameDecoder {
  readonly #limitBytes: number;
  #pending: Buffer = Buffer.alloc(0);
  #skip: { lengthBytes: number; leftBytes: number; head: Buffer } | undefined;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** The frames completed by `chunk`. Throws {@link FrameError} when a length is not a number. */
  push(chunk: Buffer): Frame[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#skip !== undefined) return this.#skipOversize();
    const start = this.#pending.indexOf(HASH) + 1;
    if (start === 0) {
      if (this.#pending.length > LENGTH_DIGITS) throw new FrameError("no length before a message");
      return undefined;
    }
    const lengthBytes = parseLength(this.#pending.subarray(0, start - 1));
    if (lengthBytes > this.#limitBytes) return this.#startSkipping(start, lengthBytes);
    const end = start + lengthBytes;
    if (this.#pending.length < end) return undefined;
    const frame = parseFrame(this.#pending.subarray(start, end));
    this.#pending = this.#pending.subarray(end);
    return frame;
  }

  #startSkipping(start: number, lengthBytes: number): Frame | undefined {
    this.#pending = this.#pending.subarray(start);
    this.#skip = { lengthBytes, leftBytes: lengthBytes, head: Buffer.alloc(0) };
    return this.#skipOversize();
  }

  #skipOversize(): Frame | undefined {
    const skip = this.#skip;
    if (skip === undefined) return undefined;
    const taken = this.#pending.subarray(0, skip.leftBytes);
    this.#pending = this.#pending.subarray(taken.length);
    skip.leftBytes -= taken.length;
    if (skip.head.length < OVERSIZE_HEAD_BYTES) {
      skip.head = Buffer.concat([skip.head, taken.subarray(0, OVERSIZE_HEAD_BYTES)]);
    }
    if (skip.leftBytes > 0) return undefined;
    this.#skip = undefined;
    return { ...parseFrame(skip.head), oversizeBytes: skip.lengthBytes };
  }
}

function parseLength(digits: Uint8Array): number {
  let length = 0;
  for (const byte of digits) {
    const digit = byte - ZERO;
    if (digit < 0 || digit > 9) throw new FrameError("the length before a message is not a number");
    length = length * 10 + digit;
  }
  if (digits.length === 0 || digits.length > LENGTH_DIGITS || length === 0) {
    throw new FrameError("the length before a message is missing, zero or too long");
  }
  return length;
}

function parseFrame(bytes: Buffer): Frame {
  const end = bytes.indexOf("\r\n");
  if (end === -1) return { tokens: bytes.toString().split("|"), message: Buffer.alloc(0) };
  return {
    tokens: bytes.toString("utf8", 0, end).split("|"),
    message: bytes.subarray(end + 2),
  };
}
