import { expect, test } from "vitest";
import { DomainSide } from "./domain-side.ts";

const proxies = [
  { name: "sip.pstnhub.microsoft.com", host: "127.0.0.1", port: 5061 },
  { name: "sip2.pstnhub.microsoft.com", host: "127.0.0.2", port: 5061 },
];
const domain = new DomainSide({
  fqdn: "sbc.linecheck.test",
  port: 5067,
  proxies,
  allowRefer: true,
});

test("a number goes to each proxy by Microsoft's name, over the address behind it", () => {
  expect(domain.toNumber("+18005550100")).toEqual([
    {
      uri: "sip:+18005550100@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls",
      proxy: "sip:127.0.0.1:5061;transport=tls",
    },
    {
      uri: "sip:+18005550100@sip2.pstnhub.microsoft.com:5061;user=phone;transport=tls",
      proxy: "sip:127.0.0.2:5061;transport=tls",
    },
  ]);
});

test("a REFER's target goes out unchanged, to the proxy it names first", () => {
  const uri = "sip:SIP2.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:AbC";

  expect(domain.toReferTarget({ uri, host: "SIP2.pstnhub.microsoft.com" })).toEqual([
    { uri, proxy: "sip:127.0.0.2:5061;transport=tls" },
    { uri, proxy: "sip:127.0.0.1:5061;transport=tls" },
  ]);
});

test("the SBC calls itself by its name, and says REFER only when it takes it", () => {
  const silent = new DomainSide({ fqdn: "sbc.test", port: 1, proxies, allowRefer: false });

  expect(domain.headers).toEqual({
    Contact: "<sip:sbc.linecheck.test:5067;transport=tls>",
    Allow: "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REFER",
    "User-Agent": "linecheck-sbc",
  });
  expect(silent.allow).toBe("INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY");
  expect([domain.isOwnName("SBC.linecheck.TEST"), domain.isOwnName("sip.x")]).toEqual([
    true,
    false,
  ]);
});
