import { expect, test } from "vitest";
import { SipRequest, SipResponse } from "./message.ts";
import { parseMessage } from "./parser.ts";

const INVITE = [
  "INVITE sip:bob@biloxi.example SIP/2.0",
  "v: SIP/2.0/UDP a.example;branch=z9hG4bK1, SIP/2.0/TCP b.example;branch=z9hG4bK2",
  "Via: SIP/2.0/UDP c.example;branch=z9hG4bK3",
  "Record-Route: <sip:p1.example;lr>,<sip:p2.example;lr>",
  "From: Alice <sip:alice@atlanta.example>;tag=88sja8x",
  "To: Bob <sip:bob@biloxi.example>",
  "Call-ID: 987asjd97y7atg",
  "CSeq: 986759 INVITE",
  'Contact: "Smith, John" <sip:alice@pc33.atlanta.example;transport=tcp>;q=0.7',
  "x-custom-ID: C-1042",
  "Timestamp: 54",
  "Content-Length: 0",
  "",
  "",
].join("\r\n");

function invite(): SipRequest {
  const message = parseMessage(Buffer.from(INVITE));
  if (!(message instanceof SipRequest)) throw new Error("a response");
  return message;
}

test("a built request has its headers in the order and spelling given", () => {
  const request = new SipRequest({
    method: "INVITE",
    uri: "sip:+18005550100@sbc.example",
    headers: { FROM: "<sip:a@b>;tag=1", "CALL-ID": "x", "X-MS-Thing": "1", Route: ["<sip:p;lr>"] },
    body: "hällo",
  });
  expect(request.toString()).toBe(
    "INVITE sip:+18005550100@sbc.example SIP/2.0\r\nFROM: <sip:a@b>;tag=1\r\nCALL-ID: x\r\n" +
      "X-MS-Thing: 1\r\nRoute: <sip:p;lr>\r\nContent-Length: 6\r\n\r\nhällo",
  );
});

test("set replaces all fields of a name at the place of the first", () => {
  const request = invite();
  request.set("Via", ["SIP/2.0/WS x", "SIP/2.0/WS y"]);
  request.set("X-Custom-Id", "C-7");
  const names = [...request.headers()].map(([name]) => name);
  expect(names.slice(0, 3)).toEqual(["Via", "Via", "Record-Route"]);
  expect(names).toContain("X-Custom-Id");
  expect(request.all("v")).toEqual(["SIP/2.0/WS x", "SIP/2.0/WS y"]);
});

test("the top element of a header is changed alone", () => {
  const request = invite();
  request.replaceTop("Via", "SIP/2.0/UDP a.example;received=192.0.2.1");
  expect(request.toString()).toContain(
    "\r\nv: SIP/2.0/UDP a.example;received=192.0.2.1, SIP/2.0/TCP b.example;branch=z9hG4bK2\r\n",
  );
});

test("the top element goes, and its line with it when it was alone", () => {
  const request = invite();
  request.removeTop("Via");
  expect(request.list("Via")).toEqual([
    "SIP/2.0/TCP b.example;branch=z9hG4bK2",
    "SIP/2.0/UDP c.example;branch=z9hG4bK3",
  ]);
  request.removeTop("Via");
  request.removeTop("Via");
  expect(request.has("Via")).toBe(false);
});

test("a new Via stands above the others, and first when there are none", () => {
  const request = invite();
  request.prepend("Via", "SIP/2.0/TLS me;branch=z9hG4bKnew");
  expect(request.branch).toBe("z9hG4bKnew");
  const bare = new SipRequest({ method: "ACK", uri: "sip:a@b", headers: { To: "<sip:a@b>" } });
  bare.prepend("Via", "SIP/2.0/TLS me");
  expect([...bare.headers()].map(([name]) => name)).toEqual(["Via", "To"]);
});

