import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, PeerCertificate } from "node:tls";

/** The issuers that a handshake showed or the trust store knows, from the leaf's upwards, DER. */
export function issuersOf(leaf: PeerCertificate | undefined): Buffer[] {
  const issuers: Buffer[] = [];
  if (leaf === undefined || !isDetailed(leaf)) return issuers;
  let last = leaf;
  // A root is its own issuer, and so ends the list.
  for (let next = last.issuerCertificate; next?.raw !== undefined && next !== last; ) {
    issuers.push(next.raw);
    last = next;
    next = last.issuerCertificate;
  }
  return issuers;
}

/** Every certificate of PEM files, each of which may hold several. */
export function parseRoots(files: readonly string[]): X509Certificate[] {
  const block = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
  return files.flatMap((file) => file.match(block) ?? []).map((pem) => new X509Certificate(pem));
}

/** A chain up to the root that vouches for it; undefined: none does. Dates are not judged. */
export function trustedChain(
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): X509Certificate[] | undefined {
  for (const [index, certificate] of chain.entries()) {
    const root = roots.find((each) => isSame(each, certificate) || signed(each, certificate));
    if (root !== undefined) return [...chain.slice(0, index + 1), root];
    const issuer = chain[index + 1];
    if (issuer === undefined || !issuer.ca || !signed(issuer, certificate)) return undefined;
  }
  return undefined;
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  // Not checkIssued: it wants the right to sign certificates, which such a leaf lacks.
  return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);
}

function isDetailed(certificate: PeerCertificate): certificate is DetailedPeerCertificate {
  return "issuerCertificate" in certificate;
}

function isSame(a: X509Certificate, b: X509Certificate): boolean {
  return a.fingerprint256 === b.fingerprint256;
}

function signed(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
