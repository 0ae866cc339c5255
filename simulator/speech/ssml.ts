/** A stretch of a document that one voice says at one rate, or a silence. */
export type SsmlSegment =
  | { kind: "speech"; text: string; voice?: string; rate: number }
  | { kind: "silence"; durationMs: number };

/** What the emulated service refuses, as the service does: with close code 1007. */
export class SsmlError extends Error {
  override readonly name = "SsmlError";
  readonly code = "SSML_INVALID";
}

/** Attributes and elements nested deeper than this are not a document anyone wrote. */
const LIMIT_DEPTH = 32;
const LIMIT_BREAK_MS = 20_000;
/** The service takes no larger message, and gives ten minutes of audio at most. */
const LIMIT_DOCUMENT_BYTES = 65_536;
const LIMIT_SILENCE_MS = 600_000;
/** Text of one utterance, marked up or in pieces, at most. */
export const LIMIT_TEXT_CHARACTERS = 20_000;

const TOKEN =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([\w:-]+)((?:\s+[\w:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)|(<)/g;
const ATTRIBUTE = /([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
/** The five of XML; the names of HTML are unknown to the service. */
const ENTITIES = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);
/** Extensible Markup Language 1.0, §2.2. */
const XML_CHARACTER = /^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]$/u;
/** Speech Synthesis Markup Language 1.1, §3.2.3: the pause of each strength. */
const BREAK_STRENGTH_MS = new Map([
  ["none", 0],
  ["x-weak", 250],
  ["weak", 500],
  ["medium", 750],
  ["strong", 1000],
  ["x-strong", 1250],
]);
const RATES = new Map([
  ["x-slow", 0.5],
  ["slow", 0.64],
  ["medium", 1],
  ["default", 1],
  ["fast", 1.55],
  ["x-fast", 2],
]);

interface Scope {
  element: string;
  voice?: string;
  rate: number;
  /** `say-as` kinds that are read sign by sign. */
  spelled: boolean;
}

/**
 * Reads `speak`, `voice`, `prosody rate`, `break`, `p`, `s`, `say-as` and `sub`; other elements are
 * transparent. Throws {@link SsmlError} where the document is not well formed, not one `speak` or too
 * large.
 */
export function parseSsml(document: string): SsmlSegment[] {
  if (Buffer.byteLength(document) > LIMIT_DOCUMENT_BYTES) {
    throw new SsmlError(`message size cannot exceed ${LIMIT_DOCUMENT_BYTES} bytes`);
  }
  const segments: SsmlSegment[] = [];
  const scopes: Scope[] = [{ element: "", rate: 1, spelled: false }];
  let roots = 0;
  for (const token of document.matchAll(TOKEN)) {
    if (scopes.length === 1) roots += rootsIn(token, roots);
    readToken(token, scopes, segments);
  }
  if (scopes.length !== 1) throw new SsmlError(`<${scopes.at(-1)?.element}> is not closed`);
  if (roots === 0) throw new SsmlError("expected a <speak> element");
  const joined = joinSpeech(segments);
  checkLength(joined);
  return joined;
}

function checkLength(segments: readonly SsmlSegment[]): void {
  let characters = 0;
  let silenceMs = 0;
  for (const segment of segments) {
    if (segment.kind === "silence") silenceMs += segment.durationMs;
    else characters += segment.text.length;
  }
  if (characters > LIMIT_TEXT_CHARACTERS) {
    throw new SsmlError(`text of more than ${LIMIT_TEXT_CHARACTERS} characters`);
  }
  if (silenceMs > LIMIT_SILENCE_MS) {
    throw new SsmlError(`silence of more than ${LIMIT_SILENCE_MS} ms`);
  }
}

/** Outside the one `speak` there are declarations, comments and blanks only. */
function rootsIn([, cdata, slash, element, , , text = ""]: RegExpExecArray, before: number) {
  if (slash === "/") return 0;
  if (element === "speak" && before === 0) return 1;
  const got = element === undefined ? JSON.stringify((cdata ?? text).trim()) : `<${element}>`;
  if (got === '""') return 0;
  const expected = before === 0 ? "a <speak> element" : "nothing but <speak>";
  throw new SsmlError(`expected ${expected}, got ${got}`);
}

function readToken(token: RegExpExecArray, scopes: Scope[], segments: SsmlSegment[]): void {
  const [, cdata, slash, element, attributes = "", selfClosing, text = "", stray] = token;
  if (stray !== undefined) throw new SsmlError(`unexpected "<" at character ${token.index}`);
  const scope = scopes.at(-1);
  if (scope === undefined) throw new SsmlError("more closing tags than opening ones");
  if (element === undefined) appendText(segments, scope, cdata ?? decodeEntities(text));
  else if (slash === "/") closeElement(scopes, scope, element);
  else {
    const inner = openElement(segments, scope, element, attributesOf(element, attributes));
    if (selfClosing !== "/") scopes.push(inner);
    if (scopes.length > LIMIT_DEPTH) throw new SsmlError(`nested deeper than ${LIMIT_DEPTH}`);
  }
}

/** `&amp;` and its kin, and numeric references. */
function decodeEntities(text: string): string {
  return text.replaceAll(/&(?:(#x[0-9a-f]+|#\d+|\w+);)?/gi, (whole, name?: string) => {
    if (name === undefined) throw new SsmlError('stray "&"');
    const character = name.startsWith("#") ? characterOf(name.slice(1)) : ENTITIES.get(name);
    if (character === undefined) throw new SsmlError(`unknown entity "${whole}"`);
    return character;
  });
}

function characterOf(digits: string): string | undefined {
  const code = /^x/i.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number(digits);
  if (code > 0x10ffff) return undefined;
  const character = String.fromCodePoint(code);
  return XML_CHARACTER.test(character) ? character : undefined;
}

function attributesOf(element: string, source: string): Record<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name = "", double, single] of source.matchAll(ATTRIBUTE)) {
    if (attributes.has(name)) throw new SsmlError(`"${name}" twice in <${element}>`);
    attributes.set(name, decodeEntities(double ?? single ?? ""));
  }
  return Object.fromEntries(attributes);
}