test("commas in quotes and brackets do not split a value", () => {
  expect(invite().list("Contact")).toHaveLength(1);
  expect(invite().list("Record-Route")).toEqual(["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
});

test("parsed headers are at hand", () => {
  const request = invite();
  expect(request.via).toMatchObject({ transport: "UDP", host: "a.example" });
  expect(request.from.displayName).toBe("Alice");
  expect(request.fromTag).toBe("88sja8x");
  expect(request.toTag).toBeUndefined();
  expect(request.contact?.uri).toBe("sip:alice@pc33.atlanta.example;transport=tcp");
});

test("a missing header says which", () => {
  const request = new SipRequest({ method: "OPTIONS", uri: "sip:a@b" });
  expect(() => request.cseq).toThrow("expected a CSeq header, got none");
  expect(() => request.via).toThrow("expected a Via header, got none");
});

test("a response copies what RFC 3261 section 8.2.6 wants copied", () => {
  const response = SipResponse.to(invite(), 180, { toTag: "99sa0xk" });
  expect(response.toString()).toBe(
    [
      "SIP/2.0 180 Ringing",
      "Via: SIP/2.0/UDP a.example;branch=z9hG4bK1, SIP/2.0/TCP b.example;branch=z9hG4bK2",
      "Via: SIP/2.0/UDP c.example;branch=z9hG4bK3",
      "Record-Route: <sip:p1.example;lr>,<sip:p2.example;lr>",
      "From: Alice <sip:alice@atlanta.example>;tag=88sja8x",
      "To: Bob <sip:bob@biloxi.example>;tag=99sa0xk",
      "Call-ID: 987asjd97y7atg",
      "CSeq: 986759 INVITE",
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
  );
});

test("a 100 has a Timestamp but no To tag and no Record-Route; a refusal no Record-Route", () => {
  const trying = SipResponse.to(invite(), 100, { toTag: "t" });
  expect(trying.toTag).toBeUndefined();
  expect(trying.get("Timestamp")).toBe("54");
  expect(trying.has("Record-Route")).toBe(false);
  expect(SipResponse.to(invite(), 486, { toTag: "t" }).has("Record-Route")).toBe(false);
});

test("a To tag of the request is never replaced", () => {
  const request = invite();
  request.set("To", "<sip:bob@biloxi.example>;tag=theirs");
  expect(SipResponse.to(request, 200, { toTag: "ours" }).toTag).toBe("theirs");
});

test.each([
  ["a line break in a value", "X-AI-Summary", "fine\r\nVia: SIP/2.0/UDP evil"],
  ["a lone carriage return", "X-AI-Summary", "a\rb"],
  ["a name that is no token", "X AI", "x"],
])("%s is refused", (_, name, value) => {
  const request = invite();
  expect(() => request.add(name, value)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
  expect(() => request.set(name, value)).toThrow(expect.objectContaining({ code: "SIP_SYNTAX" }));
});

test("a changed request line or body is written, and Content-Length follows in its own spelling", () => {
  const request = parseMessage(
    Buffer.from("INVITE sip:a@b SIP/2.0\r\nCONTENT-LENGTH: 3\r\nX: y\r\n\r\nabc"),
  );
  request.body = "longer";
  if (request instanceof SipRequest) request.uri = "sip:c@d";
  expect(request.toString()).toBe(
    "INVITE sip:c@d SIP/2.0\r\nCONTENT-LENGTH: 6\r\nX: y\r\n\r\nlonger",
  );
});

test("a clone changes alone", () => {
  const request = invite();
  request.set("Subject", "one");
  const twin = request.clone();
  twin.set("Subject", "two");
  twin.uri = "sip:other@example";
  expect(request.get("Subject")).toBe("one");
  expect(request.uri).toBe("sip:bob@biloxi.example");
  expect(twin.toString()).toContain("INVITE sip:other@example SIP/2.0\r\nv: ");
});

test("the header block can be written anew", () => {
  const request = invite();
  const shouted = [...request.headers()].map(
    ([name, value]) => [name.toUpperCase(), value] as const,
  );
  request.replaceHeaders(shouted);
  expect(request.toString()).toContain("\r\nX-CUSTOM-ID: C-1042\r\n");
  expect(request.toString()).toContain("\r\nCONTENT-LENGTH: 0\r\n");
});
