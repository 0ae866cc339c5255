import { X509Certificate } from "node:crypto";

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
  /** Node's verdict on the chain, such as `CERT_HAS_EXPIRED`; undefined if accepted. */
  readonly authorizationError: string | undefined;
}

export interface CertificateRules {
  /** The FQDN that the Contact (or Record-Route) of the first request names. */
  readonly host: string;
  readonly now: Date;
  readonly missingKeyUsage: "refuse" | "accept";
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/**
 * Judges a border controller's certificate as Microsoft does, whichever side dialled: chain, dates,
 * host and Server Authentication. OpenSSL asks a client for Client Authentication and so refuses
 * certificates that are legal here; its `INVALID_PURPOSE` is no fault.
 */
export function judgeCertificate(
  shown: ShownCertificate,
  rules: CertificateRules,
): CertificateVerdict {
  if (shown.raw === undefined) return refused("missing", "no certificate was presented");
  const leaf = new X509Certificate(shown.raw);
  const fault =
    chainFault(shown.authorizationError) ??
    dateFault(leaf, rules.now) ??
    hostFault(leaf, rules.host) ??
    usageFault(leaf, rules.missingKeyUsage);
  if (fault === undefined) return accepted(leaf);
  return { ...fault, ends: leaf.validToDate };
}

type Fault = Pick<CertificateVerdict, "fault" | "message">;

function refused(fault: CertificateFault, message: string): CertificateVerdict {
  return { fault, message, ends: undefined };
}

function accepted(leaf: X509Certificate): CertificateVerdict {
  return { fault: undefined, message: "", ends: leaf.validToDate };
}

/** Dates are judged by {@link dateFault}, on the lab's clock, and the purpose by `usageFault`. */
const NOT_THE_CHAIN = new Set(["INVALID_PURPOSE", "CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);

function chainFault(error: string | undefined): Fault | undefined {
  if (error === undefined || NOT_THE_CHAIN.has(error)) return undefined;
  if (error === "DEPTH_ZERO_SELF_SIGNED_CERT") {
    return { fault: "selfSigned", message: "the certificate is self-signed" };
  }
  return { fault: "untrusted", message: `the chain leads to no trusted root (${error})` };
}

function dateFault(leaf: X509Certificate, now: Date): Fault | undefined {
  if (leaf.validToDate <= now) {
    return { fault: "expired", message: `the certificate expired on ${leaf.validTo}` };
  }
  if (leaf.validFromDate > now) {
    return { fault: "notYetValid", message: `the certificate is valid from ${leaf.validFrom}` };
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
