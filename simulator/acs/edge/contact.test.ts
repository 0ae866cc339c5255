import { X509Certificate } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createKeyPair,
  type KeyPair,
} from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import { type HeaderInput, SipRequest } from "../../sip/message.ts";
import { createResource, type ResourceOptions } from "../resource.ts";
import type { ShownCertificate } from "./certificate.ts";
import { judgeOrigin } from "./contact.ts";

const clock = systemClock();
const SBC = "sbc.linecheck.test";
let keyPair: KeyPair;
let authority: CertificateAuthority;
let shown: ShownCertificate;

beforeAll(async () => {
  keyPair = await createKeyPair();
  authority = await createCertificateAuthority({ clock, keyPair });
  shown = await certificateFor(SBC, "two.linecheck.test");
});

async function certificateFor(...hosts: string[]): Promise<ShownCertificate> {
  const { cert } = await authority.issue({ commonName: "sbc", hosts, keyPair });
  return { raw: new X509Certificate(cert).raw, authorizationError: undefined };
}

interface Setting {
  certificate?: ShownCertificate;
  resource?: Partial<ResourceOptions>;
}

function judge(headers: HeaderInput, { certificate = shown, resource }: Setting = {}) {
  const request = new SipRequest({
    method: "OPTIONS",
    uri: "sip:sip.pstnhub.microsoft.com",
    headers,
  });
  return judgeOrigin(request, certificate, {
    resource: createResource({
      name: "linecheck",
      domains: ["linecheck.test"],
      trunks: [{ fqdn: SBC, sipSignalingPort: 5061 }],
      ...resource,
    }),
    now: clock.date(),
    trustedRoots: [],
    policy: { missingContactStatus: 403, missingKeyUsage: "refuse" },
  });
}

const contact = (uri: string) => ({ Contact: `<${uri}>` });

test("a Contact with the trunk's FQDN is accepted", () => {
  expect(judge(contact("sip:sbc.linecheck.test:5067;transport=tls"))).toMatchObject({
    origin: { fqdn: SBC, port: 5067, trunk: { sipSignalingPort: 5061 } },
  });
});

test("only the first Contact counts", () => {
  const Contact = "<sip:sbc.linecheck.test:5061>, <sip:192.0.2.1>";
  expect(judge({ Contact })).toHaveProperty("origin");
  expect(judge({ Contact: "<sip:192.0.2.1>, <sip:sbc.linecheck.test>" })).toHaveProperty("refusal");
});

test("a Record-Route wins over a good Contact", () => {
  const headers = { "Record-Route": "<sip:192.0.2.1;lr>", Contact: `<sip:${SBC}>` };
  expect(judge(headers)).toMatchObject({
    refusal: { status: 403, text: "Record-Route has the IP address 192.0.2.1, not an FQDN" },
  });
  const good = { "Record-Route": `<sip:${SBC};lr>`, Contact: "<sip:192.0.2.1>" };
  expect(judge(good)).toHaveProperty("origin");
});

test("a sips URI is refused", () => {
  expect(judge(contact("sips:sbc.linecheck.test"))).toMatchObject({
    refusal: { status: 403, text: "Contact is a sips URI; use transport=tls" },
  });
});

test("without both headers the refusal says so with cause 63", () => {
  expect(judge({})).toEqual({
    refusal: {
      status: 403,
      subCode: 510_532,
      cause: 63,
      text: "Record-Route and Contact headers are missing",
    },
  });
});

test("an FQDN that is not paired has no trunk config", () => {
  expect(judge(contact("sip:pbx.linecheck.test"))).toMatchObject({
    refusal: {
      status: 403,
      subCode: 510_532,
      text: "No trunk config was found: Contact names pbx.linecheck.test",
    },
  });
});

test("a disabled trunk is refused", () => {
  const trunks = [{ fqdn: SBC, sipSignalingPort: 5061, enabled: false }];
  expect(judge(contact(`sip:${SBC}`), { resource: { trunks } })).toMatchObject({
    refusal: { text: "the trunk sbc.linecheck.test is disabled" },
  });
});

test("a Contact that is no SIP URI is malformed", () => {
  expect(judge(contact("tel:+18005550100"))).toMatchObject({ refusal: { status: 400 } });
  expect(judge(contact("sip:@sbc.linecheck.test"))).toMatchObject({ refusal: { status: 400 } });
});

test("the certificate must be good for the FQDN of the Contact", async () => {
  const certificate = await certificateFor("pbx.linecheck.test");
  expect(judge(contact(`sip:${SBC}`), { certificate })).toMatchObject({
    refusal: {
      status: 403,
      text: "the certificate is for DNS:pbx.linecheck.test, not for sbc.linecheck.test",
    },
    certificate: { fault: "wrongHost" },
    trunk: { fqdn: SBC },
  });
});
