import { SipError } from "./error.ts";
import {
  type CSeq,
  type NameAddr,
  parseCSeq,
  parseNameAddr,
  parseVia,
  tagOf,
  type Via,
} from "./fields.ts";
import { HeaderTable, toWire } from "./headers.ts";
import { elementEnd, splitList } from "./list.ts";
import { reasonPhrase } from "./reasons.ts";

/** Headers to write, in order: `{ Supported: "timer", Via: ["a", "b"] }` or pairs. */
export type HeaderInput =
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | Iterable<readonly [name: string, value: string]>;

/** What is wrong with a received message that could still be read; a request is refused for it. */
export interface Defect {
  /** Default 400. */
  status?: number;
  /** The header concerned, in lower case; undefined for the start line. */
  header: string | undefined;
  message: string;
}

interface MessageParts {
  headers?: HeaderInput;
  body?: Buffer | string;
}

/** How a received message came to be; only the parser makes one. */
interface ReceivedParts {
  raw: Buffer;
  startLine: string;
  headers: HeaderTable;
  bodyStart: number;
  defect: Defect | undefined;
}

const EMPTY = Buffer.alloc(0);

/**
 * A SIP message. Names are looked up without regard to case and in both their full and compact
 * form; what is not changed keeps the sender's spelling, order and white space.
 */
abstract class SipMessageBase {
  abstract readonly startLine: string;
  /** First flaw the parser met; undefined for messages built here. */
  readonly defect: Defect | undefined;
  readonly #headers: HeaderTable;
  #raw: Buffer | undefined;
  #body: Buffer | undefined;
  readonly #bodyStart: number;

  constructor(parts: MessageParts | ReceivedParts) {
    if ("raw" in parts) {
      this.#headers = parts.headers;
      this.#raw = parts.raw;
      this.#bodyStart = parts.bodyStart;
      this.defect = parts.defect;
      return;
    }
    this.#headers = new HeaderTable();
    this.#bodyStart = 0;
    this.#body = asBuffer(parts.body ?? EMPTY);
    this.addAll(parts.headers);
  }

  /** First value of the header, unfolded; undefined if there is none. */
  get(name: string): string | undefined {
    return this.#headers.get(name);
  }

  /** Each field's whole value. */
  all(name: string): string[] {
    return this.#headers.all(name);
  }

  /** Each element of a comma-separated header (Via, Route, Contact, Supported…), over all fields. */
  list(name: string): string[] {
    return this.#headers.all(name).flatMap(splitList);
  }

  has(name: string): boolean {
    return this.#headers.get(name) !== undefined;
  }

  /** Replaces all fields of this name, at the place of the first, spelled as given. */
  set(name: string, value: string | number | readonly string[]): void {
    this.#headers.set(name, Array.isArray(value) ? value : [String(value)]);
  }

  /** Appends a field at the end. */
  add(name: string, value: string): void {
    this.#headers.add(name, value);
  }

  addAll(headers: HeaderInput | undefined): void {
    for (const [name, value] of headerPairs(headers)) this.#headers.add(name, value);
  }

