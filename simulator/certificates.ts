import { createHash, generateKeyPair, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP, isIPv4 } from "node:net";
import { promisify } from "node:util";
import type { Clock } from "./clock.ts";

/** What a certificate may be used for (RFC 5280 §4.2.1.12). */
export type KeyUsage = "serverAuth" | "clientAuth";

/** A private key (PKCS #8) and its certificate, both PEM, as `node:tls` takes them. */
export interface IssuedCertificate {
  readonly key: string;
  readonly cert: string;
}

/** An RSA key pair that several certificates may share; making one is the slow part. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface CertificateOptions {
  /** The subject's CN. */
  readonly commonName: string;
  /** DNS names and IP addresses for the subject alternative name; wildcards are written `*.host`. */
  readonly hosts: readonly string[];
  /** Default: both. An empty list leaves the extended key usage out. */
  readonly usages?: readonly KeyUsage[];
  /** Default: one day before the clock's date. */
  readonly notBefore?: Date;
  /** Default: 366 days after `notBefore`. */
  readonly notAfter?: Date;
  /** RSA modulus length; default 2048. Not used when `keyPair` is given. */
  readonly keyBits?: number;
  readonly keyPair?: KeyPair;
}

export interface CertificateAuthority {
  /** The authority's own certificate, PEM: what a peer has to trust. */
  readonly certificate: string;
  /** A leaf certificate signed by this authority. */
  issue(options: CertificateOptions): Promise<IssuedCertificate>;
}

export interface AuthorityOptions {
  readonly clock: Clock;
  /** Default: "linecheck lab CA". */
  readonly commonName?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly keyPair?: KeyPair;
}

const generateKeys = promisify(generateKeyPair);
const signOnPool = promisify(sign);

/**
 * Makes an RSA key pair on the thread pool, so several made at once use all cores.
 * Certificates that need no key of their own can share one.
 */
export async function createKeyPair({ keyBits = 2048 } = {}): Promise<KeyPair> {
  return await generateKeys("rsa", { modulusLength: keyBits });
}

/**
 * A certificate authority for one lab (RFC 5280). Nothing outside the lab trusts it, and its key
 * exists in memory only. Default dates come from the clock; OpenSSL, which judges them in a
 * handshake, goes by the wall clock, so a test with a stopped clock gives its dates itself.
 */
export async function createCertificateAuthority(
  options: AuthorityOptions,
): Promise<CertificateAuthority> {
  const { clock, commonName = "linecheck lab CA", keyPair = await createKeyPair() } = options;
  const certificate = await certify({
    subject: commonName,
    issuer: commonName,
    issuerKeys: keyPair,
    publicKey: keyPair.publicKey,
    validity: validity(clock, options),
    extensions: [
      extension(OID.basicConstraints, sequence(boolean(true), integer(Buffer.from([0]))), true),
      extension(OID.keyUsage, keyUsage(KEY_CERT_SIGN | CRL_SIGN), true),
      extension(OID.subjectKeyIdentifier, tlv(0x04, keyIdentifier(keyPair.publicKey))),
    ],
  });

  const issue = async (leaf: CertificateOptions) => {
    const keys = leaf.keyPair ?? (await createKeyPair(leaf));
    const cert = await certify({
      subject: leaf.commonName,
      issuer: commonName,
      issuerKeys: keyPair,
      publicKey: keys.publicKey,
      validity: validity(clock, leaf),
      extensions: leafExtensions(leaf, keys.publicKey, keyPair.publicKey),
    });
    return issued(keys, cert);
  };
  return { certificate, issue };
}

/** A certificate that is its own issuer: what a peer with a trust store has to refuse. */
export async function selfSigned(
  options: CertificateOptions & { readonly clock: Clock },
): Promise<IssuedCertificate> {
  const keys = options.keyPair ?? (await createKeyPair(options));
  const cert = await certify({
    subject: options.commonName,
    issuer: options.commonName,
    issuerKeys: keys,
    publicKey: keys.publicKey,
    validity: validity(options.clock, options),
    extensions: leafExtensions(options, keys.publicKey, keys.publicKey),
  });
  return issued(keys, cert);
}

