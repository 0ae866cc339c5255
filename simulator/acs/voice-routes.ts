/** One entry of a resource's ordered list of outbound voice routes, as `SipRoutingClient` sees it. */
export interface VoiceRoute {
  readonly name: string;
  readonly description?: string;
  /** .NET regular expression on the dialled number, such as `^\+1(425|206)(\d{7})$`. */
  readonly numberPattern: string;
  /** FQDNs of the trunks that may carry the call. */
  readonly trunks: readonly string[];
  /** Shown instead of the caller's number (preview API). */
  readonly callerIdOverride?: string;
}

/** What is wrong with a pattern, and where: `position` counts characters from 0. */
export interface PatternFault {
  readonly position: number;
  readonly reason: string;
}

/**
 * Checks a number pattern before it is stored. Accepts what .NET and this emulator read alike;
 * constructs that only .NET has (atomic groups, conditionals) are named as such, not guessed at.
 */
export function checkPattern(pattern: string): PatternFault | undefined {
  const scan: Scan = { pattern, position: 0, open: [], repeatable: false };
  while (scan.position < pattern.length) {
    const fault = step(scan);
    if (fault !== undefined) return fault;
  }
  const unclosed = scan.open.at(-1);
  if (unclosed !== undefined) return { position: unclosed, reason: "this group is never closed" };
  return uncompilable(pattern);
}

/**
 * What a pattern that compiles hardly means: `^+1` repeats the anchor, it does not match a plus
 * sign. The service stores such patterns, and calls then find no route.
 */
export function patternWarning(pattern: string): PatternFault | undefined {
  const position = quantifiedAnchor(pattern);
  if (position === undefined) return undefined;
  const written = pattern.slice(position - 1, position + 1);
  const reason = `"${written}" repeats an anchor; a plus sign is written \\+`;
  return { position, reason };
}

/** Does a stored pattern match a dialled number? .NET searches, it does not anchor by itself. */
export function matchesPattern(pattern: string, number: string): boolean {
  return compile(pattern).test(number);
}

/** The routes that match, in the order of the list (the first one is tried first). */
export function matchingRoutes(routes: readonly VoiceRoute[], number: string): VoiceRoute[] {
  return routes.filter(({ numberPattern }) => matchesPattern(numberPattern, number));
}

interface Scan {
  readonly pattern: string;
  position: number;
  /** Where the groups that are still open began. */
  readonly open: number[];
  /** Is there something before the position that a quantifier can repeat? */
  repeatable: boolean;
}

const QUANTIFIER = /^(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/;
const GROUP_OPENING = /^\((?:\?(?:[:=!]|<[=!]|<[A-Za-z_]\w*>|[imsnx-]+:)?)?/;

function step(scan: Scan): PatternFault | undefined {
  const { pattern, position } = scan;
  const quantifier = QUANTIFIER.exec(pattern.slice(position));
  if (quantifier !== null) return quantify(scan, quantifier);
  switch (pattern[position]) {
    case "\\":
      return escape(scan);
    case "[":
      return characterClass(scan);
    case "(":
      return openGroup(scan);
    case ")":
      return closeGroup(scan);
    default:
      scan.repeatable = pattern.charAt(position) !== "|";
      scan.position += 1;
      return undefined;
  }
}

function quantify(scan: Scan, [text, least, , most]: RegExpExecArray): PatternFault | undefined {
  const { position } = scan;
  if (!scan.repeatable) return { position, reason: `nothing to repeat before "${text}"` };
  if (most !== undefined && most !== "" && Number(most) < Number(least)) {
    return { position, reason: `"${text}" counts from ${least} down to ${most}` };
  }
  scan.position += text.length;
  scan.repeatable = false;
  return undefined;
}

function escape(scan: Scan): PatternFault | undefined {
  const { pattern, position } = scan;
  if (position + 1 >= pattern.length) return { position, reason: "nothing follows the backslash" };
  scan.repeatable = true;
  scan.position += 2;
  return undefined;
}

const CLASS = /^\[\^?\]?(?:\\.|[^\]\\])*\]/;
const RANGE = /(\\.|[^\\])-(\\.|[^\\\]])/g;

function characterClass(scan: Scan): PatternFault | undefined {
  const { pattern, position } = scan;
  const text = CLASS.exec(pattern.slice(position))?.[0];
  if (text === undefined) return { position, reason: "this character class is never closed" };
  for (const range of text.slice(1, -1).matchAll(RANGE)) {
    const [written, from = "", to = ""] = range;
    if (from.length === 1 && to.length === 1 && from > to) {
      return { position: position + 1 + range.index, reason: `"${written}" runs backwards` };
    }
  }
  scan.position += text.length;
  scan.repeatable = true;
  return undefined;
}

function openGroup(scan: Scan): PatternFault | undefined {
  const { pattern, position } = scan;
  const text = GROUP_OPENING.exec(pattern.slice(position))?.[0] ?? "(";
  if (text === "(?") {
    return { position, reason: "this kind of group is not supported by the emulator" };
  }
  scan.open.push(position);
  scan.position += text.length;
  scan.repeatable = false;
  return undefined;
}

function closeGroup(scan: Scan): PatternFault | undefined {
  const { position } = scan;
  if (scan.open.pop() === undefined) return { position, reason: "no group is open here" };
  scan.position += 1;
  scan.repeatable = true;
  return undefined;
}

/** What the scan lets through and the engine still refuses, such as a group name used twice. */
function uncompilable(pattern: string): PatternFault | undefined {
  try {
    compile(pattern);
    return undefined;
  } catch (error) {
    return { position: 0, reason: error instanceof Error ? error.message : String(error) };
  }
}

const ANCHORS: Readonly<Record<string, string>> = {
  "^": "^",
  $: "$",
  "\\A": "^",
  "\\z": "$",
  "\\Z": "$",
  "\\b": "\\b",
  "\\B": "\\B",
};
/** Classes and escapes are passed over whole, so that an anchor found is one. */
const PIECES = /\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|[^]/g;

/** .NET's anchors the way JavaScript has them; a quantified one needs a group around it. */
function compile(pattern: string): RegExp {
  const translated = pattern.replaceAll(PIECES, (piece, at: number) => {
    const anchor = ANCHORS[piece];
    if (anchor === undefined) return piece;
    return QUANTIFIER.test(pattern.slice(at + piece.length)) ? `(?:${anchor})` : anchor;
  });
  return new RegExp(translated);
}

function quantifiedAnchor(pattern: string): number | undefined {
  for (const { 0: piece, index } of pattern.matchAll(PIECES)) {
    const after = index + piece.length;
    if (ANCHORS[piece] !== undefined && QUANTIFIER.test(pattern.slice(after))) return after;
  }
  return undefined;
}
