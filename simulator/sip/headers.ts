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

/** A field that was not received but written here; the value in wire form. */
interface Written {
  name: string;
  value: string;
}

/** A received field is the position of its four offsets in the index. */
type Field = number | Written;

/**
 * The header fields of one message, in order and in the sender's spelling.
 *
 * A received message is only indexed: four offsets per field into the head's bytes (kept as a
 * Latin-1 string, so that every byte survives). Values are cut out when asked for; lines nobody
 * touched are written back as they came.
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

  get(name: string): string | undefined {
    const sought = wanted(name);
    if (this.#fields === undefined) {
      const at = this.#find(sought, 0);
      return at < 0 ? undefined : this.#valueAt(at);
    }
    const field = this.#fields.find((candidate) => this.#isNamed(candidate, sought));
    return field === undefined ? undefined : this.#valueOf(field);
  }

  all(name: string): string[] {
    const values: string[] = [];
    const sought = wanted(name);
    if (this.#fields === undefined) {
      for (let at = this.#find(sought, 0); at >= 0; at = this.#find(sought, at + 4)) {
        values.push(this.#valueAt(at));
      }
      return values;
    }
    for (const field of this.#fields) {
      if (this.#isNamed(field, sought)) values.push(this.#valueOf(field));
    }
    return values;
  }

  /** Puts `values` where the first field of this name is (else at the end), under `name`. */
  set(name: string, values: readonly string[]): void {
    const made = values.map((value) => newField(name, value));
    const fields = this.#writable();
    const first = this.#firstOf(name);
    if (first < 0) {
      fields.push(...made);
      return;
    }
    const sought = wanted(name);
    const later = fields.slice(first).filter((field) => !this.#isNamed(field, sought));
    fields.splice(first, fields.length - first, ...made, ...later);
  }

  /** Changes the first field of this name and keeps its spelling. */
  replaceFirst(name: string, value: string): void {
    const fields = this.#writable();
    const first = this.#firstOf(name);
    const field = fields[first];
    if (field === undefined) this.add(name, value);
    else fields[first] = newField(this.#nameOf(field), value);
  }

  add(name: string, value: string): void {
    this.#writable().push(newField(name, value));
  }

  /** Before the first field of this name, else before all others. */
  prepend(name: string, value: string): void {
    const fields = this.#writable();
    fields.splice(Math.max(this.#firstOf(name), 0), 0, newField(name, value));
  }

  clear(): void {
    this.#fields = [];
  }

  remove(name: string): void {
    const sought = wanted(name);
    this.#fields = this.#writable().filter((field) => !this.#isNamed(field, sought));
  }

  removeFirst(name: string): void {
    const fields = this.#writable();
    const first = this.#firstOf(name);
    if (first >= 0) fields.splice(first, 1);
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    for (const field of this.#fields ?? this.#received()) {
      yield [this.#nameOf(field), this.#valueOf(field)];
    }
  }

  copy(): HeaderTable {
    const twin = new HeaderTable(this.#text, this.#index);
    twin.#fields = this.#fields?.slice();
    return twin;
  }

  /** Every field with its line break, as a Latin-1 string of the bytes to send. */
  toWire(): string {
    let text = "";
    for (const field of this.#fields ?? this.#received()) text += `${this.#lineOf(field)}\r\n`;
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

  #firstOf(name: string): number {
    const sought = wanted(name);
    return this.#writable().findIndex((field) => this.#isNamed(field, sought));
  }

  #isNamed(field: Field, { full, compact }: Wanted): boolean {
    if (typeof field === "object") return wanted(field.name).full === full;
    const start = this.#index[field] ?? 0;
    const length = (this.#index[field + 1] ?? 0) - start;
    if (length === full.length) return equalsAt(this.#text, start, full);
    return length === 1 && compact !== undefined && equalsAt(this.#text, start, compact);
  }

  #nameOf(field: Field): string {
    if (typeof field === "object") return field.name;
    return this.#text.slice(this.#index[field], this.#index[field + 1]);
  }

  #valueOf(field: Field): string {
    return typeof field === "object" ? fromWire(field.value) : this.#valueAt(field);
  }

  #lineOf(field: Field): string {
    if (typeof field === "object") return `${field.name}: ${field.value}`;
    return this.#text.slice(this.#index[field], this.#index[field + 3]);
  }

  #valueAt(at: number): string {
    return fromWire(cutValue(this.#text, this.#index[at + 2] ?? 0, this.#index[at + 3] ?? 0));
  }

  #received(): Field[] {
    return Array.from({ length: this.#index.length / 4 }, (_, field) => field * 4);
  }

  #writable(): Field[] {
    this.#fields ??= this.#received();
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
  const lines = value.split("\n").map((line) => line.trim().replaceAll("\r", " "));
  return lines.join(" ");
}

function newField(name: string, value: string): Written {
  if (!TOKEN.test(name)) {
    throw new SipError("SIP_SYNTAX", `expected a token as header name, got "${name}"`);
  }
  if (/[\r\n]/.test(value)) {
    throw new SipError("SIP_SYNTAX", `a line break in the value of ${name}`);
  }
  return { name, value: toWire(value.trim()) };
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
