import { expect, test } from "vitest";
import { parseReferTo } from "./refer-to.ts";

test("a telephone target is taken apart and its URI kept as it came", () => {
  expect(
    parseReferTo("<sip:+18005550150@sip.pstnhub.microsoft.com:5061;transport=tls;user=phone>"),
  ).toEqual({
    uri: "sip:+18005550150@sip.pstnhub.microsoft.com:5061;transport=tls;user=phone",
    host: "sip.pstnhub.microsoft.com",
    user: "+18005550150",
    headers: {},
  });
});

test("a target without a user part keeps its parameters in their case", () => {
  const uri = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:AbC;x-t=T";

  expect(parseReferTo(`<${uri}>`)).toEqual({ uri, host: "sip.pstnhub.microsoft.com", headers: {} });
});

test("headers in the URI are decoded and left out of the Request-URI", () => {
  expect(
    parseReferTo(
      '"Queue" <sip:%2B1800@sbc.test?X-AI-Summary=a%20b&Replaces=c%3Bto-tag%3Dd&X-Bad=%>',
    ),
  ).toEqual({
    uri: "sip:%2B1800@sbc.test",
    host: "sbc.test",
    user: "+1800",
    headers: { "X-AI-Summary": "a b", Replaces: "c;to-tag=d", "X-Bad": "%" },
  });
});

test.for(["", "<tel:+1800>", "<sip:>", "hello", "<sip:user@>"])(
  "%s is no target an SBC can call",
  (header) => {
    expect(parseReferTo(header)).toBeUndefined();
  },
);
