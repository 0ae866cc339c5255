import type { MediaStream } from "../media-stream.ts";

/** 24 kHz, 16 bit: what a realtime model speaks. */
const BYTES_PER_MS = 48;

/** The parts of a media stream that tell what was heard; `played` is moved by hand. */
export function playedLine() {
  const line = {
    writtenMs: 0,
    playedMs: 0,
    get pendingMs() {
      return line.writtenMs - line.playedMs;
    },
    write: (samples: Uint8Array) => {
      line.writtenMs += samples.length / BYTES_PER_MS;
    },
    stop: () => line.playedMs,
  };
  // Only these members are used.
  return { line, media: line as unknown as MediaStream };
}
