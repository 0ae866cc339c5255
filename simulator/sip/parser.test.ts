import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "./limits.ts";
import { SipRequest, SipResponse } from "./message.ts";
import { parseMessage } from "./parser.ts";

const wire = (...lines: string[]) => Buffer.from(lines.join("\r\n"));

const parseRequest = (...lines: string[]) => {
  const message = parseMessage(wire(...lines));
  if (!(message instanceof SipRequest)) throw new Error("a response");
  return message;
};

test("a request comes apart into start line, headers and body", () => {
  const message = parseRequest(
    "INVITE sip:bob@biloxi.example SIP/2.0",
    "Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776asdhds",
    "Call-ID: a84b4c76e66710",
    "CSeq: 314159 INVITE",
    "Content-Length: 4",
    "",
    "v=0\n",
  );
  expect(message.method).toBe("INVITE");
  expect(message.uri).toBe("sip:bob@biloxi.example");
  expect(message.callId).toBe("a84b4c76e66710");
  expect(message.cseq).toEqual({ number: 314_159, method: "INVITE" });
  expect(message.branch).toBe("z9hG4bK776asdhds");
  expect(String(message.body)).toBe("v=0\n");
  expect(message.defect).toBeUndefined();
});

test("a response keeps its own phrase, or none", () => {
  const message = parseMessage(wire("SIP/2.0 180 Klingelt gerade", "Call-ID: x", "", ""));
  expect(message).toMatchObject({ kind: "response", status: 180, reason: "Klingelt gerade" });
  expect(parseMessage(wire("SIP/2.0 200 ", "", ""))).toMatchObject({ status: 200, reason: "" });
  expect(parseMessage(wire("SIP/2.0 200", "", ""))).toBeInstanceOf(SipResponse);
});

test("compact and full names, and any case, mean the same header", () => {
  const message = parseRequest(
    "OPTIONS sip:a@b SIP/2.0",
    "v: SIP/2.0/UDP a",
    "cOnTaCt: <sip:a@b>",
    "L: 0",
    "x: 1800",
    "",
    "",
  );
  expect(message.get("Via")).toBe("SIP/2.0/UDP a");
  expect(message.get("m")).toBe("<sip:a@b>");
  expect(message.get("content-length")).toBe("0");
  expect(message.get("Session-Expires")).toBe("1800");
});

test("a folded value reads as one line and is written back as it came", () => {
  const lines = [
    "OPTIONS sip:a@b SIP/2.0",
    "Subject: first ",
    "  second\t",
    " third",
    "To : <sip:c@d>",
    "Content-Length: 0",
    "",
    "",
  ];
  const message = parseRequest(...lines);
  expect(message.get("Subject")).toBe("first second third");
  message.set("Call-ID", "new");
  expect(message.toString()).toBe(
    "OPTIONS sip:a@b SIP/2.0\r\nSubject: first \r\n  second\t\r\n third\r\nTo : <sip:c@d>\r\n" +
      "Content-Length: 0\r\nCall-ID: new\r\n\r\n",
  );
});

test("white space before the colon and none after it are fine", () => {
  const message = parseRequest("OPTIONS sip:a@b SIP/2.0", "CSeq \t:1 OPTIONS", "Subject:", "", "");
  expect(message.get("CSeq")).toBe("1 OPTIONS");
  expect(message.get("Subject")).toBe("");
});

test("lines may end in LF alone", () => {
  const message = parseMessage(Buffer.from("OPTIONS sip:a@b SIP/2.0\nCall-ID: x\n\nbody\r\n\r\n"));
  expect(message.callId).toBe("x");
  expect(String(message.body)).toBe("body\r\n\r\n");
});

test("what follows Content-Length bytes of body is not part of the message", () => {
  const message = parseRequest("OPTIONS sip:a@b SIP/2.0", "Content-Length: 3", "", "abcdef");
  expect(String(message.body)).toBe("abc");
  expect(message.toString()).toMatch(/\r\n\r\nabc$/);
});

test.each([
  ["too long", "Content-Length: 9999", "Content-Length 9999, but only 3 bytes of body"],
  ["negative", "Content-Length: -999", 'Content-Length "-999"'],
  ["not a number", "l: three", 'Content-Length "three"'],
])("a Content-Length that is %s is noted as a defect", (_, header, text) => {
  const message = parseRequest("OPTIONS sip:a@b SIP/2.0", header, "", "abc");
  expect(message.defect).toEqual({ header: "content-length", message: text });
});

