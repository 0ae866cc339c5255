import { SipError } from "./error.ts";
import { HeaderTable } from "./headers.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type Defect, type SipMessage, SipRequest, SipResponse } from "./message.ts";

export type ParseLimits = Pick<Limits, "headerBytes" | "bodyBytes" | "headerFields">;

const CR = 13;
const LF = 10;
const SPACE = 32;
const TAB = 9;
const COLON = 58;

const REQUEST_LINE = /^([\w!%'*+.`~-]+)([ \t]+)(.*?)([ \t]+)(SIP\/\d+\.\d+)([ \t]*)$/i;
const STATUS_LINE = /^SIP\/2\.0 (\d{3})(?: (.*))?$/i;

/**
 * Reads one whole message: a datagram, a WebSocket message, or what the stream framing cut out.
 *
 * Only the start line is taken apart and the header fields are indexed; see {@link HeaderTable}.
 * A flaw that still lets the sender be answered is noted in `defect`. Throws {@link SipError}
 * SIP_SYNTAX when there is no telling what it is, SIP_LIMIT when it is too large.
 */
export function parseMessage(bytes: Buffer, limits: ParseLimits = DEFAULT_LIMITS): SipMessage {
  const bodyStart = headEnd(bytes);
  if (bodyStart > limits.headerBytes) {
    throw new SipError("SIP_LIMIT", `headers of ${bodyStart} bytes; limit ${limits.headerBytes}`);
  }
  const text = bytes.toString("latin1", 0, bodyStart);
  const lineEnd = text.indexOf("\n");
  const startLine = text.slice(0, text.charCodeAt(lineEnd - 1) === CR ? lineEnd - 1 : lineEnd);
  const { index, defect } = indexFields(text, lineEnd + 1);
  if (index.length / 4 > limits.headerFields) {
    throw new SipError("SIP_LIMIT", `${index.length / 4} headers; limit ${limits.headerFields}`);
  }
  const headers = new HeaderTable(text, index);
  const body = measureBody(headers, bytes.length - bodyStart);
  if (body.length > limits.bodyBytes) {
    throw new SipError("SIP_LIMIT", `body of ${body.length} bytes; limit ${limits.bodyBytes}`);
  }
  const raw =
    bytes.length === bodyStart + body.length ? bytes : bytes.subarray(0, bodyStart + body.length);
  return build({ raw, startLine, headers, bodyStart, defect: defect ?? body.defect });
}

interface Received {
  raw: Buffer;
  startLine: string;
  headers: HeaderTable;
  bodyStart: number;
  defect: Defect | undefined;
}

/** Index of the first body byte. A lone LF is taken as a line end too; some test tools send it. */
function headEnd(bytes: Buffer): number {
  const strict = bytes.indexOf("\r\n\r\n", 0, "latin1");
  const loose = bytes.indexOf("\n\n", 0, "latin1");
  if (loose >= 0 && (strict < 0 || loose < strict)) return loose + 2;
  if (strict >= 0) return strict + 4;
  throw new SipError("SIP_SYNTAX", `no empty line after the headers in ${bytes.length} bytes`);
}

/** Four offsets per field: name start, name end, value start, end of the (folded) line. */
function indexFields(text: string, start: number): { index: number[]; defect: Defect | undefined } {
  const index: number[] = [];
  let defect: Defect | undefined;
  for (let at = start; at < text.length; ) {
    const end = fieldEnd(text, at);
    const lineEnd = text.charCodeAt(end - 1) === CR ? end - 1 : end;
    if (lineEnd > at) defect = indexField(text, at, lineEnd, index) ?? defect;
    at = end + 1;
  }
  return { index, defect };
}

/** The LF that ends the field, folded lines included (RFC 3261 §7.3.1). */
function fieldEnd(text: string, start: number): number {
  let end = text.indexOf("\n", start);
  for (;;) {
    const next = text.charCodeAt(end + 1);
    if (next !== SPACE && next !== TAB) return end;
    end = text.indexOf("\n", end + 1);
  }
}

function indexField(text: string, start: number, end: number, index: number[]): Defect | undefined {
  let nameEnd = start;
  while (nameEnd < end && isToken(text.charCodeAt(nameEnd))) nameEnd++;
  const colon = skipBlanks(text, nameEnd, end);
  if (nameEnd === start || text.charCodeAt(colon) !== COLON || colon >= end) {
    return { header: undefined, message: `header line "${text.slice(start, end)}"` };
  }
  index.push(start, nameEnd, skipBlanks(text, colon + 1, end), end);
  return undefined;
}

function skipBlanks(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB || code === CR || code === LF;
}

const TOKEN_CODES = new Uint8Array(256);
for (const character of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~") {
  TOKEN_CODES[character.charCodeAt(0)] = 1;
}

function isToken(code: number): boolean {
  return TOKEN_CODES[code] === 1;
}

/** How much of what follows the head is body (RFC 3261 §18.3). */
function measureBody(
  headers: HeaderTable,
  available: number,
): { length: number; defect: Defect | undefined } {
  const value = headers.get("Content-Length");
  if (value === undefined) return { length: available, defect: undefined };
  const header = "content-length";
  if (!/^\d{1,10}$/.test(value)) {
    return { length: available, defect: { header, message: `Content-Length "${value}"` } };
  }
  const length = Number(value);
  if (length <= available) return { length, defect: undefined };
  const message = `Content-Length ${length}, but only ${available} bytes of body`;
  return { length: available, defect: { header, message } };
}

function build(received: Received): SipMessage {
  const { startLine } = received;
  if (/^SIP\//i.test(startLine)) return buildResponse(received);
  const [, method, before, uri, after, version, rest] = REQUEST_LINE.exec(startLine) ?? [];
  if (method === undefined || uri === undefined || version === undefined) {
    throw new SipError("SIP_SYNTAX", `expected a start line, got "${startLine.slice(0, 100)}"`);
  }
  const tidy = before === " " && after === " " && rest === "" && !/[ \t]/.test(uri);
  const defect = tidy ? received.defect : { header: undefined, message: "request line" };
  return new SipRequest({ ...received, defect, method, uri, version });
}

function buildResponse(received: Received): SipResponse {
  const [, digits, reason = ""] = STATUS_LINE.exec(received.startLine) ?? [];
  const status = Number(digits);
  if (!(status >= 100 && status < 700)) {
    throw new SipError("SIP_SYNTAX", `expected a status line, got "${received.startLine}"`);
  }
  return new SipResponse({ ...received, status, reason });
}
