/**
 * What the telephone network says about a caller, taken from the SIP headers that Direct Routing
 * delivers in the IncomingCall event (`data.customContext.sipHeaders`). Anyone who can place a
 * call can write these headers, so every value is bounded, cleaned, and treated as data.
 */
export interface CallerContext {
  readonly customerId?: string;
  readonly transferReason?: string;
}

/** Longest value the service carries in one header (custom context how-to: 256 characters). */
const VALUE_LIMIT = 256;
/** Five custom headers and User-To-User; a longer list is cut, not trusted. */
const HEADER_LIMIT = 32;

/**
 * The longer prefix of older resources means the same header. No other spelling does: SBCs drop the
 * header on calls from outside by its exact name, and let one that only resembles it pass.
 */
const CUSTOMER_ID = ["x-customer-id", "x-ms-custom-customer-id"];
const TRANSFER_REASON = ["x-transfer-reason", "x-ms-custom-transfer-reason"];

/** `sipHeaders` is untrusted: anything but an object of strings gives an empty context. */
export function readCallerContext(sipHeaders: unknown): CallerContext {
  if (typeof sipHeaders !== "object" || sipHeaders === null) return {};
  const headers = Object.entries(sipHeaders).slice(0, HEADER_LIMIT);
  const customerId = firstOf(headers, CUSTOMER_ID);
  const transferReason = firstOf(headers, TRANSFER_REASON);
  return {
    ...(customerId !== undefined && isIdentifier(customerId) && { customerId }),
    ...(transferReason !== undefined && { transferReason }),
  };
}

/** Names of SIP headers are the same whatever their case. */
function firstOf(
  headers: readonly (readonly [string, unknown])[],
  names: readonly string[],
): string | undefined {
  return headers
    .filter(([name]) => names.includes(name.toLowerCase()))
    .map(([, value]) => (typeof value === "string" ? decodeHeaderValue(value) : ""))
    .find((text) => text !== "");
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
