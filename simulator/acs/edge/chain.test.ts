import { type KeyObject, sign, X509Certificate } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  type CertificateOptions,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
  type KeyPair,
  selfSigned,
} from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import { shownBy } from "../testing/handshake.ts";
import { type CertificateRules, judgeCertificate, type ShownCertificate } from "./certificate.ts";
import { parseRoots } from "./chain.ts";

const HOST = "sbc.linecheck.test";
const clock = systemClock();
const inDays = (days: number) => new Date(clock.date().getTime() + days * 86_400_000);
const SERVER_ONLY = { usages: ["serverAuth"] } as const;

let keyPair: KeyPair;
let rootKeys: KeyPair;
let middleKeys: KeyPair;
let root: CertificateAuthority;
let middle: CertificateAuthority;

beforeAll(async () => {
  const pairs = await Promise.all([createKeyPair(), createKeyPair(), createKeyPair()]);
  [keyPair, rootKeys, middleKeys] = pairs;
  const lab = await createCertificateAuthority({ clock, keyPair: rootKeys });
  const certificate = crossSigned(lab.certificate, lab.certificate, rootKeys.privateKey);
  root = { ...lab, certificate };
  middle = await authority();
});

function authority(dates: { notBefore?: Date; notAfter?: Date } = {}) {
  return createCertificateAuthority({ clock, keyPair: middleKeys, commonName: "middle", ...dates });
}

/** The elements of a DER sequence, each with its head. */
function elements(der: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let rest = contentOf(der); rest.length > 0; ) {
    const size = rest.length - contentOf(rest, true).length;
    parts.push(rest.subarray(0, size));
    rest = rest.subarray(size);
  }
  return parts;
}

/** What is inside an element, or what comes after it. */
function contentOf(der: Buffer, after = false): Buffer {
  const first = der[1] ?? 0;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  const length = octets === 0 ? first : der.readUIntBE(2, octets);
  const start = 2 + octets;
  return after ? der.subarray(start + length) : der.subarray(start, start + length);
}

function sequence(...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const head = Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]);
  return Buffer.concat([head, content]);
}

/** basicConstraints of the lab's authorities, which lets no authority stand below. */
const PATH_LENGTH_0 = Buffer.from([0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00]);

/** The same authority with another issuer: that makes an intermediate of a root. */
function crossSigned(pem: string, issuer: string, issuerKey: KeyObject): string {
  const [subject = Buffer.alloc(0), algorithm = Buffer.alloc(0)] = elements(rawOf(pem));
  const [issuerContent = Buffer.alloc(0)] = elements(rawOf(issuer));
  const fields = elements(subject);
  fields.splice(3, 1, elements(issuerContent)[5] ?? Buffer.alloc(0));
  const body = sequence(...fields);
  body[body.indexOf(PATH_LENGTH_0) + PATH_LENGTH_0.length - 1] = 1;
  const signature = sign("sha256", body, issuerKey);
  const bits = Buffer.from([0x03, 0x82, 0x01, 0x01, 0x00]);
  const der = sequence(body, algorithm, Buffer.concat([bits, signature]));
  return new X509Certificate(der).toString();
}

const rawOf = (pem: string) => new X509Certificate(pem).raw;

/** A leaf of `by` with the intermediates that go along. */
async function leaf(
  by: CertificateAuthority,
  sent: readonly string[],
  options: Partial<CertificateOptions> = {},
): Promise<IssuedCertificate> {
  const { key, cert } = await by.issue({ commonName: "sbc", hosts: [HOST], keyPair, ...options });
  return { key, cert: [cert, ...sent].join("\n") };
}

/** What the edge sees when `client` dials it. */
async function seen(client: IssuedCertificate): Promise<ShownCertificate> {
  const server = await root.issue({ commonName: "sip", hosts: [HOST], keyPair });
  return shownBy(client, { ...server, ca: root.certificate });
}

async function verdictOn(client: IssuedCertificate, rules: Partial<CertificateRules> = {}) {
  const shown = await seen(client);
  const { fault } = judgeCertificate(shown, {
    host: HOST,
    now: clock.date(),
    missingKeyUsage: "refuse",
    trustedRoots: parseRoots([root.certificate]),
    ...rules,
  });
  return { openssl: shown.authorizationError, fault };
}

const underRoot = (by: CertificateAuthority) =>
  crossSigned(by.certificate, root.certificate, rootKeys.privateKey);

test("a leaf whose intermediate comes along leads to the root", async () => {
  const sent = [underRoot(middle)];
  expect(await verdictOn(await leaf(middle, sent))).toEqual({
    openssl: undefined,
    fault: undefined,
  });
  expect(await verdictOn(await leaf(middle, sent, SERVER_ONLY))).toEqual({
    openssl: "INVALID_PURPOSE",
    fault: undefined,
  });
});

test("a self-signed certificate is refused, also when it is for servers only", async () => {
  const options = { clock, commonName: "sbc", hosts: [HOST], keyPair, ...SERVER_ONLY };
  expect(await verdictOn(await selfSigned(options))).toEqual({
    openssl: "INVALID_PURPOSE",
    fault: "selfSigned",
  });
});

test("an unknown intermediate that comes along vouches for nothing", async () => {
  const other = await createCertificateAuthority({ clock, keyPair, commonName: "nobody's" });
  const unknown = crossSigned(middle.certificate, other.certificate, keyPair.privateKey);
  expect(await verdictOn(await leaf(middle, [unknown], SERVER_ONLY))).toMatchObject({
    fault: "untrusted",
  });
  const itself = await leaf(middle, [middle.certificate], SERVER_ONLY);
  expect(await verdictOn(itself)).toMatchObject({ fault: "untrusted" });
});

test("an intermediate that only bears the root's name vouches for nothing", async () => {
  const forged = crossSigned(middle.certificate, root.certificate, keyPair.privateKey);
  expect(await verdictOn(await leaf(middle, [forged], SERVER_ONLY))).toMatchObject({
    fault: "untrusted",
  });
});

test("a certificate that may sign none is no intermediate", async () => {
  const middleman = await root.issue({ commonName: "middle", hosts: [], keyPair: middleKeys });
  expect(await verdictOn(await leaf(middle, [middleman.cert], SERVER_ONLY))).toMatchObject({
    fault: "untrusted",
  });
});

test("an expired intermediate is refused under a leaf that is not", async () => {
  const expired = await authority({ notBefore: inDays(-20), notAfter: inDays(-1) });
  for (const options of [{}, SERVER_ONLY]) {
    const client = await leaf(expired, [underRoot(expired)], options);
    expect(await verdictOn(client)).toMatchObject({ fault: "expired" });
  }
});

test("an intermediate that is judged in code expires by the lab's clock", async () => {
  const short = await authority({ notAfter: inDays(20) });
  const client = await leaf(short, [underRoot(short)], SERVER_ONLY);
  expect(await verdictOn(client, { now: inDays(19) })).toMatchObject({ fault: undefined });
  expect(await verdictOn(client, { now: inDays(21) })).toMatchObject({ fault: "expired" });
});

test("roots may come several to a file", () => {
  const both = parseRoots([`${root.certificate}\n${middle.certificate}`]);
  expect(both.map(({ subject }) => subject)).toEqual(["CN=linecheck lab CA", "CN=middle"]);
});
