import { expect, test } from "vitest";
import { formatHostPort, formatUri, parseSipUri, parseUri, sameUri } from "./uri.ts";

test("a full URI comes apart", () => {
  expect(parseUri("sips:alice:secret@[2001:db8::1]:5061;Transport=TLS;lr?Subject=x&To=y")).toEqual({
    kind: "sip",
    scheme: "sips",
    user: "alice",
    password: "secret",
    host: "2001:db8::1",
    port: 5061,
    parameters: new Map([
      ["transport", "TLS"],
      ["lr", null],
    ]),
    headers: "Subject=x&To=y",
  });
});

test.each([
  "sip:example.com",
  "sip:+14255550100@sbc.linecheck.test:5061;user=phone",
  "sip:alice;day=tuesday@atlanta.com",
  "sip:user;par=u%40example.net@example.com",
  "sip:sips%3Auser%40example.com@example.net",
  "sip:[::1]:5060;transport=udp",
  "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
  "sip:1234@host;x-i=0F;x-c=a/b/[c]",
  "sip:null-%00-null@example.com",
  "sip:&=+$,;?/:&=+$,@example.com",
  "tel:+18005550100;phone-context=example.com",
  "urn:service:sos",
])("%s is written as it was read", (text) => {
  expect(formatUri(parseUri(text))).toBe(text);
});

test.each([
  ["no scheme", "alice@example.com"],
  ["no host", "sip:alice@"],
  ["a space", "sip:alice smith@example.com"],
  ["an open bracket", "sip:[::1"],
  ["a bad IPv6 address", "sip:[::1::2]"],
  ["a port above 65535", "sip:example.com:65536"],
  ["a port of letters", "sip:example.com:port"],
  ["a broken escape", "sip:a%4@example.com"],
  ["an empty user", "sip:@example.com"],
  ["two at signs", "sip:a@b@example.com"],
  ["an empty parameter", "sip:example.com;"],
  ["brackets around it", "<sip:example.com>"],
  ["a space in another scheme", "tel:+1 800"],
])("a URI with %s is refused", (_, text) => {
  expect(() => parseUri(text)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
});

test("only sip and sips pass where nothing else makes sense", () => {
  expect(() => parseSipUri("tel:+1800")).toThrow("expected a sip or sips URI");
});

// RFC 3261 section 19.1.4, the RFC's own examples.
test.each([
  ["sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"],
  ["sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"],
  ["sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"],
  [
    "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
    "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
  ],
  [
    "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
    "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
  ],
  ["tel:+1800", "tel:+1800"],
])("%s equals %s", (a, b) => {
  expect(sameUri(parseUri(a), parseUri(b))).toBe(true);
});

test.each([
  ["sip:alice@AtLanTa.CoM;Transport=udp", "sip:ALICE@AtLanTa.CoM;Transport=UDP"],
  ["sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"],
  ["sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"],
  ["sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"],
  ["sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"],
  ["sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"],
  ["sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"],
  ["sip:a@b", "sips:a@b"],
  ["tel:+1800", "sip:+1800@b"],
])("%s differs from %s", (a, b) => {
  expect(sameUri(parseUri(a), parseUri(b))).toBe(false);
});

test("IPv6 addresses get their brackets back", () => {
  expect(formatHostPort("::1", 5060)).toBe("[::1]:5060");
  expect(formatHostPort("192.0.2.1")).toBe("192.0.2.1");
});
