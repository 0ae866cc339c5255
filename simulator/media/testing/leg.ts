import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { ManualClock } from "../../clock.ts";
import type { TraceDetail } from "../../trace.ts";
import type { Frame } from "../frame.ts";
import { parseRtp } from "../rtp.ts";
import { type MediaSession, type MediaSessionOptions, openMediaSession } from "../session.ts";

/** What the tests of this folder share: legs that remember, speech-like audio, a bare UDP peer. */
export const RATE_HZ = 8_000;

type Options = Partial<MediaSessionOptions>;

export async function openLeg(clock: MediaSessionOptions["clock"], options: Options = {}) {
  const events: TraceDetail[] = [];
  const trace = { record: (event: TraceDetail) => void events.push(event) };
  const session = await openMediaSession({ clock, trace, ...options });
  const frames: Frame[] = [];
  session.onFrame((frame) => frames.push(frame));
  const digits: string[] = [];
  session.onDigit((digit) => digits.push(digit));
  return Object.assign(session, { events, frames, digits });
}

export function connect(one: MediaSession, other: MediaSession): void {
  one.accept(other.answer(one.offer()));
}

/** Words, roughly: a gliding voice with its harmonics up to 3.4 kHz, and pauses. */
export function speechLike(seconds: number): Int16Array {
  let phase = 0;
  return Int16Array.from({ length: seconds * RATE_HZ }, (_, n) => {
    const t = n / RATE_HZ;
    const pitchHz = 110 + 40 * Math.abs(Math.sin(1.7 * t));
    phase += (2 * Math.PI * pitchHz) / RATE_HZ;
    if (t % 0.7 >= 0.55) return 0;
    let voice = 0;
    for (let harmonic = 1; harmonic * pitchHz < 3_400; harmonic++) {
      // Each harmonic swells at its own pace, as formants do.
      const swell = 0.6 + 0.4 * Math.sin(harmonic + (9 + 1.3 * harmonic) * t);
      voice += (swell / Math.sqrt(harmonic)) * Math.sin(harmonic * phase + harmonic ** 2);
    }
    return Math.round(2_500 * voice);
  });
}

/** Where `said` is best found in `heard`, and the normalised cross-correlation there. */
export function find(
  said: Int16Array,
  heard: Int16Array,
  step = 80,
): { ncc: number; atMs: number } {
  let best = { ncc: 0, atMs: 0 };
  for (let lag = 0; lag <= heard.length - said.length; lag += step) {
    const ncc = correlate(said, heard.subarray(lag, lag + said.length));
    if (ncc > best.ncc) best = { ncc, atMs: (lag / RATE_HZ) * 1_000 };
  }
  return best;
}

export function correlate(one: Int16Array, other: Int16Array): number {
  let [cross, a, b] = [0, 0, 0];
  for (const [n, sample] of one.entries()) {
    const against = other[n] ?? 0;
    cross += sample * against;
    a += sample * sample;
    b += against * against;
  }
  return cross / Math.sqrt(a * b || 1);
}

export async function playPiece(clock: ManualClock, session: MediaSession, samples: Int16Array) {
  const playing = session.play({ samples, rateHz: RATE_HZ });
  await clock.advance((samples.length / RATE_HZ) * 1_000 + 200);
  return playing;
}

export function sdpTo(media: string, ...attributes: string[]): string {
  const head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"];
  return [...head, media, ...attributes, ""].join("\r\n");
}

export async function wirePeer() {
  const socket: Socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const datagrams: Buffer[] = [];
  socket.on("message", (datagram) => datagrams.push(datagram));
  const takeRaw = async (count: number) => {
    while (datagrams.length < count) await once(socket, "message");
    return datagrams.splice(0, count);
  };
  return {
    port: socket.address().port,
    takeRaw,
    take: async (count: number) => (await takeRaw(count)).map((datagram) => parseRtp(datagram)),
    send: async (port: number, messages: Uint8Array[]) => {
      for (const message of messages) {
        await new Promise((resolve) => {
          socket.send(message, port, "127.0.0.1", resolve);
        });
      }
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}
