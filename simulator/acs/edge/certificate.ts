import { X509Certificate } from "node:crypto";
import { isSelfSigned, trustedChain } from "./chain.ts";

/** What a border controller's certificate can be refused for. */
export type CertificateFault =
  | "missing"
  | "untrusted"
  | "selfSigned"
  | "expired"
  | "notYetValid"
  | "wrongHost"
  | "wrongUsage";

export interface CertificateVerdict {
  /** Undefined: the certificate is good for the host. */
  readonly fault: CertificateFault | undefined;
  readonly message: string;
  /** End of its validity; undefined when there is no certificate. */
  readonly ends: Date | undefined;
}

export interface ShownCertificate {
  /** The leaf, DER. */
  readonly raw: Buffer | undefined;
  /** What vouches for it, from its issuer upwards, DER; see `issuersOf`. Empty when OpenSSL accepted all. */
  readonly issuers?: readonly Buffer[];
  /** Node's verdict on the chain, such as `CERT_HAS_EXPIRED`; undefined if accepted. */
  readonly authorizationError: string | undefined;
}

export interface CertificateRules {
  /** The FQDN that the Contact (or Record-Route) of the first request names. */
  readonly host: string;
  readonly now: Date;
  readonly missingKeyUsage: "refuse" | "accept";
  readonly trustedRoots: readonly X509Certificate[];
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/**
 * Judges a border controller's certificate as Microsoft does, whichever side dialled: chain, dates,
 * host and Server Authentication. OpenSSL asks a client for Client Authentication and so refuses
 * certificates that are legal here; its `INVALID_PURPOSE` is no fault, but may hide one.
 */
export function judgeCertificate(
  shown: ShownCertificate,
  rules: CertificateRules,
): CertificateVerdict {
  if (shown.raw === undefined) return refused("missing", "no certificate was presented");
  const leaf = new X509Certificate(shown.raw);
  const chain = judgeChain(leaf, shown, rules.trustedRoots);
  const fault =
    ("fault" in chain ? chain : dateFault(chain.path, rules.now)) ??
    hostFault(leaf, rules.host) ??
    usageFault(leaf, rules.missingKeyUsage);
  if (fault === undefined) return accepted(leaf);
  return { ends: leaf.validToDate, ...fault };
}

type Fault = Pick<CertificateVerdict, "fault" | "message"> & { readonly ends?: Date };

function refused(fault: CertificateFault, message: string): CertificateVerdict {
  return { fault, message, ends: undefined };
}

function accepted(leaf: X509Certificate): CertificateVerdict {
  return { fault: undefined, message: "", ends: leaf.validToDate };
}

/**
 * Dates are judged by {@link dateFault}, on the lab's clock, and the purpose by `usageFault`. OpenSSL
 * reports only the last error it met, and these come last: the chain has to be looked at again.
 */
const NOT_THE_CHAIN = new Set(["INVALID_PURPOSE", "CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);

/** The certificates whose dates count, or what is wrong with the chain. */
function judgeChain(
  leaf: X509Certificate,
  { authorizationError: error, issuers = [] }: ShownCertificate,
  roots: readonly X509Certificate[],
): Fault | { readonly path: readonly X509Certificate[] } {
  // OpenSSL has judged the issuers by the wall clock then, and forgets them.
  if (error === undefined) return { path: [leaf] };
  const chain = [leaf, ...issuers.map((issuer) => new X509Certificate(issuer))];
  const path = NOT_THE_CHAIN.has(error) ? trustedChain(chain, roots) : undefined;
  if (path !== undefined) return { path };
  return isSelfSigned(leaf)
    ? { fault: "selfSigned", message: "the certificate is self-signed" }
    : { fault: "untrusted", message: `the chain leads to no trusted root (${error})` };
}

/** The leaf's dates and those of everything above it. */
function dateFault(chain: readonly X509Certificate[], now: Date): Fault | undefined {
  for (const [index, certificate] of chain.entries()) {
    const which =
      index === 0 ? "the certificate" : `the issuer's certificate ${certificate.subject}`;
    const { validTo, validToDate: ends, validFrom, validFromDate } = certificate;
    if (ends <= now) return { fault: "expired", message: `${which} expired on ${validTo}`, ends };
    if (validFromDate > now) {
      return { fault: "notYetValid", message: `${which} is valid from ${validFrom}` };
    }
  }
  return undefined;
}

function hostFault(leaf: X509Certificate, host: string): Fault | undefined {
  if (leaf.checkHost(host) !== undefined) return undefined;
  const names = leaf.subjectAltName ?? leaf.subject;
  return { fault: "wrongHost", message: `the certificate is for ${names}, not for ${host}` };
}

function usageFault(leaf: X509Certificate, missing: "refuse" | "accept"): Fault | undefined {
  const { keyUsage } = leaf;
  if (keyUsage === undefined && missing === "accept") return undefined;
  if (keyUsage?.includes(SERVER_AUTH)) return undefined;
  return { fault: "wrongUsage", message: "the certificate lacks Server Authentication" };
}