function issued({ privateKey }: KeyPair, cert: string): IssuedCertificate {
  return { key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(), cert };
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const DAY_MS = 86_400_000;

/** Dates are the clock's, a day back so that a peer with a slightly earlier clock agrees. */
function validity(clock: Clock, dates: Partial<Validity>): Validity {
  const notBefore = dates.notBefore ?? new Date(clock.date().getTime() - DAY_MS);
  const notAfter = dates.notAfter ?? new Date(notBefore.getTime() + 366 * DAY_MS);
  return { notBefore, notAfter };
}

interface CertificateContent {
  readonly subject: string;
  readonly issuer: string;
  readonly issuerKeys: KeyPair;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

/** Certificate and TBSCertificate of RFC 5280 §4.1, signed with sha256WithRSAEncryption. */
async function certify(content: CertificateContent): Promise<string> {
  const signatureAlgorithm = sequence(oid("1.2.840.113549.1.1.11"), tlv(0x05));
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serialNumber()),
    signatureAlgorithm,
    name(content.issuer),
    sequence(time(content.validity.notBefore), time(content.validity.notAfter)),
    name(content.subject),
    publicKeyInfo(content.publicKey),
    tlv(0xa3, sequence(...content.extensions)),
  );
  const signature = await signOnPool("sha256", body, content.issuerKeys.privateKey);
  const der = sequence(body, signatureAlgorithm, bitString(signature));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function leafExtensions(
  { hosts, usages = ["serverAuth", "clientAuth"] }: CertificateOptions,
  subjectKey: KeyObject,
  issuerKey: KeyObject,
): Buffer[] {
  const extensions = [
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, keyUsage(DIGITAL_SIGNATURE | KEY_ENCIPHERMENT), true),
    extension(OID.subjectKeyIdentifier, tlv(0x04, keyIdentifier(subjectKey))),
    extension(OID.authorityKeyIdentifier, sequence(tlv(0x80, keyIdentifier(issuerKey)))),
  ];
  if (hosts.length > 0) {
    extensions.push(extension(OID.subjectAlternativeName, sequence(...hosts.map(generalName))));
  }
  if (usages.length > 0) {
    const purposes = usages.map((usage) => oid(OID[usage]));
    extensions.push(extension(OID.extendedKeyUsage, sequence(...purposes)));
  }
  return extensions;
}

const OID = {
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

// Bits of RFC 5280 §4.2.1.3, first bit on the left of the octet.
const DIGITAL_SIGNATURE = 0x80;
const KEY_ENCIPHERMENT = 0x20;
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;

function extension(id: string, value: Buffer, critical = false): Buffer {
  const flag = critical ? [boolean(true)] : [];
  return sequence(oid(id), ...flag, tlv(0x04, value));
}

/** A named bit list: DER wants the trailing zero bits counted as unused (X.690 §11.2.2). */
function keyUsage(bits: number): Buffer {
  const unusedBits = Math.log2(bits & -bits);
  return tlv(0x03, Buffer.from([unusedBits, bits]));
}

function publicKeyInfo(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" });
}

/** Any value unique to the key will do (RFC 5280 §4.2.1.2): the start of the key's digest. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash("sha256").update(publicKeyInfo(key)).digest().subarray(0, 20);
}

function generalName(host: string): Buffer {
  if (isIP(host) === 0) return tlv(0x82, Buffer.from(host, "ascii"));
  if (isIPv4(host)) return tlv(0x87, Buffer.from(host.split(".").map(Number)));
  return tlv(0x87, ipv6Bytes(host));
}

function ipv6Bytes(host: string): Buffer {
  const [left = [], right = []] = host.split("::").map(ipv6Groups);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0000");
  return Buffer.from([...left, ...zeros, ...right].join(""), "hex");
}

function ipv6Groups(text: string): string[] {
  const groups = text.split(":").filter((group) => group !== "");
  return groups.map((group) => group.padStart(4, "0"));
}

function name(commonName: string): Buffer {
  const attribute = sequence(oid(OID.commonName), tlv(0x0c, Buffer.from(commonName, "utf8")));
  return sequence(tlv(0x31, attribute));
}

/** 16 octets whose top bits are 01: a positive number without padding (RFC 5280 §4.1.2.2). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes;
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
function time(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(digits.slice(2), "ascii"))
    : tlv(0x18, Buffer.from(digits, "ascii"));
}

/** One DER element: tag, definite length, content (X.690 §8.1). */
function tlv(tag: number, ...content: readonly Buffer[]): Buffer {
  const length = content.reduce((total, part) => total + part.length, 0);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(length)]), ...content]);
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  return [0x82, length >> 8, length & 0xff];
}

function sequence(...content: readonly Buffer[]): Buffer {
  return tlv(0x30, ...content);
}

function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes);
}

function boolean(value: boolean): Buffer {
  return tlv(0x01, Buffer.from([value ? 0xff : 0]));
}

function bitString(bytes: Buffer): Buffer {
  return tlv(0x03, Buffer.from([0]), bytes);
}

/** Dotted form to base 128 (X.690 §8.19). */
function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(value: number): number[] {
  const octets = [value & 0x7f];
  for (let left = value >> 7; left > 0; left >>= 7) octets.unshift((left & 0x7f) | 0x80);
  return octets;
}
