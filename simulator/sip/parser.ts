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

const TIDY_END = " SIP/2.0";
const VERSION = /^SIP\/\d+\.\d+$/i;
const TOKEN = /^[\w!%'*+.`~-]+$/;
const STATUS_LINE = /^SIP\/2\.0 (\d{3})(?: (.*))?$/i;

/**
 * Reads one whole message: a datagram, a WebSocket message, or what the stream framing cut out.
 *
 * Only the start line is taken apart and the header fields are indexed; see {@link HeaderTable}.
 * A flaw that still lets the sender be answered is noted in `defect`. Throws {@link SipError}
 * SIP_SYNTAX when there is no telling what it is, SIP_LIMIT when it is too large.
 */
export function parseMessage(bytes: Buffer, limits: ParseLimits = DEFAULT_LIMITS): SipMessage {
  const { text, fieldsEnd, bodyStart } = findHead(bytes, limits);
  const lineEnd = text.indexOf("\n");
  const startLine = text.slice(0, text.charCodeAt(lineEnd - 1) === CR ? lineEnd - 1 : lineEnd);
  const { index, defect } = indexFields(text, lineEnd + 1, fieldsEnd);
  if (index.length / 4 > limits.headerFields) {
    throw new SipError("SIP_LIMIT", `${index.length / 4} headers; limit ${limits.headerFields}`);
  }
  const headers = new HeaderTable(text, index);
  const body = measureBody(headers, bytes.length - bodyStart, limits.bodyBytes);
  const end = bodyStart + body.length;
  const raw = bytes.length === end ? bytes : bytes.subarray(0, end);
  return build({ raw, startLine, headers, bodyStart, defect: defect ?? body.defect });
}

interface Received {
  raw: Buffer;
  startLine: string;
  headers: HeaderTable;
  bodyStart: number;
  defect: Defect | undefined;
}

interface Head {
  /** At least start line and headers, one character per byte. */
  text: string;
  /** Where the empty line begins. */
  fieldsEnd: number;
  bodyStart: number;
}

const USUAL_BYTES = 2048;

/** A lone LF is taken as a line end too; some test tools send it. */
function findHead(bytes: Buffer, { headerBytes }: ParseLimits): Head {
  // Searching a short string is much quicker than searching the buffer, even with the copy.
  let text = bytes.toString("latin1", 0, USUAL_BYTES);
  let strict = text.indexOf("\r\n\r\n");
  if (strict < 0 && bytes.length > USUAL_BYTES) {
    strict = bytes.indexOf("\r\n\r\n", 0, "latin1");
    text = bytes.toString("latin1", 0, strict < 0 ? bytes.length : strict + 4);
  }
  const loose = text.indexOf("\n\n");
  if (loose < 0 && strict < 0) {
    throw new SipError("SIP_SYNTAX", `no empty line after the headers in ${bytes.length} bytes`);
  }
  const isLoose = loose >= 0 && (strict < 0 || loose < strict);
  const head = isLoose
    ? { text, fieldsEnd: loose + 1, bodyStart: loose + 2 }
    : { text, fieldsEnd: strict + 2, bodyStart: strict + 4 };
  if (head.bodyStart > headerBytes) {
    throw new SipError("SIP_LIMIT", `headers of ${head.bodyStart} bytes; limit ${headerBytes}`);
  }
  return head;
}

/** Four offsets per field: name start, name end, value start, end of the (folded) line. */
function indexFields(
  text: string,
  start: number,
  stop: number,
): { index: number[]; defect: Defect | undefined } {
  const index: number[] = [];
  let defect: Defect | undefined;
  for (let at = start; at < stop; ) {
    const end = fieldEnd(text, at, stop);
    const lineEnd = text.charCodeAt(end - 1) === CR ? end - 1 : end;
    if (lineEnd > at) defect = indexField(text, at, lineEnd, index) ?? defect;
    at = end + 1;
  }
  return { index, defect };
}

/** The LF that ends the field, folded lines included (RFC 3261 §7.3.1). */
function fieldEnd(text: string, start: number, stop: number): number {
  let end = text.indexOf("\n", start);
  while (end + 1 < stop && isFolded(text.charCodeAt(end + 1))) end = text.indexOf("\n", end + 1);
  return end;
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

function isFolded(code: number): boolean {
  return code === SPACE || code === TAB;
}

function isBlank(code: number): boolean {
  return isFolded(code) || code === CR || code === LF;
}

const TOKEN_CODES = new Uint8Array(256);
for (const character of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~") {
  TOKEN_CODES[character.charCodeAt(0)] = 1;
}

function isToken(code: number): boolean {
  return TOKEN_CODES[code] === 1;
}

const TOO_LARGE = 513;

/** How much of what follows the head is body (RFC 3261 §18.3). */
function measureBody(
  headers: HeaderTable,
  available: number,
  limit: number,
): { length: number; defect: Defect | undefined } {
  const header = "content-length";
  const value = headers.get(header);
  const length = value === undefined ? available : wholeNumber(value);
  if (length === undefined) {
    return { length: available, defect: { header, message: `Content-Length "${value}"` } };
  }
  if (length > limit) {
    const message = `body of ${length} bytes; limit bodyBytes is ${limit}`;
    return { length: 0, defect: { status: TOO_LARGE, header, message } };
  }
  if (length <= available) return { length, defect: undefined };
  const message = `Content-Length ${length}, but only ${available} bytes of body`;
  return { length: available, defect: { header, message } };
}

const DIGITS_LIMIT = 10;

/** Digits only, without the cost of a regular expression: this is read for every message. */
function wholeNumber(text: string): number | undefined {
  let number = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return undefined;
    number = number * 10 + digit;
  }
  return text.length === 0 || text.length > DIGITS_LIMIT ? undefined : number;
}

function build(received: Received): SipMessage {
  const { startLine } = received;
  if (/^SIP\//i.test(startLine)) return buildResponse(received);
  const space = startLine.indexOf(" ");
  const method = startLine.slice(0, Math.max(space, 0));
  const uri = startLine.slice(space + 1, -TIDY_END.length);
  const isTidy = startLine.endsWith(TIDY_END) && !/[ \t]/.test(uri) && uri !== "";
  if (!isTidy || !TOKEN.test(method)) return buildUntidy(received);
  const { raw, headers, bodyStart, defect } = received;
  const version = "SIP/2.0";
  return new SipRequest({ raw, startLine, headers, bodyStart, defect, method, uri, version });
}

/** Another version, or white space where none belongs: enough to answer, not enough to serve. */
function buildUntidy(received: Received): SipRequest {
  const { startLine } = received;
  const words = startLine.split(/[ \t]/).filter((word) => word !== "");
  const [method = "", ...rest] = words;
  const version = rest.pop() ?? "";
  const uri = rest.join(" ");
  if (!TOKEN.test(method) || uri === "" || !VERSION.test(version)) {
    const got = startLine.slice(0, 100);
    throw new SipError("SIP_SYNTAX", `expected a start line, got "${got}"`);
  }
  const tidy = rest.length === 1 && startLine === words.join(" ");
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
