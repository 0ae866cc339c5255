/** Limits of custom SIP headers (Call Automation, "custom context"), the same both ways. */
const LIMITS = { headers: 5, keyLength: 64, valueLength: 256 } as const;
const KEY = /^[\w.!%*+~-]+$/;
const VALUE = /^[\w=;.!%*+~-]*$/;
const USER_TO_USER = "user-to-user";

/** A custom header that breaks a documented rule. */
export interface HeaderViolation {
  readonly name: string;
  readonly rule: "count" | "key" | "keyLength" | "value" | "valueLength" | "repeated";
  readonly message: string;
}

export type HeaderMode = "strict" | "truncate" | "pass";

export interface FilteredHeaders {
  readonly headers: Readonly<Record<string, string>>;
  readonly violations: readonly HeaderViolation[];
}

/** Is this a header that an application may send or see, and not part of the protocol? */
export function isCustomHeader(name: string, filter: "current" | "legacy" = "current"): boolean {
  const key = name.toLowerCase();
  if (key === USER_TO_USER || key.startsWith("x-ms-custom-")) return true;
  return filter === "current" && key.startsWith("x-") && !key.startsWith("x-ms-");
}

/**
 * The custom headers of a message, in order, spelled as they came. `strict` drops what breaks a
 * rule, `truncate` cuts to the lengths and the count, `pass` lets everything through; each
 * departure is reported either way. The second header of one name is always dropped.
 */
export function filterCustomHeaders(
  headers: Iterable<readonly [name: string, value: string]>,
  { mode, filter = "current" }: { mode: HeaderMode; filter?: "current" | "legacy" },
): FilteredHeaders {
  const kept = new Map<string, [name: string, value: string]>();
  const violations: HeaderViolation[] = [];
  for (const [name, value] of headers) {
    if (!isCustomHeader(name, filter)) continue;
    const found = violation(name, value, kept);
    if (found !== undefined) violations.push(found);
    const admitted = admit(name, value, { mode, found });
    if (admitted !== undefined) kept.set(name.toLowerCase(), admitted);
  }
  return { headers: Object.fromEntries(kept.values()), violations };
}

/** Would this value end the header or the message? Nothing may ever put such a value on a wire. */
export function isOneLine(value: string): boolean {
  return !/[\r\n\0]/.test(value);
}

type Kept = ReadonlyMap<string, unknown>;

function violation(name: string, value: string, kept: Kept): HeaderViolation | undefined {
  const key = name.toLowerCase();
  if (kept.has(key)) return complaint(name, "repeated", "comes twice");
  if (key !== USER_TO_USER && customCount(kept) >= LIMITS.headers) {
    return complaint(name, "count", `is one more than the ${LIMITS.headers} allowed`);
  }
  if (name.length > LIMITS.keyLength) {
    return complaint(name, "keyLength", `is longer than ${LIMITS.keyLength} characters`);
  }
  if (!KEY.test(name)) return complaint(name, "key", "has a character outside the key alphabet");
  if (value.length > LIMITS.valueLength) {
    const length = `${value.length} characters, ${LIMITS.valueLength} are allowed`;
    return complaint(name, "valueLength", `has a value of ${length}`);
  }
  if (VALUE.test(value)) return undefined;
  return complaint(name, "value", "has a character outside the value alphabet");
}

function customCount(kept: Kept): number {
  return kept.size - (kept.has(USER_TO_USER) ? 1 : 0);
}

function complaint(name: string, rule: HeaderViolation["rule"], what: string): HeaderViolation {
  return { name, rule, message: `custom header ${name} ${what}` };
}

function admit(
  name: string,
  value: string,
  { mode, found }: { mode: HeaderMode; found: HeaderViolation | undefined },
): [string, string] | undefined {
  if (found === undefined) return [name, value];
  if (found.rule === "repeated" || mode === "strict") return undefined;
  if (mode === "pass") return [name, value];
  if (found.rule === "count" || found.rule === "keyLength") return undefined;
  return [name, value.slice(0, LIMITS.valueLength)];
}