function openElement(
  segments: SsmlSegment[],
  scope: Scope,
  element: string,
  attributes: Record<string, string>,
): Scope {
  const inner: Scope = { ...scope, element };
  if (element === "break") {
    segments.push({ kind: "silence", durationMs: breakDurationMs(attributes) });
  } else if (element === "voice") {
    if (attributes.name === undefined) throw new SsmlError('<voice> without "name"');
    inner.voice = attributes.name;
  } else if (element === "prosody") {
    inner.rate = scope.rate * rateOf(attributes.rate ?? "default");
  } else if (element === "say-as") {
    inner.spelled = /^(characters|spell-out|digits|number_digit|telephone)$/.test(
      attributes["interpret-as"] ?? "",
    );
  } else if (element === "p" || element === "s") appendText(segments, scope, " ");
  return inner;
}

function closeElement(scopes: Scope[], scope: Scope, element: string): void {
  if (scope.element !== element) {
    throw new SsmlError(`expected </${scope.element}>, got </${element}>`);
  }
  scopes.pop();
}

function appendText(segments: SsmlSegment[], scope: Scope, text: string): void {
  const spoken = scope.spelled ? text.replaceAll(/\W/g, "").split("").join(" ") : text;
  const { voice, rate } = scope;
  segments.push({ kind: "speech", text: spoken, rate, ...(voice === undefined ? {} : { voice }) });
}

function breakDurationMs({ time, strength = "medium" }: Record<string, string>): number {
  if (time === undefined) return BREAK_STRENGTH_MS.get(strength) ?? 750;
  const [, amount, unit] = /^\+?(\d+(?:\.\d+)?)(ms|s)$/.exec(time) ?? [];
  if (amount === undefined)
    throw new SsmlError(`break time: expected "500ms" or "1s", got "${time}"`);
  return Math.min(LIMIT_BREAK_MS, Number(amount) * (unit === "s" ? 1000 : 1));
}

/** A name, a percentage of change (`+20%`, `-10%`) or a factor (`1.2`); kept within 0.5 … 2. */
export function rateOf(rate: string): number {
  const named = RATES.get(rate);
  if (named !== undefined) return named;
  const [, sign = "", amount, percent] = /^([+-]?)(\d+(?:\.\d+)?)(%?)$/.exec(rate) ?? [];
  if (amount === undefined)
    throw new SsmlError(`prosody rate: expected a name, a percentage or a factor, got "${rate}"`);
  const value = Number(`${sign}${amount}`);
  const factor = percent === "" && sign === "" ? value : 1 + value / (percent === "%" ? 100 : 1);
  return Math.min(2, Math.max(0.5, factor));
}

/** Runs of text in the same voice and rate become one piece; empty pieces go. */
function joinSpeech(segments: readonly SsmlSegment[]): SsmlSegment[] {
  const joined: SsmlSegment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (segment.kind === "silence") joined.push(segment);
    else if (
      last?.kind === "speech" &&
      last.voice === segment.voice &&
      last.rate === segment.rate
    ) {
      last.text += segment.text;
    } else joined.push({ ...segment });
  }
  return joined
    .map((piece) => (piece.kind === "speech" ? { ...piece, text: tidy(piece.text) } : piece))
    .filter((piece) => piece.kind === "silence" || piece.text !== "");
}

function tidy(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}
