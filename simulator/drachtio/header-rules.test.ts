import { expect, test } from "vitest";
import { parseApplicationMessage } from "./application-message.ts";
import { makeContact } from "./contact.ts";
import { contentType, replaceLocalhost, spellHeader, wireHeaders } from "./header-rules.ts";

const contact = makeContact({ transport: "tcp", host: "10.0.0.1", port: 5062 });

test.each([
  ["user-agent", "User-Agent"],
  ["www-authenticate", "WWW-Authenticate"],
  ["p-asserted-identity", "P-Asserted-Identity"],
  ["X-Customer-ID", "X-Customer-ID"],
  ["x-lower", "x-lower"],
  ["user-to-user", "User-To-User"],
  ["foo-bar-baz", "Foo-Bar-Baz"],
  ["P-Charging-vector", "P-Charging-vector"],
  ["dIVERSION", "dIVERSION"],
])("%s is written %s", (name, spelled) => {
  expect(spellHeader(name)).toBe(spelled);
});

test.each([
  ["sip:bob@localhost", "<sip:bob@10.0.0.1:5062>"],
  ["sip:bob@localhost;tag=x", "<sip:bob@10.0.0.1:5062>;tag=x"],
  ["<sip:localhost>", "<sip:10.0.0.1:5062>"],
  ["sip:localhost", "<sip:10.0.0.1:5062>"],
  ['"B" <sips:bob@localhost;user=phone>;q=1', '"B" <sips:bob@10.0.0.1:5062;user=phone>;q=1'],
  ["<sip:bob@localhost:5099>", "<sip:bob@localhost:5099>"],
  ["<sip:bob@localhost.test>", "<sip:bob@localhost.test>"],
  ["<sip:localhost@example.com>", "<sip:localhost@example.com>"],
])("%s becomes %s", (value, replaced) => {
  expect(replaceLocalhost(value, contact)).toBe(replaced);
});

function headersFor(text: string) {
  const message = parseApplicationMessage(Buffer.from(text.replaceAll("\n", "\r\n")));
  return wireHeaders(message, contact, new Set(["from"]));
}

test("what drachtio writes itself is discarded, the rest keeps its order", () => {
  const headers = headersFor(`INVITE sip:a SIP/2.0
Via: SIP/2.0/UDP x
route: <sip:x>
Record-Route: <sip:x>
RSeq: 1
content-length: 3
from: <sip:x>
X-B: 2
bad name: 3
no colon
X-a: 1, 2

v=0`);
  expect(headers).toEqual([
    ["X-B", "2"],
    ["X-a", "1, 2"],
    ["Content-Type", "application/sdp"],
  ]);
});

test("headers that do not mention the daemon keep their localhost", () => {
  expect(headersFor("REFER sip:a SIP/2.0\nReferred-By: <sip:a@localhost>\n\n")).toEqual([
    ["Referred-By", "<sip:a@localhost>"],
  ]);
});

test("a Contact that drachtio-srf did not know is left out", () => {
  expect(headersFor("INVITE sip:a SIP/2.0\nContact: undefined\n\n")).toEqual([]);
});

test("a body that is not SDP has no type of its own", () => {
  expect(contentType(parseApplicationMessage(Buffer.from("A\r\n\r\nhello")))).toBeUndefined();
  expect(contentType(parseApplicationMessage(Buffer.from("A\r\nc: text/x\r\n\r\nhi")))).toBe(
    "text/x",
  );
});