  /** Sets each header given, keeping the others. */
  setAll(headers: HeaderInput | undefined): void {
    const grouped = Map.groupBy(headerPairs(headers), ([name]) => name);
    for (const [name, pairs] of grouped) {
      this.#headers.set(
        name,
        pairs.map(([, value]) => value),
      );
    }
  }

  /** Puts a field before the others of its name. */
  prepend(name: string, value: string): void {
    this.#headers.prepend(name, value);
  }

  remove(name: string): void {
    this.#headers.remove(name);
  }

  /** First element of a comma-separated header. */
  top(name: string): string | undefined {
    const value = this.#headers.get(name);
    return value?.slice(0, elementEnd(value, 0)).trim();
  }

  /** Changes that element and nothing else; the field keeps its spelling. */
  replaceTop(name: string, element: string): void {
    const value = this.#headers.get(name) ?? "";
    this.#headers.replaceFirst(name, element + value.slice(elementEnd(value, 0)));
  }

  /** Takes that element away, and its field when it was alone. */
  removeTop(name: string): void {
    const value = this.#headers.get(name) ?? "";
    const rest = value.slice(elementEnd(value, 0) + 1).trim();
    if (rest === "") this.#headers.removeFirst(name);
    else this.#headers.replaceFirst(name, rest);
  }

  /** Names and values in order. */
  headers(): Iterable<[name: string, value: string]> {
    return this.#headers;
  }

  /** Writes the whole header block anew: order and spelling as given. */
  replaceHeaders(headers: HeaderInput): void {
    this.#headers.clear();
    this.addAll(headers);
  }

  get body(): Buffer {
    this.#body ??= this.#raw?.subarray(this.#bodyStart) ?? EMPTY;
    return this.#body;
  }

  set body(body: Buffer | string) {
    this.#body = asBuffer(body);
    this.#raw = undefined;
  }

  get callId(): string {
    return this.get("Call-ID") ?? "";
  }

  /** Throws SIP_SYNTAX when missing or unreadable, as do the other parsed headers. */
  get cseq(): CSeq {
    return parseCSeq(this.#required("CSeq"));
  }

  get from(): NameAddr {
    return parseNameAddr(this.#required("From"));
  }

  get to(): NameAddr {
    return parseNameAddr(this.#required("To"));
  }

  get fromTag(): string | undefined {
    return tagOf(this.get("From"));
  }

  get toTag(): string | undefined {
    return tagOf(this.get("To"));
  }

  get via(): Via {
    const top = this.top("Via");
    if (top === undefined) throw missing("Via");
    return parseVia(top);
  }

  /** First Contact; undefined if there is none. */
  get contact(): NameAddr | undefined {
    const top = this.top("Contact");
    return top === undefined ? undefined : parseNameAddr(top);
  }

  /** Branch of the top Via; undefined when there is none or it cannot be read. */
  get branch(): string | undefined {
    const top = this.top("Via");
    return top === undefined ? undefined : BRANCH.exec(top)?.[1];
  }

  /** The message as bytes. Content-Length is made to fit the body. */
  toBuffer(): Buffer {
    if (this.#raw !== undefined && this.#headers.untouched && !this.startLineChanged()) {
      return this.#raw;
    }
    const body = this.body;
    if (this.get("Content-Length")?.trim() !== String(body.length)) {
      this.#headers.replaceFirst("Content-Length", String(body.length));
    }
    const head = `${toWire(this.startLine)}\r\n${this.#headers.toWire()}\r\n`;
    const bytes = Buffer.allocUnsafe(head.length + body.length);
    bytes.write(head, "latin1");
    body.copy(bytes, head.length);
    return bytes;
  }

  /** The message as text, for traces and logs. */
  toString(): string {
    return this.toBuffer().toString("utf8");
  }

  protected abstract startLineChanged(): boolean;

  protected twinParts(): ReceivedParts {
    const raw = this.toBuffer();
    const { startLine, body, defect } = this;
    const headers = this.#headers.copy();
    return { raw, startLine, headers, bodyStart: raw.length - body.length, defect };
  }

  #required(name: string): string {
    const value = this.get(name);
    if (value === undefined) throw missing(name);
    return value;
  }
}

const BRANCH = /;[ \t]*branch[ \t]*=[ \t]*([^;,\s]+)/i;

export interface RequestParts extends MessageParts {
  method: string;
  uri: string;
}

interface ReceivedRequestParts extends ReceivedParts {
  method: string;
  uri: string;
  version: string;
}

export class SipRequest extends SipMessageBase {
  readonly kind = "request";
  method: string;
  /** Request-URI as written; see `parseUri`. */
  uri: string;
  /** `SIP/2.0`, or what a stranger claims to speak. */
  readonly version: string;
  readonly #received: { method: string; uri: string; startLine: string } | undefined;

  constructor(parts: RequestParts | ReceivedRequestParts) {
    super(parts);
    this.method = parts.method;
    this.uri = parts.uri;
    this.version = "raw" in parts ? parts.version : "SIP/2.0";
    this.#received = "raw" in parts ? parts : undefined;
  }

  get startLine(): string {
    if (this.#received !== undefined && !this.startLineChanged()) return this.#received.startLine;
    return `${this.method} ${this.uri} ${this.version}`;
  }

  clone(): SipRequest {
    const { method, uri, version } = this;
    return new SipRequest({ ...this.twinParts(), method, uri, version });
  }

  protected override startLineChanged(): boolean {
    return this.#received?.method !== this.method || this.#received.uri !== this.uri;
  }
}

export interface ResponseParts extends MessageParts {
  status: number;
  /** Default: the usual phrase. */
  reason?: string;
}

interface ReceivedResponseParts extends ReceivedParts {
  status: number;
  reason: string;
}

export interface ReplyParts extends Omit<ResponseParts, "status"> {
  /** Added to To when the request has no tag there and the status is above 100. */
  toTag?: string;
}

export class SipResponse extends SipMessageBase {
  readonly kind = "response";
  status: number;
  reason: string;
  readonly #received: { status: number; reason: string; startLine: string } | undefined;

  constructor(parts: ResponseParts | ReceivedResponseParts) {
    super(parts);
    this.status = parts.status;
    this.reason = parts.reason ?? reasonPhrase(parts.status);
    this.#received = "raw" in parts ? parts : undefined;
  }

  /** A response to `request` with the headers RFC 3261 §8.2.6 and §12.1.1 want copied. */
  static to(request: SipRequest, status: number, parts: ReplyParts = {}): SipResponse {
    const { toTag, headers, ...rest } = parts;
    const response = new SipResponse({ status, ...rest });
    for (const name of ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq", "Timestamp"]) {
      if (!isCopied(name, request.method, status)) continue;
      for (const value of request.all(name)) response.add(name, value);
    }
    if (toTag !== undefined && status > 100 && request.toTag === undefined) {
      response.set("To", `${request.get("To") ?? ""};tag=${toTag}`);
    }
    response.setAll(headers);
    return response;
  }

  get startLine(): string {
    if (this.#received !== undefined && !this.startLineChanged()) return this.#received.startLine;
    return `SIP/2.0 ${this.status} ${this.reason}`;
  }

  clone(): SipResponse {
    return new SipResponse({ ...this.twinParts(), status: this.status, reason: this.reason });
  }

  protected override startLineChanged(): boolean {
    return this.#received?.status !== this.status || this.#received.reason !== this.reason;
  }
}

export type SipMessage = SipRequest | SipResponse;

const DIALOG_MAKERS = new Set(["INVITE", "SUBSCRIBE", "REFER", "NOTIFY"]);

function isCopied(name: string, method: string, status: number): boolean {
  if (name === "Timestamp") return status === 100;
  if (name !== "Record-Route") return true;
  return DIALOG_MAKERS.has(method) && status > 100 && status < 300;
}

function* headerPairs(headers: HeaderInput = []): Generator<readonly [string, string]> {
  if (isPairs(headers)) {
    yield* headers;
    return;
  }
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (typeof value === "string") yield [name, value];
    else for (const one of value) yield [name, one];
  }
}

function isPairs(headers: HeaderInput): headers is Iterable<readonly [string, string]> {
  return Symbol.iterator in headers;
}

function asBuffer(body: Buffer | string): Buffer {
  return typeof body === "string" ? Buffer.from(body, "utf8") : body;
}

function missing(name: string): SipError {
  return new SipError("SIP_SYNTAX", `expected a ${name} header, got none`);
}
