import { type RtpPacket, read16, write16 } from "./rtp.ts";

/** RFC 4733 §3.2: events 0-15 in the order of this string. */
const KEYS = "0123456789*#ABCD";
const FRAME_SAMPLES = 160;
const SAMPLES_PER_MS = 8;
/** Minus dBm0, the level of a real key press. */
const VOLUME = 10;
/** RFC 4733 §2.5.1.4: the end is said three times, because it matters and may be lost. */
const END_PACKETS = 3;
const LIMIT_DURATION = 0xffff;
/** A packet of an older press than this (5 s) is no straggler but a source that began anew. */
const LIMIT_STRAGGLER = 40_000;

/** The payload of a telephone-event packet (RFC 4733 §2.3). */
export interface TelephoneEvent {
  readonly event: number;
  readonly end: boolean;
  /** Minus dBm0, 0 to 63. */
  readonly volume: number;
  /** Samples since the packet's RTP timestamp. */
  readonly duration: number;
}

export function parseTelephoneEvent(payload: Uint8Array): TelephoneEvent | undefined {
  if (payload.length < 4) return undefined;
  const [event = 0, flags = 0] = payload;
  return { event, end: flags >= 0x80, volume: flags & 0x3f, duration: read16(payload, 2) };
}

export function formatTelephoneEvent({ event, end, volume, duration }: TelephoneEvent): Uint8Array {
  const payload = new Uint8Array(4);
  payload[0] = event;
  payload[1] = (end ? 0x80 : 0) | (volume & 0x3f);
  write16(payload, 2, duration);
  return payload;
}

/** Throws a RangeError that names the first key no telephone has. */
export function checkDigits(digits: string): void {
  const wrong = Array.from(digits).find((key) => !KEYS.includes(key.toUpperCase()));
  if (wrong !== undefined) throw new RangeError(`digits: expected 0-9 * # A-D, got "${wrong}"`);
}

/** One packet of a key press: what follows the header, and whether it is the press's first. */
export interface EventPacket {
  readonly payload: Uint8Array;
  readonly marker: boolean;
  /** Samples between this packet's frame and the press's begin: the timestamp goes back by it. */
  readonly offset: number;
}

/**
 * The packets of one key press, frame by frame: one packet per 20 ms with the duration so far, the
 * last frame's packet three times with the end bit.
 */
export function* pressKey(key: string, toneMs: number): Generator<EventPacket[], void> {
  const event = KEYS.indexOf(key.toUpperCase());
  const total = Math.min(Math.max(FRAME_SAMPLES, toneMs * SAMPLES_PER_MS), LIMIT_DURATION);
  for (let offset = 0; offset < total; offset += FRAME_SAMPLES) {
    const duration = Math.min(offset + FRAME_SAMPLES, total);
    const end = duration === total;
    const payload = formatTelephoneEvent({ event, end, volume: VOLUME, duration });
    const packet = { payload, marker: offset === 0, offset };
    const again = { ...packet, marker: false };
    yield end ? [packet, ...Array.from({ length: END_PACKETS - 1 }, () => again)] : [packet];
  }
}

/** Turns event packets, repeated, reordered or partly lost, into one digit per key press. */
export class KeyReader {
  #press: { event: number; timestamp: number; duration: number } | undefined;

  /** The key if this packet is the first seen of its press. */
  read({ timestamp, payload, marker }: RtpPacket): string | undefined {
    const heard = parseTelephoneEvent(payload);
    const key = heard === undefined ? undefined : KEYS[heard.event];
    if (heard === undefined || key === undefined) return undefined;
    const last = this.#press;
    const since = last === undefined ? 1 : (timestamp - last.timestamp) | 0;
    if (since < 0 && since > -LIMIT_STRAGGLER) return undefined;
    this.#press = { event: heard.event, timestamp, duration: heard.duration };
    if (since === 0) return undefined;
    return last !== undefined && !marker && isContinued(last, heard, since) ? undefined : key;
  }
}

/** RFC 4733 §2.5.1.3: a press longer than 8 s goes on in a new segment without a marker. */
function isContinued(
  last: { event: number; duration: number },
  heard: TelephoneEvent,
  since: number,
): boolean {
  return last.event === heard.event && last.duration === LIMIT_DURATION && since === LIMIT_DURATION;
}
