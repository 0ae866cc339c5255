import { expect, test } from "vitest";
import { encodeFrame, FrameDecoder, FrameError } from "./frame.ts";

test("a message is cut into its tokens", () => {
  const [frame] = new FrameDecoder(100).push(Buffer.from("28#a1|authenticate|cymru|x,y,zz"));
  expect(frame?.tokens).toEqual(["a1", "authenticate", "cymru", "x,y,zz"]);
  expect(frame?.message).toHaveLength(0);
});

test("what follows the first line is the SIP message, byte for byte", () => {
  const text = "a1|sip|txn|\r\nSIP/2.0 200 OK\r\nX-Name: J|rg\r\n\r\nh\r\n";
  const [frame] = new FrameDecoder(100).push(Buffer.from(`${text.length}#${text}`));
  expect(frame?.tokens).toEqual(["a1", "sip", "txn", ""]);
  expect(frame?.message.toString()).toBe("SIP/2.0 200 OK\r\nX-Name: J|rg\r\n\r\nh\r\n");
});

test("messages survive any cut of the stream", () => {
  const stream = Buffer.from("7#a1|ping13#a2|route|byé");
  const decoder = new FrameDecoder(100);
  const frames = [...stream].flatMap((byte) => decoder.push(Buffer.from([byte])));
  expect(frames.map((frame) => frame.tokens)).toEqual([
    ["a1", "ping"],
    ["a2", "route", "byé"],
  ]);
});

test("several messages in one segment come out in order", () => {
  const frames = new FrameDecoder(100).push(Buffer.from("7#a1|ping7#a2|ping7#a3|ping3#a4|"));
  expect(frames.map((frame) => frame.tokens[0])).toEqual(["a1", "a2", "a3", "a4"]);
});

test("a message beyond the limit is skipped, and those after it are read", () => {
  const long = `a1|sip|txn|${"x".repeat(989)}`;
  const decoder = new FrameDecoder(500);
  const stream = Buffer.from(`1000#${long}7#a2|ping`);
  const frames = [
    ...decoder.push(stream.subarray(0, 300)),
    ...decoder.push(stream.subarray(300, 1_001)),
    ...decoder.push(stream.subarray(1_001)),
  ];
  expect(frames.map((frame) => [frame.tokens[0], frame.oversizeBytes])).toEqual([
    ["a1", 1000],
    ["a2", undefined],
  ]);
});

test.each([
  "abc#a1|ping",
  "#a1|ping",
  "0#a1|ping",
  "-7#a1|ping",
  "99999999999#a",
  "aaaaaaaaaaaaaaa",
])("%s is no frame", (garbage) => {
  expect(() => new FrameDecoder(100).push(Buffer.from(garbage))).toThrow(FrameError);
});

test("the length counts bytes, not characters", () => {
  expect(encodeFrame("é|x").toString()).toBe("4#é|x");
  expect(encodeFrame("a|sip", Buffer.from("OPTIONS é")).toString()).toBe("17#a|sip\r\nOPTIONS é");
});

test("what is encoded is decoded", () => {
  const message = Buffer.from("MESSAGE sip:a SIP/2.0\r\n\r\n¼ # 5#");
  const [frame] = new FrameDecoder(1000).push(encodeFrame("id|sip|network", message));
  expect(frame).toEqual({ tokens: ["id", "sip", "network"], message });
});
