import { expect, test } from "vitest";
import { formatNameAddr, formatVia, parseCSeq, parseNameAddr, parseVia, tagOf } from "./fields.ts";

const parameters = (...entries: [string, string | null][]) => new Map(entries);

test.each([
  ["<sip:a@b>", undefined, "sip:a@b", parameters()],
  ["sip:a@b;tag=1", undefined, "sip:a@b", parameters(["tag", "1"])],
  [
    "Alice Smith <sip:a@b;lr>;TAG=x ; q=0.5",
    "Alice Smith",
    "sip:a@b;lr",
    parameters(["tag", "x"], ["q", "0.5"]),
  ],
  ['"a \\"quoted\\" <name>" <sip:a@b>', 'a "quoted" <name>', "sip:a@b", parameters()],
  ['"Smith; John"<sips:a@b>;flag', "Smith; John", "sips:a@b", parameters(["flag", null])],
  ['<sip:a@b>;x="a;b,c"', undefined, "sip:a@b", parameters(["x", '"a;b,c"'])],
  ["Grüße <sip:a@b>", "Grüße", "sip:a@b", parameters()],
  ["<tel:+1800>", undefined, "tel:+1800", parameters()],
])("%s comes apart", (text, displayName, uri, expected) => {
  expect(parseNameAddr(text)).toEqual({ displayName, uri, parameters: expected });
});

test.each([
  ["an unclosed quote", '"Mr. Watson <sip:a@b>'],
  ["an unclosed bracket", "<sip:a@b"],
  ["a lone closing bracket", "sip:a@b>"],
  ["blanks within the brackets", "< sip:a@b >"],
  ["nothing within the brackets", "<>"],
  ["URI headers without brackets", "sip:a@b?Route=x"],
  ["a comma without brackets", "sip:a,b@c"],
  ["specials in the display name", "Bell, Alexander <sip:a@b>"],
  ["text after a quoted name", '"a" b <sip:a@b>'],
  ["junk after the brackets", "<sip:a@b> junk"],
  ["nothing", ""],
])("an address with %s is refused", (_, text) => {
  expect(() => parseNameAddr(text)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
});

test("a display name is quoted when written", () => {
  const text = formatNameAddr({
    displayName: 'say "hi"',
    uri: "sip:a@b",
    parameters: parameters(["tag", "1"], ["lr", null]),
  });
  expect(text).toBe('"say \\"hi\\"" <sip:a@b>;tag=1;lr');
});

test("a tag is found only among the header's parameters", () => {
  expect(tagOf("<sip:a@b;tag=no>;tag=yes")).toBe("yes");
  expect(tagOf("<sip:a@b;tag=no>")).toBeUndefined();
  expect(tagOf("sip:a@b ; TAG = yes;x")).toBe("yes");
  expect(tagOf(undefined)).toBeUndefined();
});

test("a Via comes apart, however it is spaced", () => {
  expect(parseVia("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1")).toEqual({
    transport: "UDP",
    host: "first.example.com",
    port: 4000,
    parameters: parameters(["ttl", "16"], ["maddr", "224.2.0.1"]),
  });
  expect(parseVia("SIP/2.0/TLS [2001:db8::9:1]:5061;rport;branch=z9hG4bK1")).toMatchObject({
    host: "2001:db8::9:1",
    port: 5061,
    parameters: parameters(["rport", null], ["branch", "z9hG4bK1"]),
  });
});

test("a Via is written in one way", () => {
  const via = parseVia("SIP/2.0/TCP [::1];branch=z9hG4bK1;received=::1");
  expect(formatVia(via)).toBe("SIP/2.0/TCP [::1];branch=z9hG4bK1;received=::1");
});

test.each([
  "",
  "SIP/2.0/UDP",
  "SIP/1.0/UDP a",
  "SIP/2.0/UDP a b",
  "SIP/2.0/UDP ;branch=x",
  "HTTP/1.1 a",
])("the Via %j is refused", (text) => {
  expect(() => parseVia(text)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
});

test("a CSeq needs a number below 2^31 and a method", () => {
  expect(parseCSeq("0009  INVITE")).toEqual({ number: 9, method: "INVITE" });
  expect(parseCSeq("2147483647 ACK").number).toBe(2_147_483_647);
  for (const text of ["2147483648 ACK", "36893488147419103232 REGISTER", "-1 ACK", "1", "ACK"]) {
    expect(() => parseCSeq(text)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
  }
});
