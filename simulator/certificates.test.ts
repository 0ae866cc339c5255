import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type TLSSocket } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  type CertificateOptions,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
  type KeyPair,
  selfSigned,
} from "./certificates.ts";
import { systemClock } from "./clock.ts";

const clock = systemClock();
const DAY_MS = 86_400_000;
const inDays = (days: number) => new Date(clock.date().getTime() + days * DAY_MS);

let keyPair: KeyPair;
let authority: CertificateAuthority;
let server: IssuedCertificate;

beforeAll(async () => {
  const [authorityKeys, leafKeys] = await Promise.all([createKeyPair(), createKeyPair()]);
  keyPair = leafKeys;
  authority = await createCertificateAuthority({ clock, keyPair: authorityKeys });
  server = await issue({ hosts: ["edge.linecheck.test", "127.0.0.1"] });
});

function issue(options: Partial<CertificateOptions> = {}): Promise<IssuedCertificate> {
  const hosts = ["sbc.linecheck.test"];
  return authority.issue({ commonName: "sbc.linecheck.test", hosts, keyPair, ...options });
}

/** What a TLS server that trusts the authority thinks of a client that presents `client`. */
async function verdictOnClient(client: IssuedCertificate) {
  const listener = createServer({
    ...server,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const accepted = once(listener, "secureConnection") as Promise<[TLSSocket]>;
  const ca = authority.certificate;
  const socket = connect({ host: "127.0.0.1", port, ca, ...client, servername: "" });
  const [peer] = await accepted;
  const verdict = { authorized: peer.authorized, reason: String(peer.authorizationError) };
  socket.destroy();
  peer.destroy();
  listener.close();
  await once(listener, "close");
  return verdict;
}

test("a leaf certificate is signed by the authority and covers its hosts", async () => {
  const { cert } = await issue({ hosts: ["sbc.linecheck.test", "127.0.0.1", "fe80::1:2"] });
  const leaf = new X509Certificate(cert);
  const root = new X509Certificate(authority.certificate);
  expect(leaf.verify(root.publicKey)).toBe(true);
  expect(leaf.checkIssued(root)).toBe(true);
  expect(leaf.subject).toBe("CN=sbc.linecheck.test");
  expect(leaf.subjectAltName).toBe(
    "DNS:sbc.linecheck.test, IP Address:127.0.0.1, IP Address:FE80:0:0:0:0:0:1:2",
  );
  expect(leaf.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  expect(root.ca).toBe(true);
  expect(leaf.ca).toBe(false);
});

test("a wildcard covers one label", async () => {
  const { cert } = await issue({ hosts: ["*.linecheck.test"] });
  const leaf = new X509Certificate(cert);
  expect(leaf.checkHost("sbc.linecheck.test")).toBe("*.linecheck.test");
  expect(leaf.checkHost("sbc.lab.linecheck.test")).toBeUndefined();
});

test("a good client certificate satisfies a server that trusts the authority", async () => {
  expect(await verdictOnClient(await issue())).toEqual({ authorized: true, reason: "null" });
});

test("a certificate for servers only has the wrong purpose for a client", async () => {
  const client = await issue({ usages: ["serverAuth"] });
  expect((await verdictOnClient(client)).reason).toBe("INVALID_PURPOSE");
});

test("a certificate for clients only names clientAuth as its purpose", async () => {
  const client = await issue({ usages: ["clientAuth"] });
  expect((await verdictOnClient(client)).authorized).toBe(true);
  expect(new X509Certificate(client.cert).keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
});

test("a certificate without extended key usage names no purpose", async () => {
  const { cert } = await issue({ usages: [] });
  expect(new X509Certificate(cert).keyUsage).toBeUndefined();
});

test("an expired certificate is refused as expired", async () => {
  const client = await issue({ notBefore: inDays(-20), notAfter: inDays(-1) });
  expect((await verdictOnClient(client)).reason).toBe("CERT_HAS_EXPIRED");
});

test("a certificate of tomorrow is not yet valid", async () => {
  const client = await issue({ notBefore: inDays(1), notAfter: inDays(2) });
  expect((await verdictOnClient(client)).reason).toBe("CERT_NOT_YET_VALID");
});

test("a leaf of another authority cannot be verified", async () => {
  const other = await createCertificateAuthority({ clock, commonName: "other CA", keyPair });
  const client = await other.issue({ commonName: "x", hosts: ["sbc.linecheck.test"], keyPair });
  expect((await verdictOnClient(client)).reason).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
});

test("a self-signed certificate is refused as such", async () => {
  const client = await selfSigned({ clock, commonName: "x", hosts: ["x.test"], keyPair });
  expect((await verdictOnClient(client)).reason).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
});

test("dates after 2049 are written in full", async () => {
  const { cert } = await issue({ notAfter: new Date("2061-04-05T06:07:08Z") });
  expect(new X509Certificate(cert).validTo).toBe("Apr  5 06:07:08 2061 GMT");
});

test("each certificate has its own serial number", async () => {
  const [first, second] = await Promise.all([issue(), issue()]);
  const serials = [first, second].map(({ cert }) => new X509Certificate(cert).serialNumber);
  expect(serials[0]).toMatch(/^[4-7][\dA-F]{31}$/);
  expect(serials[0]).not.toBe(serials[1]);
});

test("a key of the requested size is made when none is given", async () => {
  const { key, cert } = await issue({ keyPair: undefined, keyBits: 3072 });
  const leaf = new X509Certificate(cert);
  expect(leaf.publicKey.asymmetricKeyDetails?.modulusLength).toBe(3072);
  expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
});
