import { isUtf8 } from "node:buffer";
import { SipError } from "./error.ts";

/** Compact forms (RFC 3261 §7.3.3 and the IANA registry), letter to full name in lower case. */
const COMPACT: Readonly<Record<string, string>> = {
  a: "accept-contact",
  b: "referred-by",
  c: "content-type",
  d: "request-disposition",
  e: "content-encoding",
  f: "from",
  i: "call-id",
  j: "reject-contact",
  k: "supported",
  l: "content-length",
  m: "contact",
  n: "identity-info",
  o: "event",
  r: "refer-to",
  s: "subject",
  t: "to",
  u: "allow-events",
  v: "via",
  x: "session-expires",
  y: "identity",
};

const LETTER = new Map(Object.entries(COMPACT).map(([letter, full]) => [full, letter]));
const TOKEN = /^[\w!%'*+.`~-]+$/;

interface Wanted {
  readonly full: string;
  readonly compact: string | undefined;
}

const wantedNames = new Map<string, Wanted>();
const KNOWN_NAMES_LIMIT = 4096;

/** Full lower-case name and compact letter, remembered per spelling: lookups are the hot path. */
function wanted(name: string): Wanted {
  const known = wantedNames.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const full = COMPACT[lower] ?? lower;
  const made = { full, compact: LETTER.get(full) };
  if (wantedNames.size < KNOWN_NAMES_LIMIT) wantedNames.set(name, made);
  return made;
}

/** The name in lower case, compact forms written out: the key under which two names are equal. */
export function headerKey(name: string): string {
  return wanted(name).full;
}

/** A header field in its parts. `line` is the field as received, without the final line break. */
interface Field {
  name: string;
  value: string;
  line: string | undefined;
}

/**
 * The header fields of one message, in order and in the sender's spelling.
 *
 * A received message is only indexed: four offsets per field into the head's bytes (kept as a
 * Latin-1 string, so that every byte survives). Values are cut out when asked for, and the fields
 * become objects when one of them is changed; lines nobody touched are written back as they came.
 */
export class HeaderTable {
  readonly #text: string;
  readonly #index: readonly number[];
  #fields: Field[] | undefined;

  /** `index` holds name start, name end, value start and line end of each field in `text`. */
  constructor(text = "", index: readonly number[] = []) {
    this.#text = text;
    this.#index = index;
    this.#fields = text === "" ? [] : undefined;
  }

  /** No field was changed since the message was received. */
  get untouched(): boolean {
    return this.#fields === undefined;
  }

  get size(): number {
    return this.#fields?.length ?? this.#index.length / 4;
  }

  get(name: string): string | undefined {
    if (this.#fields === undefined) {
      const at = this.#find(wanted(name), 0);
      return at < 0 ? undefined : this.#valueAt(at);
    }
    const key = headerKey(name);
    const field = this.#fields.find((candidate) => headerKey(candidate.name) === key);
    return field === undefined ? undefined : fromWire(field.value);
  }

  all(name: string): string[] {
    const values: string[] = [];
    if (this.#fields === undefined) {
      const sought = wanted(name);
      for (let at = this.#find(sought, 0); at >= 0; at = this.#find(sought, at + 4)) {
        values.push(this.#valueAt(at));
      }
      return values;
    }
    const key = headerKey(name);
    for (const field of this.#fields) {
      if (headerKey(field.name) === key) values.push(fromWire(field.value));
    }
    return values;
  }

  /** Puts `values` where the first field of this name is (else at the end), under `name`. */
  set(name: string, values: readonly string[]): void {
    const key = headerKey(name);
    const made = values.map((value) => newField(name, value));
    const fields = this.#materialise();
    const first = fields.findIndex((field) => headerKey(field.name) === key);
    if (first < 0) {
      fields.push(...made);
      return;
    }
    const later = fields.slice(first).filter((field) => headerKey(field.name) !== key);
    fields.splice(first, fields.length - first, ...made, ...later);
  }

  /** Changes the first field of this name and keeps its spelling. */
  replaceFirst(name: string, value: string): void {
    const key = headerKey(name);
    const field = this.#materialise().find((candidate) => headerKey(candidate.name) === key);
    if (field === undefined) this.add(name, value);
    else Object.assign(field, newField(field.name, value));
  }

  add(name: string, value: string): void {
    this.#materialise().push(newField(name, value));
  }

  /** Before the first field of this name, else before all others. */
  prepend(name: string, value: string): void {
    const key = headerKey(name);
    const fields = this.#materialise();
    const first = fields.findIndex((field) => headerKey(field.name) === key);
    fields.splice(Math.max(first, 0), 0, newField(name, value));
  }

  clear(): void {
    this.#fields = [];
  }

  remove(name: string): void {
    const key = headerKey(name);
    this.#fields = this.#materialise().filter((field) => headerKey(field.name) !== key);
  }

  removeFirst(name: string): void {
    const key = headerKey(name);
    const fields = this.#materialise();
    const first = fields.findIndex((field) => headerKey(field.name) === key);
    if (first >= 0) fields.splice(first, 1);
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    for (const { name, value } of this.#fields ?? this.#cut()) yield [name, fromWire(value)];
  }

  copy(): HeaderTable {
    const twin = new HeaderTable(this.#text, this.#index);
    twin.#fields = this.#fields?.map((field) => ({ ...field }));
    return twin;
  }

  /** Every field with its line break, as a Latin-1 string of the bytes to send. */
  toWire(): string {
    let text = "";
    for (const { name, value, line } of this.#materialise()) {
      text += line === undefined ? `${name}: ${value}\r\n` : `${line}\r\n`;
    }
    return text;
  }

  #find({ full, compact }: Wanted, from: number): number {
    const index = this.#index;
    for (let at = from; at < index.length; at += 4) {
      const start = index[at] ?? 0;
      const length = (index[at + 1] ?? 0) - start;
      if (length === full.length && equalsAt(this.#text, start, full)) return at;
      if (length === 1 && compact !== undefined && equalsAt(this.#text, start, compact)) return at;
    }
    return -1;
  }

  #valueAt(at: number): string {
    return fromWire(cutValue(this.#text, this.#index[at + 2] ?? 0, this.#index[at + 3] ?? 0));
  }

  #cut(): Field[] {
    const fields: Field[] = [];
    for (let at = 0; at < this.#index.length; at += 4) {
      const [start = 0, nameEnd = 0, valueStart = 0, end = 0] = this.#index.slice(at, at + 4);
      const name = this.#text.slice(start, nameEnd);
      const value = cutValue(this.#text, valueStart, end);
      fields.push({ name, value, line: this.#text.slice(start, end) });
    }
    return fields;
  }

  #materialise(): Field[] {
    this.#fields ??= this.#cut();
    return this.#fields;
  }
}

/** Does the lower-case `word` stand at `start`, whatever the case there? */
function equalsAt(text: string, start: number, word: string): boolean {
  for (let offset = 0; offset < word.length; offset++) {
    const code = text.charCodeAt(start + offset);
    const lower = code >= 65 && code <= 90 ? code + 32 : code;
    if (lower !== word.charCodeAt(offset)) return false;
  }
  return true;
}

function cutValue(text: string, start: number, end: number): string {
  const value = text.slice(start, end).trimEnd();
  if (!value.includes("\n") && !value.includes("\r")) return value;
  // A lone carriage return must not travel on: others may take it for a line end.
  return value.replaceAll(/[ \t]*\r?\n[ \t]+/g, " ").replaceAll(/[\r\n]/g, " ");
}

function newField(name: string, value: string): Field {
  if (!TOKEN.test(name)) {
    throw new SipError("SIP_SYNTAX", `expected a token as header name, got "${name}"`);
  }
  if (/[\r\n]/.test(value)) {
    throw new SipError("SIP_SYNTAX", `a line break in the value of ${name}`);
  }
  return { name, value: toWire(value.trim()), line: undefined };
}

const NON_ASCII = /[^\0-\x7f]/;

/** Header text is UTF-8 (RFC 3261 §7.3.1); bytes that are not stay visible as Latin-1. */
function fromWire(value: string): string {
  if (!NON_ASCII.test(value)) return value;
  const bytes = Buffer.from(value, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : value;
}

/** The UTF-8 bytes of a text as a Latin-1 string. */
export function toWire(value: string): string {
  return NON_ASCII.test(value) ? Buffer.from(value, "utf8").toString("latin1") : value;
}