test.each([
  ["no colon", "Garbage"],
  ["a space in the name", "Bad Name: x"],
  ["no name", ": x"],
  ["a name that is no token", "B@d: x"],
])("a header line with %s is noted as a defect", (_, line) => {
  const message = parseRequest("OPTIONS sip:a@b SIP/2.0", line, "Call-ID: x", "", "");
  expect(message.defect?.message).toContain(line);
  expect(message.callId).toBe("x");
});

test.each([
  ["two spaces after the method", "OPTIONS  sip:a@b SIP/2.0"],
  ["two spaces before the version", "OPTIONS sip:a@b  SIP/2.0"],
  ["a space at the end", "OPTIONS sip:a@b SIP/2.0 "],
  ["a space within the URI", "OPTIONS sip:a@b; lr SIP/2.0"],
])("a request line with %s can still be answered", (_, line) => {
  const message = parseRequest(line, "Call-ID: x", "", "");
  expect(message.defect).toEqual({ header: undefined, message: "request line" });
  expect(message.method).toBe("OPTIONS");
});

test("another version is read and kept", () => {
  const message = parseRequest("OPTIONS sip:a@b SIP/7.0", "Call-ID: x", "", "");
  expect(message.version).toBe("SIP/7.0");
  expect(message.defect).toBeUndefined();
});

test.each([
  ["nothing", ""],
  ["no empty line", "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n"],
  ["HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["a status out of range", "SIP/2.0 4294967301 better not\r\n\r\n"],
  ["a status of two digits", "SIP/2.0 20 OK\r\n\r\n"],
  ["a status above 699", "SIP/2.0 700 OK\r\n\r\n"],
  ["a method that is no token", "INV@TE sip:a@b SIP/2.0\r\n\r\n"],
  ["a lone word", "OPTIONS\r\n\r\n"],
])("%s is a syntax error", (_, text) => {
  expect(() => parseMessage(Buffer.from(text))).toThrow(
    expect.objectContaining({ code: "SIP_SYNTAX" }),
  );
});

test.each([
  ["headerBytes", { headerBytes: 40 }, /headers of \d+ bytes; limit 40/],
  ["headerFields", { headerFields: 1 }, "2 headers; limit 1"],
])("the limit %s is kept", (_, limit, text) => {
  const bytes = wire("OPTIONS sip:a@b SIP/2.0", "Call-ID: x", "Content-Length: 3", "", "abc");
  expect(() => parseMessage(bytes, { ...DEFAULT_LIMITS, ...limit })).toThrow(
    expect.objectContaining({ code: "SIP_LIMIT", message: expect.stringMatching(text) }),
  );
});

test("a body over its limit is left away and the request can be refused with 513", () => {
  const bytes = wire("MESSAGE sip:a@b SIP/2.0", "Content-Length: 3", "", "abc");
  const message = parseMessage(bytes, { ...DEFAULT_LIMITS, bodyBytes: 2 });
  expect(message.body.length).toBe(0);
  expect(message.defect).toEqual({
    status: 513,
    header: "content-length",
    message: "body of 3 bytes; limit bodyBytes is 2",
  });
});

test("bytes above ASCII are UTF-8 for the reader and unchanged on the wire", () => {
  const bytes = Buffer.concat([
    Buffer.from("OPTIONS sip:a@b SIP/2.0\r\nSubject: Grüße\r\nX-Raw: "),
    Buffer.from([0xff, 0xfe]),
    Buffer.from("\r\nContent-Length: 0\r\n\r\n"),
  ]);
  const message = parseMessage(bytes);
  expect(message.get("Subject")).toBe("Grüße");
  expect(message.get("X-Raw")).toBe("\u00FF\u00FE");
  message.prepend("Via", "SIP/2.0/UDP höst");
  const written = message.toBuffer();
  expect(written.includes(Buffer.from("X-Raw: \u00FF\u00FE", "latin1"))).toBe(true);
  expect(written.includes(Buffer.from("höst", "utf8"))).toBe(true);
});

test("an untouched message is written as the very bytes received", () => {
  const bytes = wire("OPTIONS sip:a@b sip/2.0", "cAll-id:   x  ", "Content-Length:   0", "", "");
  expect(parseMessage(bytes).toBuffer()).toBe(bytes);
});
