import { apart, credentialsIn, isPaymentCard, type Replacement } from "../redaction.ts";

type Kind = "name" | "telephone" | "e-mail" | "card";

/** Members that hold the service's own identifiers and words, never a person's data. */
const IDENTIFIERS = new Set(["id", "tool_call_id", "object", "model", "role", "type"]);

/** Keys of a model's service, and the accounts they belong to, as its errors name them. */
const KEYS = /(?<![\w-])(?:sk-[\w-]{16,}|(?:org-|proj_)[a-z\d]{16,})/gi;
const MASK = "•••";

/** No part of a longer number, of an amount, a time or a name such as `INV-0204`. */
const ALONE = String.raw`(?<!\w|\d[.,:/]|\w-)`;
const DATE = String.raw`\d{1,2}(?<mark>[./-])\d{1,2}\k<mark>\d{2,4}(?!\d|\k<mark>\d)`;
const MONEY = String.raw` ?(?:[$€£¥%]|(?:EUR|USD|GBP|euros?|dollars?|pounds?|cents?)(?!\p{L}))`;

const TELEPHONE = [
  // International.
  String.raw`\+\d(?:[ ()./-]{0,2}\d){6,14}(?!\w)`,
  // As written in North America; its last seven digits are enough for a neighbour.
  String.raw`(?<!\w)(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?!\w)`,
  String.raw`${ALONE}(?<![$€£¥] ?)[2-9]\d{2}-\d{4}(?!\w|[.,:/-]\d|${MONEY})`,
  // From anywhere else: what is dialled at home begins with 0, however it is grouped.
  String.raw`${ALONE}(?!0[.,]|${DATE})\(?0(?:[ ()./-]{0,2}\d){8,13}(?!\w|[.,:]\d)`,
  // Ends in pairs, as no amount does.
  String.raw`${ALONE}\d{3}[ -]\d{2,3}(?:[ -]\d{2}){2}(?!\w|[.,:/-]\d)`,
  String.raw`(?<![\w.])\d{10,15}(?!\w|\.\d)`,
].join("|");

const LETTER = String.raw`\p{L}\p{M}\p{N}`;

const PERSONAL = [
  String.raw`(?<placeholder>\[(?:name|telephone|e-mail|card) \d{1,6}\])`,
  String.raw`(?<email>(?<![${LETTER}_.+-])[${LETTER}_.+-][${LETTER}_.+'-]*@[${LETTER}-]+(?:\.[${LETTER}-]+)+)`,
  // None begins with 0; telephone numbers do.
  String.raw`(?<card>(?<!\w)[1-9](?:[ -]?\d){12,18}(?!\w))`,
  `(?<telephone>${TELEPHONE})`,
].join("|");

/**
 * Takes keys and personal data out of one exchange with a model, and puts them back: the first
 * telephone number becomes `[telephone 1]` wherever it stands, the second `[telephone 2]`. Numbers
 * are given in order of appearance, so that the same conversation gets the same ones when it is
 * replayed, with whoever's data. Keys become a mask for good.
 */
export class Mask {
  readonly #pattern: RegExp;
  readonly #secrets: readonly RegExp[];
  readonly #placeholders = new Map<string, string>();
  readonly #values = new Map<string, string>();
  readonly #used = new Map<string, number>();

  /**
   * `names`: whole names of people; each of their words is a name as well. `secrets`: texts that
   * become a mask wherever they stand.
   */
  constructor(names: readonly string[], secrets: readonly string[] = []) {
    const known = longestFirst([...names, ...names.flatMap((name) => name.split(/\s+/))])
      .filter((name) => name.length > 1)
      // Two letters are a word of many languages, unless they are written as a name.
      .map((name) => (name.length > 2 ? RegExp.escape(name) : `(?-i:${RegExp.escape(name)})`));
    const name = `(?<name>(?<![\\p{L}\\d])(?:${known.join("|")})(?![\\p{L}\\d]))`;
    this.#pattern = new RegExp(known.length > 0 ? `${PERSONAL}|${name}` : PERSONAL, "giu");
    const given = longestFirst(secrets).map((secret) => RegExp.escape(secret));
    this.#secrets = given.length > 0 ? [KEYS, new RegExp(given.join("|"), "gi")] : [KEYS];
  }

