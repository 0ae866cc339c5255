import type { MediaSession } from "./session.ts";

/**
 * Joins two legs packet by packet, both ways, with telephone events; each leg keeps its own source,
 * numbers and keys, so plain RTP meets SRTP here. Audio is transcoded only where the codecs differ.
 * Audio queued on a leg interrupts what it is forwarded. Disposing leaves both legs silent.
 */
export function relay(a: MediaSession, b: MediaSession): Disposable {
  const stops = [
    a.onPacket((packet, kind) => b.forward(packet, kind)),
    b.onPacket((packet, kind) => a.forward(packet, kind)),
  ];
  a.relaying(true);
  b.relaying(true);
  return {
    [Symbol.dispose]() {
      for (const stop of stops) stop();
      a.relaying(false);
      b.relaying(false);
    },
  };
}
