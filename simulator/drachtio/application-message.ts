/** A SIP message as an application hands it over: drachtio owns what is missing. */
export interface ApplicationMessage {
  startLine: string;
  /** In the application's order. Lines whose name is no token are left out. */
  headers: readonly (readonly [name: string, value: string])[];
  /** Everything after the blank line; the application's Content-Length counts characters. */
  body: Buffer;
}

const TOKEN = /^[\w!%'*+.`~-]+$/;
const BLANK_LINE = "\r\n\r\n";

/** Reads leniently what `sip` and `proxy` carry; nothing here can fail. */
export function parseApplicationMessage(bytes: Buffer): ApplicationMessage {
  const end = bytes.indexOf(BLANK_LINE);
  const head = (end === -1 ? bytes : bytes.subarray(0, end)).toString("utf8");
  const body = end === -1 ? Buffer.alloc(0) : bytes.subarray(end + BLANK_LINE.length);
  const [startLine = "", ...lines] = head.split(/\r\n|\r|\n/);
  return { startLine, headers: lines.flatMap(parseLine), body };
}

function parseLine(line: string): [string, string][] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0)).trim();
  const value = line.slice(colon + 1).trim();
  // `undefined` is what drachtio-srf's `modify` writes when it knows no Contact.
  return TOKEN.test(name) && value !== "undefined" ? [[name, value]] : [];
}

export interface RequestLine {
  method: string;
  uri: string;
}

export function parseRequestLine(startLine: string): RequestLine | undefined {
  const [, method, uri] = /^([\w!%'*+.`~-]+) +(\S+) +SIP\/2\.0$/.exec(startLine) ?? [];
  return method === undefined || uri === undefined ? undefined : { method, uri };
}

export interface StatusLine {
  status: number;
  reason: string;
}

export function parseStatusLine(startLine: string): StatusLine | undefined {
  const [, digits, reason = ""] = /^SIP\/2\.0 +([1-6]\d\d) *(.*)$/.exec(startLine) ?? [];
  return digits === undefined ? undefined : { status: Number(digits), reason };
}

/** First value of a header, whatever its case. */
export function headerOf(message: ApplicationMessage, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return message.headers.find(([candidate]) => candidate.toLowerCase() === wanted)?.[1];
}
