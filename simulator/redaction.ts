/**
 * What never enters a trace: credentials and keys of every protocol the lab speaks, and the two
 * kinds of personal data that are recognisable by form (payment cards, e-mail addresses).
 * Phone numbers stay: they are the addresses the trace is about, and the lab's are fictional.
 */
const MASK = "•••";

interface Rule {
  readonly name: string;
  readonly pattern: RegExp;
  readonly replace: (match: string, ...groups: string[]) => string;
}

const keepLabel = (_match: string, label: string) => `${label}${MASK}`;

/** What opens a service to whoever reads it. */
const CREDENTIALS: readonly Rule[] = [
  { name: "bearer token", pattern: /\b(Bearer(?:%20|\s)+)[\w.~+/=-]{8,}/gi, replace: keepLabel },
  { name: "HMAC signature", pattern: /(&Signature=)[\w+/=%]+/gi, replace: keepLabel },
  { name: "access key", pattern: /(accesskey=)[^;\s"]+/gi, replace: keepLabel },
  {
    name: "service key",
    pattern:
      /((?:Ocp-Apim-Subscription-Key|api-key|openai-insecure-api-key)["']?(?:=|:|\.)\s*["']?)[^&\s"',]+/gi,
    replace: keepLabel,
  },
  // The shared secret of an Event Grid webhook stands in its address.
  { name: "webhook secret", pattern: /([?&](?:code|sig)=)[^&\s"'<>]+/gi, replace: keepLabel },
  { name: "SRTP key", pattern: /(\binline:)[\w+/=]{20,}/g, replace: keepLabel },
  {
    name: "digest response",
    pattern: /(\b(?:response|cnonce)=")[^"]+/gi,
    replace: keepLabel,
  },
  { name: "JSON web token", pattern: /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*/g, replace: () => MASK },
];

const PERSONAL: readonly Rule[] = [
  {
    name: "payment card",
    // Blanks may be percent-encoded, as they are in a header's value.
    pattern: /(?:(?<=%[\da-f]{2})|(?<![\w+%]))\d(?:(?:[ -]|%20|%2d)?\d){12,18}(?!\w)/gi,
    replace: (match) => (isPaymentCard(match) ? `${MASK}${match.slice(-4)}` : match),
  },
  {
    name: "e-mail address",
    // SIP URIs and Call-IDs have the same form: in the lab their hosts are addresses or end in a
    // domain that is nobody's (RFC 6761).
    pattern:
      /(?<!sips?:)(?<![\w.+-])[\w.+-]+(?:@|%40)(?:[a-z\d-]+\.)+(?!(?:test|invalid|local|localhost)\b)[a-z]{2,}(?![\w-]|\.[a-z\d])/gi,
    replace: () => `${MASK}@${MASK}`,
  },
];

/** `text` with every secret replaced by a mask. */
export function redact(text: string): string {
  return [...CREDENTIALS, ...PERSONAL].reduce(
    (masked, { pattern, replace }) => masked.replace(pattern, replace),
    text,
  );
}

/** A stretch of a text and what stands in its place. */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly by: string;
}

/** Where credentials stand in `text`; in order, and none within another. */
export function credentialsIn(text: string): Replacement[] {
  const found = CREDENTIALS.flatMap(({ pattern, replace }) =>
    Array.from(text.matchAll(pattern), (match) => {
      const [whole, ...groups] = match;
      return { start: match.index, end: match.index + whole.length, by: replace(whole, ...groups) };
    }),
  );
  return apart(found.toSorted((a, b) => a.start - b.start));
}

/** Of stretches that overlap, the first. */
export function apart(sorted: readonly Replacement[]): Replacement[] {
  const kept: Replacement[] = [];
  for (const each of sorted) if (each.start >= (kept.at(-1)?.end ?? 0)) kept.push(each);
  return kept;
}

/** Members of an object whose value is a secret, whatever it looks like. */
const SECRET_MEMBER =
  /^(?:authorization|api-key|ocp-apim-subscription-key|accesskey|password|secret)$/i;

/** `value` with every string in it redacted; arrays and plain objects are copied. */
export function redactDeep<Value>(value: Value): Value {
  return redactAny(value) as Value;
}

function redactAny(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(redactAny);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      typeof entry === "string" && SECRET_MEMBER.test(key) ? MASK : redactAny(entry),
    ]),
  );
}

/** Luhn's check, so that long identifiers and timestamps are left alone. */
export function isPaymentCard(text: string): boolean {
  const digits = Array.from(text.replaceAll(/%20|%2d|\D/gi, ""))
    .map(Number)
    .toReversed();
  const sum = digits.reduce((total, digit, index) => {
    const weighted = index % 2 === 0 ? digit : digit * 2;
    return total + (weighted > 9 ? weighted - 9 : weighted);
  }, 0);
  return sum % 10 === 0;
}
