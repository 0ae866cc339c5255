import { isRecord } from "./fields.ts";

/** What an application sends on the media socket. */
export type StreamMessage =
  | { readonly kind: "audio"; readonly samples: Int16Array }
  | { readonly kind: "stop" }
  | { readonly kind: "unknown"; readonly name: string }
  | { readonly kind: "invalid"; readonly why: string };

/**
 * Reads one text frame. The SDKs differ in casing (`audioData`, `AudioData`) and every audio frame
 * of the JavaScript SDK carries a `stopAudio` object too, so only `kind` decides, in any case.
 */
export function parseStreamMessage(text: string): StreamMessage {
  const message = parseJson(text);
  if (!isRecord(message)) return { kind: "invalid", why: "not a JSON object" };
  const kind = member(message, "kind");
  if (typeof kind !== "string") return { kind: "invalid", why: "kind is missing" };
  switch (kind.toLowerCase()) {
    case "audiodata":
      return parseAudio(member(message, "audiodata"));
    case "stopaudio":
      return { kind: "stop" };
    default:
      return { kind: "unknown", name: kind };
  }
}

function parseAudio(value: unknown): StreamMessage {
  const data = isRecord(value) ? member(value, "data") : undefined;
  if (typeof data !== "string") return { kind: "invalid", why: "audioData.data is missing" };
  if (!/^[\w+/-]*={0,2}$/.test(data)) return { kind: "invalid", why: "data is not base64" };
  const bytes = Buffer.from(data, "base64");
  if (bytes.length % 2 !== 0) return { kind: "invalid", why: "PCM of an odd number of bytes" };
  return { kind: "audio", samples: pcmSamples(bytes) };
}

/** Little-endian 16-bit samples; copied, as the buffer's offset may be odd. */
function pcmSamples(bytes: Buffer): Int16Array {
  const copy = new Uint8Array(bytes);
  return new Int16Array(copy.buffer, 0, copy.length / 2);
}

/** Base64 of 16-bit little-endian PCM. */
export function encodePcm(samples: Int16Array): string {
  const { buffer, byteOffset, byteLength } = samples;
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

function member(object: Record<string, unknown>, name: string): unknown {
  for (const [key, value] of Object.entries(object)) {
    if (key.toLowerCase() === name) return value;
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Judged by the caller like any other non-object.
  }
}
