/** What stands between digits and is no card: 49.99, 1,250.00; 2026-03-14, 14.03.2026. */
const SUM = String.raw`(?<!\d[.,]?)\d{1,3}(?:[.,]\d{3})*[.,]\d\d(?![.,]?\d)`;
const DATE = String.raw`(?<!\d[-.]?)(?:(?:19|20)\d\d-\d\d-\d\d|\d\d[-.]\d\d[-.](?:19|20)\d\d)(?![-.]?\d)`;
/** A recogniser separates what was dictated with spaces, dashes, commas or full stops. */
const RUN = String.raw`\d(?:[\s,.\p{Pd}]{0,3}(?!${SUM}|${DATE})\d){12,}`;
/** The third is a telephone number, up to its first separator. */
const NUMBERS = new RegExp(String.raw`${SUM}|${DATE}|\+\d+|(${RUN})`, "gu");
/** A number of its own, as people write it; no list of sums or dates. */
const ONE_NUMBER = /^\d(?:[ -]?\d){12,18}$/;

const SHORTEST = 13;
const LONGEST = 19;

/** What issuers' numbers begin with, and how long they are (ISO/IEC 7812-1). */
const ISSUERS = [
  /^4(?:\d{12}|\d{15}|\d{18})$/, // Visa
  /^(?:5[1-5]|2[2-7])\d{14}$/, // Mastercard, Mir
  /^3[47]\d{13}$/, // American Express
  /^3[0689]\d{12,17}$/, // Diners Club
  /^(?:35|6\d)\d{14,17}$/, // JCB, Discover, UnionPay
  /^(?:5[06-8]|6[37])\d{11,17}$/, // Maestro
];

/**
 * Texts leave the process without payment card numbers: neither a transcript nor a SIP header may
 * hold one (PCI DSS 4.0, requirement 3). The last four digits stay, as on a receipt. A card's
 * number is found between other digits, too: its expiry date, its code, a number before it.
 */
export function maskPaymentCards(text: string): string {
  return text.replaceAll(NUMBERS, (match, run?: string) =>
    run === undefined ? match : maskRun(run),
  );
}

/** Places in a run of digits; `end` is the first digit after. */
interface Span {
  readonly start: number;
  readonly end: number;
}

function maskRun(run: string): string {
  const places = Array.from(run.matchAll(/\d/g), ({ index }) => index);
  const digits = run.replaceAll(/\D/g, "");
  if (ONE_NUMBER.test(run) && passesLuhn(digits)) return maskOf(digits);
  const edge = (at: number) =>
    at === 0 || at === digits.length || places[at - 1] !== (places[at] ?? 0) - 1;
  // Whole groups first: a window that cuts one may fit by chance, and hide where the number ends.
  const whole = ({ start, end }: Span) => edge(start) && edge(end);
  const grouped = cardsIn(digits, { start: 0, end: digits.length }, whole);
  const rest = between(grouped, digits.length);
  // In a long number that is no card's some window nearly always fits: it has to end with a group.
  const half = ({ start, end }: Span) => edge(start) || edge(end);
  const cards = [...grouped, ...rest.flatMap((part) => cardsIn(digits, part, half))];
  let masked = "";
  let done = 0;
  for (const { start, end } of cards.toSorted((one, other) => one.start - other.start)) {
    masked += run.slice(done, places[start]) + maskOf(digits.slice(start, end));
    done = (places[end - 1] ?? 0) + 1;
  }
  return masked + run.slice(done);
}

/** Every window that may be a card's number; those that overlap are one, so that none is half seen. */
function cardsIn(digits: string, part: Span, fits: (window: Span) => boolean): Span[] {
  const cards: Span[] = [];
  for (let { start } = part; start + SHORTEST <= part.end; start += 1) {
    const end = longestAt(digits, { start, end: part.end }, fits);
    if (end === undefined) continue;
    const last = cards.at(-1);
    if (last === undefined || last.end <= start) cards.push({ start, end });
    else cards.splice(-1, 1, { start: last.start, end: Math.max(last.end, end) });
  }
  return cards;
}

function longestAt(
  digits: string,
  { start, end: limit }: Span,
  fits: (window: Span) => boolean,
): number | undefined {
  for (let end = Math.min(limit, start + LONGEST); end >= start + SHORTEST; end -= 1) {
    if (fits({ start, end }) && isCardNumber(digits.slice(start, end))) return end;
  }
  return undefined;
}

function between(spans: readonly Span[], length: number): Span[] {
  const starts = [0, ...spans.map(({ end }) => end)];
  return starts.map((start, index) => ({ start, end: spans[index]?.start ?? length }));
}

function maskOf(digits: string): string {
  return `****${digits.slice(-4)}`;
}

function isCardNumber(digits: string): boolean {
  return ISSUERS.some((issuer) => issuer.test(digits)) && passesLuhn(digits);
}

/** Luhn's check (ISO/IEC 7812-1), so that other long numbers stay readable. */
function passesLuhn(digits: string): boolean {
  const sum = Array.from(digits, Number)
    .toReversed()
    .map((digit, index) => (index % 2 === 0 ? digit : digit * 2))
    .reduce((total, weighted) => total + (weighted > 9 ? weighted - 9 : weighted), 0);
  return sum % 10 === 0;
}
