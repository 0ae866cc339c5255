/** The cipher suites of RFC 4568 §6.2 this side can run; they differ in the RTP tag's length. */
export type SrtpSuite = "AES_CM_128_HMAC_SHA1_80" | "AES_CM_128_HMAC_SHA1_32";

/** One `a=crypto` line (RFC 4568): SRTP keys carried in the SDP. */
export interface CryptoLine {
  readonly tag: number;
  /** As written; see {@link isSupportedSuite}. */
  readonly suite: string;
  /** Master key (16 octets) and salt (14 octets), one after the other. */
  readonly key: Uint8Array;
  /** Packets the key is good for, as written: `2^31` or a number. */
  readonly lifetime?: string;
  /** The master key identifier the peer puts into each packet, and its length in octets. */
  readonly mki?: { readonly value: bigint; readonly length: number };
  /** Session parameters (`KDR=0`, `UNENCRYPTED_SRTP`); an unknown one makes the line unusable. */
  readonly parameters: readonly string[];
}

const KEY_OCTETS = 30;
const LINE = /^(\d{1,9})\s+([\w-]+)\s+inline:([^\s;]+)(?:\s+(.+))?$/;
const MKI = /^(\d{1,39}):(\d{1,3})$/;
const LIFETIME = /^(?:2\^\d{1,2}|\d{1,15})$/;

/** The value after `a=crypto:`; `undefined` when it is malformed or holds more than one key. */
export function parseCryptoLine(value: string): CryptoLine | undefined {
  const [, tag, suite = "", inline = "", rest] = LINE.exec(value.trim()) ?? [];
  if (tag === undefined) return undefined;
  const [keyText = "", ...fields] = inline.split("|");
  const key = decodeKey(keyText);
  const limits = parseLimits(fields);
  if (key === undefined || limits === undefined) return undefined;
  return { tag: Number(tag), suite, key, ...limits, parameters: rest?.split(/\s+/) ?? [] };
}

/** The optional fields behind the key, in their order: lifetime, MKI. */
function parseLimits(fields: string[]): Pick<CryptoLine, "lifetime" | "mki"> | undefined {
  const rest = [...fields];
  const lifetime = LIFETIME.test(rest[0] ?? "") ? rest.shift() : undefined;
  const mki = parseMki(rest[0] ?? "");
  if (mki !== undefined) rest.shift();
  if (rest.length > 0) return undefined;
  return { ...(lifetime === undefined ? {} : { lifetime }), ...(mki === undefined ? {} : { mki }) };
}

export function formatCryptoLine({ tag, suite, key, lifetime, mki }: CryptoLine): string {
  const fields = [`inline:${Buffer.from(key).toString("base64")}`];
  if (lifetime !== undefined) fields.push(lifetime);
  if (mki !== undefined) fields.push(`${mki.value}:${mki.length}`);
  return `${tag} ${suite} ${fields.join("|")}`;
}

export function isSupportedSuite(suite: string): suite is SrtpSuite {
  return suite === "AES_CM_128_HMAC_SHA1_80" || suite === "AES_CM_128_HMAC_SHA1_32";
}

/** A line this side can work with: known suite, and no session parameter that changes the packets. */
export function isUsable(line: CryptoLine, suites: readonly SrtpSuite[]): boolean {
  const known = isSupportedSuite(line.suite) && suites.includes(line.suite);
  return known && line.parameters.every((parameter) => /^(?:KDR=0|WSH=\d+|-.*)$/.test(parameter));
}

function decodeKey(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]{40}$/.test(text)) return undefined;
  const key = Buffer.from(text, "base64");
  return key.length === KEY_OCTETS ? new Uint8Array(key) : undefined;
}

function parseMki(field: string): { value: bigint; length: number } | undefined {
  const [, digits, octets] = MKI.exec(field) ?? [];
  if (digits === undefined) return undefined;
  const value = BigInt(digits);
  const length = Number(octets);
  const fits = length >= 1 && length <= 128 && value < 1n << BigInt(length * 8);
  return fits ? { value, length } : undefined;
}
