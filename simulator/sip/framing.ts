import { SipError } from "./error.ts";
import type { ParseLimits } from "./parser.ts";

/** What one chunk of a byte stream completed. */
export interface Framed {
  /** Whole messages, each to be given to `parseMessage`. */
  messages: Buffer[];
  /** Line breaks between messages: keep-alives of RFC 5626 §3.5.1. */
  lineBreaks: number;
  /** The stream can be read no further; the last message, if any, is worth an answer. */
  broken: SipError | undefined;
}

const CONTENT_LENGTH = /\n(?:content-length|l)[ \t]*:[ \t\r\n]*([^\r\n]*)/i;

/**
 * Cuts a byte stream into messages by Content-Length (RFC 3261 §18.3). A message without one has
 * no body; one with an unreadable one is handed out without body and the stream ends there.
 */
export class StreamFramer {
  readonly #limits: ParseLimits;
  #held: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Size of the message being collected, once its head is complete. */
  #expected: number | undefined;
  #searched = 0;

  constructor(limits: ParseLimits) {
    this.#limits = limits;
  }

  /** Part of a message is waiting for the rest. */
  get partial(): boolean {
    return this.#length > 0;
  }

  push(chunk: Buffer): Framed {
    const framed: Framed = { messages: [], lineBreaks: 0, broken: undefined };
    let bytes = this.#append(chunk);
    while (bytes.length > 0 && framed.broken === undefined) {
      const used = this.#takeOne(bytes, framed);
      if (used === 0) break;
      bytes = bytes.subarray(used);
    }
    this.#hold(bytes);
    return framed;
  }

  /** Bytes consumed by one line break or message; 0 when more is needed. */
  #takeOne(bytes: Buffer, framed: Framed): number {
    const lineBreak = leadingLineBreak(bytes);
    if (lineBreak > 0 && this.#expected === undefined) {
      framed.lineBreaks++;
      return lineBreak;
    }
    this.#expected ??= this.#measure(bytes, framed);
    if (this.#expected === undefined || bytes.length < this.#expected) return 0;
    const size = this.#expected;
    framed.messages.push(Buffer.from(bytes.subarray(0, size)));
    this.#expected = undefined;
    this.#searched = 0;
    return size;
  }

  #measure(bytes: Buffer, framed: Framed): number | undefined {
    const { headerBytes, bodyBytes } = this.#limits;
    const end = bytes.indexOf("\r\n\r\n", Math.max(0, this.#searched - 3), "latin1");
    this.#searched = bytes.length;
    const head = end < 0 ? bytes.length : end + 4;
    if (head > headerBytes) {
      framed.broken = new SipError("SIP_LIMIT", `headers over ${headerBytes} bytes`);
      return undefined;
    }
    if (end < 0) return undefined;
    const value = CONTENT_LENGTH.exec(bytes.toString("latin1", 0, head))?.[1]?.trim() ?? "0";
    const body = /^\d{1,10}$/.test(value) ? Number(value) : undefined;
    if (body !== undefined && body <= bodyBytes) return head + body;
    framed.broken =
      body === undefined
        ? new SipError("SIP_SYNTAX", `expected a Content-Length, got "${value}"`)
        : new SipError("SIP_LIMIT", `body of ${body} bytes; limit ${bodyBytes}`);
    return head;
  }

  /** What was held plus the chunk; the chunk itself when nothing was held. */
  #append(chunk: Buffer): Buffer {
    if (this.#length === 0) return chunk;
    const total = this.#length + chunk.length;
    if (this.#held.length < total) {
      const grown = Buffer.allocUnsafe(Math.max(total, this.#held.length * 2));
      this.#held.copy(grown, 0, 0, this.#length);
      this.#held = grown;
    }
    chunk.copy(this.#held, this.#length);
    return this.#held.subarray(0, total);
  }

  #hold(rest: Buffer): void {
    const inPlace =
      this.#length > 0 &&
      rest.buffer === this.#held.buffer &&
      rest.byteOffset === this.#held.byteOffset;
    this.#length = rest.length;
    if (!inPlace) this.#held = Buffer.from(rest);
  }
}

function leadingLineBreak(bytes: Buffer): number {
  if (bytes[0] === 10) return 1;
  return bytes[0] === 13 && bytes[1] === 10 ? 2 : 0;
}
