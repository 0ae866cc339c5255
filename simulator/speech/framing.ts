/**
 * The Speech service's messages: header lines and a body in one WebSocket frame. A text frame parts
 * them by an empty line; a binary frame starts with the header block's length in two bytes.
 */
export interface SpeechMessage {
  /** Lower-case: `audio`, `speech.config`. */
  readonly path: string;
  readonly requestId: string;
  readonly contentType: string | undefined;
  readonly body: Buffer;
}

/** A frame that is no message; the service closes with 1007. */
export class FramingError extends Error {
  override readonly name = "FramingError";
  readonly code = "SPEECH_FRAMING";
}

const SEPARATOR = "\r\n\r\n";
/** The Speech SDK reads the length as a signed 16-bit number. */
const LIMIT_HEADER_BYTES = 32_767;

export function parseMessage(frame: Buffer, isBinary: boolean): SpeechMessage {
  const [head, body] = isBinary ? splitBinary(frame) : splitText(frame);
  const headers = new Map<string, string>();
  for (const line of head.split("\r\n").filter((each) => each !== "")) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new FramingError(`header line: expected "Name: value", got "${line}"`);
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const path = headers.get("path");
  if (path === undefined) throw new FramingError("expected a Path header");
  return {
    path: path.toLowerCase(),
    requestId: headers.get("x-requestid") ?? "",
    contentType: headers.get("content-type"),
    body,
  };
}

function splitText(frame: Buffer): [string, Buffer] {
  const end = frame.indexOf(SEPARATOR);
  if (end === -1) throw new FramingError("text frame: expected an empty line after the headers");
  return [frame.toString("utf8", 0, end), frame.subarray(end + SEPARATOR.length)];
}

function splitBinary(frame: Buffer): [string, Buffer] {
  if (frame.length < 2)
    throw new FramingError(`binary frame: expected 2 bytes, got ${frame.length}`);
  const length = frame.readUInt16BE(0);
  if (length > LIMIT_HEADER_BYTES || frame.length < 2 + length) {
    throw new FramingError(`binary frame: ${length} header bytes in a frame of ${frame.length}`);
  }
  return [frame.toString("latin1", 2, 2 + length), frame.subarray(2 + length)];
}

/** The body is compact JSON: the SDK cuts it at the next CRLFCRLF. */
export function formatMessage(path: string, requestId: string, body: unknown): string {
  const headers = [
    `X-RequestId:${requestId}`,
    "Content-Type:application/json; charset=utf-8",
    `Path:${path}`,
  ];
  return `${headers.join("\r\n")}${SEPARATOR}${JSON.stringify(body)}`;
}

export function formatAudio(requestId: string, streamId: string, audio: Uint8Array): Buffer {
  const headers = Buffer.from(
    `X-RequestId:${requestId}\r\nX-StreamId:${streamId}\r\nPath:audio\r\n`,
    "latin1",
  );
  const length = Buffer.alloc(2);
  length.writeUInt16BE(headers.length);
  return Buffer.concat([length, headers, audio]);
}
