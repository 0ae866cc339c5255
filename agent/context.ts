/**
 * What the telephone network says about a caller, taken from the SIP headers that Direct Routing
 * delivers in the IncomingCall event (`data.customContext.sipHeaders`). Anyone who can place a
 * call can write these headers, so every value is bounded, cleaned, and treated as data.
 */
export interface CallerContext {
  readonly customerId?: string;
  readonly transferReason?: string;
  readonly userToUser?: string;
}

/** Longest value the service carries in one header (custom context how-to: 256 characters). */
const VALUE_LIMIT = 256;
/** Five custom headers and User-To-User; a longer list is cut, not trusted. */
const HEADER_LIMIT = 32;

/** `sipHeaders` is untrusted: anything but an object of strings gives an empty context. */
export function readCallerContext(sipHeaders: unknown): CallerContext {
  const headers = byComparableName(sipHeaders);
  const customerId = headers.get("xcustomerid");
  const transferReason = headers.get("xtransferreason");
  const userToUser = headers.get("usertouser");
  return {
    ...(customerId !== undefined && isIdentifier(customerId) && { customerId }),
    ...(transferReason !== undefined && { transferReason }),
    ...(userToUser !== undefined && { userToUser }),
  };
}

/**
 * SIP header names are case-insensitive, and the service's own spellings of User-To-User differ in
 * their dashes (`userToUser`, `User-To-User`), so names are compared without either. The longer
 * prefix of older resources, `X-MS-Custom-`, means the same header.
 */
function byComparableName(sipHeaders: unknown): Map<string, string> {
  if (typeof sipHeaders !== "object" || sipHeaders === null) return new Map();
  const entries = Object.entries(sipHeaders).slice(0, HEADER_LIMIT);
  const found = new Map<string, string>();
  for (const [name, value] of entries) {
    const comparable = name
      .toLowerCase()
      .replaceAll("-", "")
      .replace(/^xmscustom/, "x");
    const text = typeof value === "string" ? decodeHeaderValue(value) : "";
    if (text !== "" && !found.has(comparable)) found.set(comparable, text);
  }
  return found;
}

/** Undoes percent-encoding where it is valid, then drops control characters and surplus length. */
export function decodeHeaderValue(value: string): string {
  return Array.from(percentDecoded(value.slice(0, VALUE_LIMIT * 3)))
    .filter((character) => !/\p{C}/u.test(character))
    .slice(0, VALUE_LIMIT)
    .join("")
    .trim();
}

function percentDecoded(value: string): string {
  if (!/%[\da-f]{2}/i.test(value)) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    // A lone "%" is legal in a header: then the value was never encoded.
    return value;
  }
}

/** Customer ids end up in queries, logs and outgoing headers: a narrow alphabet. */
function isIdentifier(value: string): boolean {
  return /^[\w.:-]{1,64}$/.test(value);
}
