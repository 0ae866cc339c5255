import { expect, test } from "vitest";
import { formatAudio, formatMessage, parseMessage } from "./framing.ts";

test("a text frame is headers, an empty line and a body", () => {
  const frame = Buffer.from(
    "Path: speech.config\r\nX-RequestId: AB01\r\nX-Timestamp: 2026-01-02T03:04:05Z\r\n" +
      'Content-Type: application/json\r\n\r\n{"context":{}}',
  );
  expect(parseMessage(frame, false)).toEqual({
    path: "speech.config",
    requestId: "AB01",
    contentType: "application/json",
    body: Buffer.from('{"context":{}}'),
  });
});

test("a binary frame starts with the length of its headers", () => {
  const frame = Buffer.concat([
    Buffer.from([0x00, 0x1e]),
    Buffer.from("path:Audio\r\nx-requestid:AB01\r\n"),
    Buffer.from([1, 2, 3]),
  ]);
  const message = parseMessage(frame, true);
  expect(message).toMatchObject({ path: "audio", requestId: "AB01", contentType: undefined });
  expect(message.body).toEqual(Buffer.from([1, 2, 3]));
});

test("audio is framed for the SDK's parser: 16-bit length, no empty line", () => {
  expect(formatAudio("AB01", "S1", Uint8Array.of(9, 8)).toString("latin1")).toBe(
    "\x00\x2dX-RequestId:AB01\r\nX-StreamId:S1\r\nPath:audio\r\n\x09\x08",
  );
});

test("a message to the client carries its request id and compact JSON", () => {
  expect(formatMessage("turn.end", "AB01", {})).toBe(
    "X-RequestId:AB01\r\nContent-Type:application/json; charset=utf-8\r\nPath:turn.end\r\n\r\n{}",
  );
});

test.each([
  ["no empty line", Buffer.from("Path: audio"), false, "expected an empty line after the headers"],
  ["no path", Buffer.from("X-RequestId: 1\r\n\r\n"), false, "expected a Path header"],
  ["no colon", Buffer.from("Path\r\n\r\n"), false, 'expected "Name: value", got "Path"'],
  ["one byte", Buffer.from([0]), true, "expected 2 bytes, got 1"],
  ["short headers", Buffer.from([0, 9, 65]), true, "9 header bytes in a frame of 3"],
  ["length with the sign bit", Buffer.from([0xff, 0xff, 0]), true, "65535 header bytes"],
])("a frame with %s is refused", (_, frame, isBinary, message) => {
  expect(() => parseMessage(frame, isBinary)).toThrow(message);
});
