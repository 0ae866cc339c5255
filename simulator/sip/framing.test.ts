import { expect, test } from "vitest";
import { type Framed, StreamFramer } from "./framing.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

const OPTIONS = "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n";
const MESSAGE = "MESSAGE sip:a@b SIP/2.0\r\nCall-ID: 2\r\nl : 5\r\n\r\nhello";

const texts = ({ messages }: Framed) => messages.map(String);
const push = (framer: StreamFramer, text: string) => framer.push(Buffer.from(text));

test("several messages in one chunk are told apart", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  expect(texts(push(framer, OPTIONS + MESSAGE + OPTIONS))).toEqual([OPTIONS, MESSAGE, OPTIONS]);
  expect(framer.partial).toBe(false);
});

test("a message may come byte by byte", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  const seen: string[] = [];
  for (const byte of Buffer.from(MESSAGE + OPTIONS)) {
    seen.push(...texts(framer.push(Buffer.from([byte]))));
  }
  expect(seen).toEqual([MESSAGE, OPTIONS]);
});

test("a message may be cut anywhere", () => {
  const all = `\r\n\r\n${MESSAGE}${OPTIONS}\r\n${MESSAGE}`;
  for (let cut = 0; cut <= all.length; cut++) {
    const framer = new StreamFramer(DEFAULT_LIMITS);
    const seen = [
      ...texts(push(framer, all.slice(0, cut))),
      ...texts(push(framer, all.slice(cut))),
    ];
    expect(seen, `cut at ${cut}`).toEqual([MESSAGE, OPTIONS, MESSAGE]);
  }
});

test("messages do not change when the next bytes arrive", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  push(framer, MESSAGE.slice(0, 10));
  const [first] = push(framer, MESSAGE.slice(10) + OPTIONS.slice(0, 9)).messages;
  push(framer, OPTIONS.slice(9));
  expect(String(first)).toBe(MESSAGE);
});

test("line breaks between messages are counted, not delivered", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  const framed = push(framer, `\r\n\r\n${OPTIONS}\r\n`);
  expect(framed.lineBreaks).toBe(3);
  expect(texts(framed)).toEqual([OPTIONS]);
});

test("a message without Content-Length has no body", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  const bare = "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n";
  expect(texts(push(framer, bare + OPTIONS))).toEqual([bare, OPTIONS]);
});

test("a body may contain empty lines and start lines", () => {
  const framer = new StreamFramer(DEFAULT_LIMITS);
  const nested = `MESSAGE sip:a@b SIP/2.0\r\nContent-Length: ${OPTIONS.length}\r\n\r\n${OPTIONS}`;
  expect(texts(push(framer, nested))).toEqual([nested]);
});

test.each(["Content-Length: -5", "Content-Length: x", "Content-Length: 1 2"])(
  "%s ends the stream after that head",
  (header) => {
    const framer = new StreamFramer(DEFAULT_LIMITS);
    const head = `OPTIONS sip:a@b SIP/2.0\r\n${header}\r\n\r\n`;
    const framed = push(framer, head + OPTIONS);
    expect(texts(framed)).toEqual([head]);
    expect(framed.broken?.code).toBe("SIP_SYNTAX");
  },
);

test.each([
  ["headers without end", "X".repeat(2000), "headers over 1000 bytes"],
  ["a body", "A sip:a@b SIP/2.0\r\nContent-Length: 101\r\n\r\n", "body of 101 bytes; limit 100"],
])("%s over the limit ends the stream", (_, text, message) => {
  const framer = new StreamFramer({ headerBytes: 1000, bodyBytes: 100, headerFields: 10 });
  expect(push(framer, text).broken).toMatchObject({ code: "SIP_LIMIT", message });
});
