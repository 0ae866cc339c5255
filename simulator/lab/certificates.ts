import {
  type CertificateAuthority,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
} from "../certificates.ts";
import type { Clock } from "../clock.ts";
import { MICROSOFT_PROXIES, SBC_FQDN } from "./numbers.ts";

/** What is wrong with the SBC's certificate, if anything. */
export type SbcCertificate = "good" | "wrong-host" | "expired" | "unknown-ca" | "client-auth-only";

/** Every certificate of a lab, signed by an authority that exists only in it. */
export interface LabCertificates {
  /** The lab authority's certificate, PEM. */
  readonly ca: string;
  /** Microsoft's side of Direct Routing. */
  readonly edge: IssuedCertificate;
  readonly sbc: IssuedCertificate;
  /** The https face of the emulated services. */
  readonly services: IssuedCertificate;
}

const DAY_MS = 86_400_000;

export async function issueCertificates(
  clock: Clock,
  sbcCertificate: SbcCertificate,
): Promise<LabCertificates> {
  const [authorityKeys, keyPair] = await Promise.all([createKeyPair(), createKeyPair()]);
  const authority = await createCertificateAuthority({ clock, keyPair: authorityKeys });
  const [edge, services, sbc] = await Promise.all([
    authority.issue({
      commonName: MICROSOFT_PROXIES[0],
      hosts: [...MICROSOFT_PROXIES, "127.0.0.1"],
      keyPair,
    }),
    authority.issue({ commonName: "localhost", hosts: ["localhost", "127.0.0.1"], keyPair }),
    issueSbc(authority, { clock, keyPair, sbcCertificate }),
  ]);
  return { ca: authority.certificate, edge, sbc, services };
}

interface SbcIssue {
  readonly clock: Clock;
  readonly keyPair: Awaited<ReturnType<typeof createKeyPair>>;
  readonly sbcCertificate: SbcCertificate;
}

async function issueSbc(
  authority: CertificateAuthority,
  { clock, keyPair, sbcCertificate }: SbcIssue,
): Promise<IssuedCertificate> {
  const name = sbcCertificate === "wrong-host" ? "sbc.other.test" : SBC_FQDN;
  const expired = {
    notBefore: new Date(clock.date().getTime() - 30 * DAY_MS),
    notAfter: new Date(clock.date().getTime() - DAY_MS),
  };
  const issuer =
    sbcCertificate === "unknown-ca"
      ? await createCertificateAuthority({ clock, commonName: "somebody else's CA" })
      : authority;
  return issuer.issue({
    commonName: name,
    hosts: [name],
    keyPair,
    ...(sbcCertificate === "client-auth-only" ? { usages: ["clientAuth"] } : {}),
    ...(sbcCertificate === "expired" ? expired : {}),
  });
}
