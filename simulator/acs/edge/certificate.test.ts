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
const EXPIRED = { notBefore: inDays(-20), notAfter: inDays(-1) };

let keyPair: KeyPair;
let authority: CertificateAuthority;
let stranger: CertificateAuthority;

beforeAll(async () => {
  const pairs = await Promise.all([createKeyPair(), createKeyPair(), createKeyPair()]);
  keyPair = pairs[0];
  authority = await createCertificateAuthority({ clock, keyPair: pairs[1] });
  stranger = await createCertificateAuthority({ clock, keyPair: pairs[2], commonName: "other" });
});

function issue(options: Partial<CertificateOptions> = {}, by = authority) {
  return by.issue({ commonName: "sbc", hosts: [HOST], keyPair, ...options });
}

/** What the edge sees when `client` dials it. */
async function seen(client: Partial<IssuedCertificate>): Promise<ShownCertificate> {
  return shownBy(client, { ...(await issue()), ca: authority.certificate });
}

function defaults(): CertificateRules {
  const trustedRoots = parseRoots([authority.certificate]);
  return { host: HOST, now: clock.date(), missingKeyUsage: "refuse", trustedRoots };
}

async function faultOf(client: Partial<IssuedCertificate>, rules: Partial<CertificateRules> = {}) {
  const shown = await seen(client);
  return judgeCertificate(shown, { ...defaults(), ...rules }).fault;
}

test("a certificate for both uses is good", async () => {
  expect(await faultOf(await issue())).toBeUndefined();
});

test("a certificate for servers only is good, whatever OpenSSL says", async () => {
  const client = await issue({ usages: ["serverAuth"] });
  expect((await seen(client)).authorizationError).toBe("INVALID_PURPOSE");
  expect(await faultOf(client)).toBeUndefined();
});

test("a certificate for clients only has the wrong usage", async () => {
  expect(await faultOf(await issue({ usages: ["clientAuth"] }))).toBe("wrongUsage");
});

test("a certificate without extended key usage is a matter of policy", async () => {
  const client = await issue({ usages: [] });
  expect(await faultOf(client)).toBe("wrongUsage");
  expect(await faultOf(client, { missingKeyUsage: "accept" })).toBeUndefined();
});

test("a wildcard stands for one label", async () => {
  expect(await faultOf(await issue({ hosts: ["*.linecheck.test"] }))).toBeUndefined();
  expect(await faultOf(await issue({ hosts: ["*.test"] }))).toBe("wrongHost");
  const client = await issue({ hosts: ["*.linecheck.test"] });
  expect(await faultOf(client, { host: "linecheck.test" })).toBe("wrongHost");
  expect(await faultOf(client, { host: "sbc.lab.linecheck.test" })).toBe("wrongHost");
});

test("another host's certificate is refused", async () => {
  expect(await faultOf(await issue({ hosts: ["pbx.linecheck.test", "127.0.0.1"] }))).toBe(
    "wrongHost",
  );
});

test("an unknown authority is refused", async () => {
  expect(await faultOf(await issue({}, stranger))).toBe("untrusted");
});

test("an unknown authority is not excused by a certificate for servers only", async () => {
  expect(await faultOf(await issue({ usages: ["serverAuth"] }, stranger))).toBe("untrusted");
});

test("a self-signed certificate is refused", async () => {
  const client = await selfSigned({ clock, commonName: "sbc", hosts: [HOST], keyPair });
  expect(await faultOf(client)).toBe("selfSigned");
});

test("an expired certificate is refused, also when it is for servers only", async () => {
  expect(await faultOf(await issue(EXPIRED))).toBe("expired");
  expect(await faultOf(await issue({ ...EXPIRED, usages: ["serverAuth"] }))).toBe("expired");
});

test("a certificate of tomorrow is refused", async () => {
  const client = await issue({ notBefore: inDays(1), notAfter: inDays(2) });
  expect(await faultOf(client)).toBe("notYetValid");
});

test("dates are the lab's: a certificate expires when the lab's clock passes its end", async () => {
  const client = await issue({ notAfter: inDays(20) });
  expect(await faultOf(client, { now: inDays(19) })).toBeUndefined();
  expect(await faultOf(client, { now: inDays(21) })).toBe("expired");
});

test("the end of validity comes with every verdict", async () => {
  const shown = await seen(await issue({ ...EXPIRED }));
  const { ends } = judgeCertificate(shown, defaults());
  expect(Math.abs((ends?.getTime() ?? 0) - EXPIRED.notAfter.getTime())).toBeLessThan(1000);
});

test("a caller without a certificate is refused", async () => {
  expect(await faultOf({})).toBe("missing");
});
