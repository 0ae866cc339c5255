import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
} from "../certificates.ts";
import type { Clock } from "../clock.ts";
import { DrachtioUnavailable } from "../drachtio/real.ts";
import { MICROSOFT_PROXIES, RENAMED_SBC_FQDN, SBC_FQDN } from "./numbers.ts";

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

/** File names in a folder of certificates, by what they are for. */
const FILES = { edge: "edge", sbc: "sbc", services: "services" } as const;

/** Writes them as PEM files: `ca.pem`, and `NAME.pem` with `NAME-key.pem` (owner only). */
export function writeCertificates(folder: string, certificates: LabCertificates): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "ca.pem"), certificates.ca);
  for (const [use, name] of Object.entries(FILES) as [keyof typeof FILES, string][]) {
    writeFileSync(join(folder, `${name}.pem`), certificates[use].cert);
    writeFileSync(join(folder, `${name}-key.pem`), certificates[use].key, { mode: 0o600 });
  }
}

/** What {@link writeCertificates} wrote: for daemons that were configured before the lab starts. */
export function readCertificates(folder: string): LabCertificates {
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  const pair = (name: string) => ({ cert: read(`${name}.pem`), key: read(`${name}-key.pem`) });
  return {
    ca: read("ca.pem"),
    edge: pair(FILES.edge),
    sbc: pair(FILES.sbc),
    services: pair(FILES.services),
  };
}

/**
 * The SBC's name in Contact and at ACS. With `wrong-host` it is this that differs, not the
 * certificate: a daemon that runs before the lab keeps the certificate it was started with.
 */
export function sbcName(sbcCertificate: SbcCertificate): string {
  return sbcCertificate === "wrong-host" ? RENAMED_SBC_FQDN : SBC_FQDN;
}

/** Certificates for a lab whose SBC runs on a daemon that was configured from `folder`. */
export function configuredCertificates(
  folder: string,
  sbcCertificate: SbcCertificate,
): LabCertificates {
  if (sbcCertificate === "good" || sbcCertificate === "wrong-host") return readCertificates(folder);
  throw new DrachtioUnavailable(
    `the SBC's daemon has its certificate from ${folder}: it cannot have one that is ${sbcCertificate}`,
  );
}

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
  const expired = {
    notBefore: new Date(clock.date().getTime() - 30 * DAY_MS),
    notAfter: new Date(clock.date().getTime() - DAY_MS),
  };
  const issuer =
    sbcCertificate === "unknown-ca"
      ? await createCertificateAuthority({ clock, commonName: "somebody else's CA" })
      : authority;
  return issuer.issue({
    commonName: SBC_FQDN,
    hosts: [SBC_FQDN],
    keyPair,
    ...(sbcCertificate === "client-auth-only" ? { usages: ["clientAuth"] } : {}),
    ...(sbcCertificate === "expired" ? expired : {}),
  });
}
