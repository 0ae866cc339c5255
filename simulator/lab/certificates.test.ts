import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { manualClock } from "../clock.ts";
import {
  configuredCertificates,
  issueCertificates,
  readCertificates,
  type SbcCertificate,
  sbcName,
  writeCertificates,
} from "./certificates.ts";

const clock = manualClock();

test("what is written is read again, and keys are their owner's only", async () => {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const certificates = await issueCertificates(clock, "good");
  writeCertificates(folder, certificates);
  const { ca, edge, sbc, services } = certificates;
  expect(readCertificates(folder)).toMatchObject({ ca, edge, sbc, services });
  expect(statSync(join(folder, "sbc-key.pem")).mode & 0o777).toBe(0o600);
});

test("a daemon that runs before the lab keeps its certificate, and can only be called another name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const certificates = await issueCertificates(clock, "good");
  writeCertificates(folder, certificates);
  expect(configuredCertificates(folder, "wrong-host").sbc).toEqual(certificates.sbc);
  expect(() => configuredCertificates(folder, "expired")).toThrow(
    expect.objectContaining({ code: "DRACHTIO_UNAVAILABLE" }),
  );
});

async function judge(kind: SbcCertificate) {
  const { ca, sbc } = await issueCertificates(clock, kind);
  const certificate = new X509Certificate(sbc.cert);
  return {
    host: certificate.checkHost(sbcName(kind)) !== undefined,
    signed: certificate.verify(new X509Certificate(ca).publicKey),
    valid: Date.parse(certificate.validTo) > clock.date().getTime(),
    server: certificate.keyUsage.includes("1.3.6.1.5.5.7.3.1"),
  };
}

test("each wrong certificate of the SBC is wrong in its own way only", async () => {
  const good = { host: true, signed: true, valid: true, server: true };
  expect(await judge("good")).toEqual(good);
  expect(await judge("wrong-host")).toEqual({ ...good, host: false });
  expect(await judge("expired")).toEqual({ ...good, valid: false });
  expect(await judge("unknown-ca")).toEqual({ ...good, signed: false });
  expect(await judge("client-auth-only")).toEqual({ ...good, server: false });
});
