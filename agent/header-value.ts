/**
 * Values for custom SIP headers. The documented alphabet is alphanumerics and `= ; . ! % * _ + ~ -`,
 * at most 256 characters ("How to pass contextual data between calls", custom context). Free text
 * is percent-encoded into it; `%` itself is always encoded, so decoding is unambiguous.
 */
const PLAIN = /^[A-Za-z\d=;.!*_+~-]$/;

const bytesOf = new TextEncoder();

/**
 * Encodes `text` and cuts it to `limit` characters after encoding, at a character boundary: no
 * broken `%` triplet and no half of a UTF-8 sequence, so a receiver can always decode the rest.
 */
export function encodeHeaderValue(text: string, limit: number): string {
  let encoded = "";
  for (const character of normalised(text)) {
    const piece = PLAIN.test(character) ? character : percentEncoded(character);
    if (encoded.length + piece.length > limit) break;
    encoded += piece;
  }
  return encoded;
}

/**
 * For receivers that cannot decode: the text itself, on one line, without control characters, at
 * most `limit` bytes. Spaces stay, although the documented alphabet has none.
 */
export function plainHeaderValue(text: string, limit: number): string {
  let plain = "";
  let lengthBytes = 0;
  for (const character of normalised(text)) {
    lengthBytes += bytesOf.encode(character).length;
    if (lengthBytes > limit) break;
    plain += character;
  }
  return plain.trim();
}

/** Control, format and unpaired characters become one space: nothing can end a header line. */
function normalised(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\p{C}\p{Z}\uFFFD]+/gu, " ")
    .trim();
}

function percentEncoded(character: string): string {
  return Array.from(
    bytesOf.encode(character),
    (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
}