  hide(text: string): string {
    return replaced(text, this.#find(text));
  }

  /** Every string of a JSON value, in the order in which they stand. */
  hideAll(value: unknown): unknown {
    return mapStrings(value, (text) => this.hide(text));
  }

  /**
   * The same for the pieces of a stream, in which a number may be spread over several: what stands
   * for it is in the piece where it began.
   */
  hideStream(pieces: readonly unknown[]): unknown[] {
    const whole = new Map<string, string>();
    for (const piece of pieces) {
      mapStrings(piece, (text, path) => {
        whole.set(path, (whole.get(path) ?? "") + text);
        return text;
      });
    }
    const hidden = new Map(
      Array.from(whole, ([path, text]) => [path, { at: 0, found: this.#find(text) }]),
    );
    return pieces.map((piece) =>
      mapStrings(piece, (text, path) => {
        const field = hidden.get(path);
        if (field === undefined) return text;
        const from = field.at;
        field.at += text.length;
        return partOf(text, from, field.found);
      }),
    );
  }

  /** A hidden value with this conversation's own data in the places it has some for. */
  reveal(value: unknown): unknown {
    return mapStrings(value, (text) =>
      text.replaceAll(/\[[a-z-]+ \d+\]/g, (placeholder) => {
        return this.#values.get(placeholder) ?? placeholder;
      }),
    );
  }

  #find(text: string): Replacement[] {
    const secrets = this.#secretsIn(text);
    const inSecret = (start: number, end: number) =>
      secrets.some((secret) => start < secret.end && end > secret.start);
    const personal = Array.from(text.matchAll(this.#pattern), (match) => {
      const [found] = match;
      const start = match.index;
      const end = start + found.length;
      // Numbered only if it stands on its own: the mask of a key tells nothing of what was in it.
      const by = inSecret(start, end) ? undefined : this.#placeholderOf(found, match.groups);
      return by === undefined ? undefined : { start, end, by };
    }).filter((each) => each !== undefined);
    return apart([...secrets, ...personal].toSorted((a, b) => a.start - b.start));
  }

  #secretsIn(text: string): Replacement[] {
    const found = this.#secrets.flatMap((pattern) =>
      Array.from(text.matchAll(pattern), ({ 0: { length }, index: start }) => {
        return { start, end: start + length, by: MASK };
      }),
    );
    return apart([...credentialsIn(text), ...found].toSorted((a, b) => a.start - b.start));
  }

  #placeholderOf(found: string, groups: RegExpMatchArray["groups"] = {}): string | undefined {
    if (groups["placeholder"] !== undefined) return this.#keep(found);
    if (groups["email"] !== undefined) return this.#number("e-mail", found);
    if (groups["name"] !== undefined) return this.#number("name", found);
    if (groups["telephone"] !== undefined) return this.#number("telephone", found);
    if (isPaymentCard(found)) return this.#number("card", found);
    return /^\d{10,15}$/.test(found) ? this.#number("telephone", found) : undefined;
  }

  /** What an earlier answer left hidden keeps its number, and nobody else gets it. */
  #keep(placeholder: string): string {
    const [, kind = "", number = ""] = /^\[(.+) (\d+)\]$/.exec(placeholder) ?? [];
    this.#used.set(kind, Math.max(this.#used.get(kind) ?? 0, Number(number)));
    return placeholder;
  }

  #number(kind: Kind, value: string): string {
    const known = this.#placeholders.get(value);
    if (known !== undefined) return known;
    const number = (this.#used.get(kind) ?? 0) + 1;
    const placeholder = `[${kind} ${number}]`;
    this.#used.set(kind, number);
    this.#placeholders.set(value, placeholder);
    this.#values.set(placeholder, value);
    return placeholder;
  }
}

function longestFirst(texts: readonly string[]): string[] {
  return texts.toSorted((a, b) => b.length - a.length);
}

function replaced(text: string, found: readonly Replacement[]): string {
  return partOf(text, 0, found);
}

/** What is left of a piece that begins at `from` of the whole text in which `found` stands. */
function partOf(piece: string, from: number, found: readonly Replacement[]): string {
  let kept = "";
  let at = from;
  const until = from + piece.length;
  for (const { start, end, by } of found) {
    if (end <= from || start >= until) continue;
    kept += piece.slice(at - from, Math.max(start, from) - from);
    if (start >= from) kept += by;
    at = Math.min(end, until);
  }
  return kept + piece.slice(at - from);
}

/** A copy of a JSON value with every string mapped; `path` tells the same field in each piece of a stream. */
function mapStrings(
  value: unknown,
  map: (text: string, path: string) => string,
  path = "",
): unknown {
  if (typeof value === "string") return map(value, path);
  if (Array.isArray(value)) {
    return value.map((each, index) => mapStrings(each, map, `${path}/${indexOf(each, index)}`));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      IDENTIFIERS.has(name) && typeof each === "string"
        ? each
        : mapStrings(each, map, `${path}/${name}`),
    ]),
  );
}

/** A choice and a tool call say in each piece which one they are. */
function indexOf(value: unknown, place: number): number {
  const told = typeof value === "object" && value !== null && "index" in value && value.index;
  return typeof told === "number" ? told : place;
}
