import { AudioQueue } from "./audio-queue.ts";
import { checkDigits, type EventPacket, KeyReader, pressKey } from "./dtmf.ts";
import { FRAME_MS } from "./frame.ts";
import { CODECS, type CodecName } from "./g711.ts";
import type { Negotiated } from "./negotiation.ts";
import type { Recorder } from "./recording.ts";
import { type RtpPacket, read16, read32 } from "./rtp.ts";

const SAMPLES_PER_MS = 8;
const FRAME_SAMPLES = FRAME_MS * SAMPLES_PER_MS;
/** A longer pause is not filled: the other leg was silent by agreement. */
const LIMIT_FILL_FRAMES = 10;
const SILENCE = new Int16Array(FRAME_SAMPLES);

export interface SenderOptions {
  random: (length: number) => Uint8Array;
  queueLimitMs: number;
  said: Recorder;
  transmit: (packet: RtpPacket) => void;
  onKey: (key: string) => void;
}

interface KeyPress {
  readonly frames: Iterator<EventPacket[], void>;
  readonly key: string;
  gapFrames: number;
  begun: boolean;
  readonly done: () => void;
  readonly released: () => void;
}

/** How a forwarded source's numbers are carried over into this leg's own. */
interface Anchor {
  readonly source: number;
  readonly sequence: number;
  readonly timestamp: number;
}

/** The outgoing half of a leg: one packet per frame from the queue, the keypad or a relay. */
export class Sender {
  readonly queue: AudioQueue;
  readonly ssrc: number;
  packets = 0;
  octets = 0;
  /** Audio of another leg that was not forwarded because this one had something to say itself. */
  skippedMs = 0;
  readonly #options: SenderOptions;
  #keyReader = new KeyReader();
  readonly #presses: KeyPress[] = [];
  readonly #frame = new Int16Array(FRAME_SAMPLES);
  #agreed: Negotiated | undefined;
  #sending = false;
  #talkspurt = true;
  #relaying = false;
  #anchor: Anchor | undefined;
  #sequence: number;
  #timestamp: number;
  #lastAtMs: number | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.queue = new AudioQueue({ limitMs: options.queueLimitMs });
    const seed = options.random(10);
    this.ssrc = read32(seed, 0);
    // In the lower half, so that the first wrap cannot be mistaken (RFC 3711 §3.3.1).
    this.#sequence = read16(seed, 4) & 0x7fff;
    this.#timestamp = read32(seed, 6);
  }

  /** RTP time of the last packet, for sender reports. */
  get timestamp(): number {
    return this.#timestamp;
  }

  configure(agreed: Negotiated): void {
    this.#agreed = agreed;
    this.#sending = agreed.direction === "sendrecv" || agreed.direction === "sendonly";
    this.#talkspurt = true;
  }

  /** While relaying, silence is not sent: what arrives on the other leg is, when it arrives. */
  relaying(on: boolean): void {
    this.#relaying = on;
    this.#anchor = undefined;
  }

  /**
   * `pressed` resolves when the last key and its gap are over and rejects when they are released
   * before; `release` forgets what is left of this series and of no other.
   */
  press(
    digits: string,
    options: { toneMs: number; gapMs: number },
  ): { pressed: Promise<void>; release: () => void } {
    checkDigits(digits);
    const { promise: pressed, resolve, reject } = Promise.withResolvers<void>();
    if (digits === "") resolve();
    const released = () => reject(new Error(`the leg ended before "${digits}" was pressed`));
    const keys = Array.from(digits);
    for (const [index, key] of keys.entries()) {
      this.#presses.push({
        key,
        frames: pressKey(key, options.toneMs),
        gapFrames: Math.ceil(options.gapMs / FRAME_MS),
        begun: false,
        done: index === keys.length - 1 ? resolve : () => {},
        released,
      });
    }
    return { pressed, release: () => this.#release((press) => press.released === released) };
  }

  /** Forgets all key presses that have not begun or are under way. */
  releaseKeys(): void {
    this.#release(() => true);
  }

  #release(isMeant: (press: KeyPress) => boolean): void {
    const kept = this.#presses.filter((press) => !isMeant(press));
    for (const press of this.#presses.splice(0, this.#presses.length, ...kept)) {
      if (isMeant(press)) press.released();
    }
  }

  tick(atMs: number): void {
    if (!this.#sending || this.#agreed === undefined) return;
    if (this.#presses[0] !== undefined) return this.#tickKey(this.#presses[0], atMs);
    const speaks = this.queue.take(this.#frame);
    if (!speaks && this.#relaying && this.#anchor !== undefined) return;
    this.#sendAudio(speaks ? this.#frame : SILENCE, atMs);
    this.#frame.fill(0);
  }

  /** Sends another leg's packet under this leg's numbers; gaps and marks stay as they were. */
  forward(packet: RtpPacket, kind: CodecName | "telephone-event", atMs: number): void {
    const agreed = this.#agreed;
    if (!this.#sending || agreed === undefined) return;
    if (this.queue.queuedMs > 0 || this.#presses.length > 0) {
      this.#anchor = undefined;
      if (kind !== "telephone-event") this.skippedMs += packet.payload.length / SAMPLES_PER_MS;
      return;
    }
    const payloadType = kind === "telephone-event" ? agreed.telephoneEvent : agreed.payloadType;
    if (payloadType === undefined) return;
    if (this.#isOwnFrame(packet, atMs)) {
      if (kind !== "telephone-event") this.skippedMs += packet.payload.length / SAMPLES_PER_MS;
      return;
    }
    const anchor = this.#anchorFor(packet, atMs);
    const sequence = (packet.sequence + anchor.sequence) & 0xffff;
    const timestamp = (packet.timestamp + anchor.timestamp) >>> 0;
    if (((sequence - this.#sequence) << 16) >> 16 >= 0) this.#sequence = (sequence + 1) & 0xffff;
    if (((timestamp - this.#timestamp) | 0) > 0) {
      this.#timestamp = timestamp;
      this.#lastAtMs = atMs;
    }
    const payload = this.#forwarded(packet, kind, atMs);
    this.#transmit({ ...packet, payloadType, sequence, timestamp, ssrc: this.ssrc, payload });
  }

  /**
   * The first packet of a source that comes while the frame this leg has just said itself still lasts
   * takes that frame's place, unsent: put behind it, this packet and all that follow would come that
   * much before their time, and lie as much longer in every buffer on their way.
   */
  #isOwnFrame(packet: RtpPacket, atMs: number): boolean {
    if (this.#anchor?.source === packet.ssrc || this.#lastAtMs === undefined) return false;
    if (atMs - this.#lastAtMs >= FRAME_MS / 2) return false;
    this.#anchor = this.#place(packet, this.#sequence - 1, this.#timestamp);
    return true;
  }

  #anchorFor(packet: RtpPacket, atMs: number): Anchor {
    if (this.#anchor?.source === packet.ssrc) return this.#anchor;
    this.#fillUpTo(atMs);
    this.#anchor = this.#place(packet, this.#sequence, this.#advance(atMs));
    return this.#anchor;
  }

  #place(packet: RtpPacket, sequence: number, timestamp: number): Anchor {
    this.#keyReader = new KeyReader();
    return {
      source: packet.ssrc,
      sequence: sequence - packet.sequence,
      timestamp: timestamp - packet.timestamp,
    };
  }

  /** The silence that the frame clock would still have sent before a relay takes over. */
  #fillUpTo(atMs: number): void {
    for (let frame = 0; frame < LIMIT_FILL_FRAMES && this.#lastAtMs !== undefined; frame++) {
      if (atMs - this.#lastAtMs < 1.5 * FRAME_MS) return;
      this.#sendAudio(SILENCE, this.#lastAtMs + FRAME_MS);
    }
  }

  #forwarded(packet: RtpPacket, kind: CodecName | "telephone-event", atMs: number): Uint8Array {
    if (kind === "telephone-event") {
      const key = this.#keyReader.read(packet);
      if (key !== undefined) this.#options.onKey(key);
      return packet.payload;
    }
    const samples = CODECS[kind].decode(packet.payload);
    this.#options.said.append(samples, atMs);
    const codec = this.#agreed?.codec ?? kind;
    return codec === kind ? packet.payload : CODECS[codec].encode(samples);
  }

  /** RTP time of `atMs`: whole frames on from the last packet, at least one. */
  #advance(atMs: number): number {
    const sinceMs = this.#lastAtMs === undefined ? FRAME_MS : atMs - this.#lastAtMs;
    const frames = Math.max(1, Math.round(sinceMs / FRAME_MS));
    return (this.#timestamp + frames * FRAME_SAMPLES) >>> 0;
  }

  #sendAudio(samples: Int16Array, atMs: number): void {
    if (this.#agreed === undefined) return;
    const { codec, payloadType } = this.#agreed;
    this.#options.said.append(samples, atMs);
    this.#send(
      { payloadType, payload: CODECS[codec].encode(samples), marker: this.#talkspurt },
      atMs,
    );
    this.#talkspurt = false;
  }

  #tickKey(press: KeyPress, atMs: number): void {
    if (!press.begun) {
      press.begun = true;
      this.#options.onKey(press.key);
    }
    const { value: packets, done } = press.frames.next();
    const payloadType = this.#agreed?.telephoneEvent;
    if (!done && packets && payloadType !== undefined) {
      return this.#sendEvent(packets, payloadType, atMs);
    }
    this.#sendAudio(SILENCE, atMs);
    press.gapFrames -= 1;
    if (press.gapFrames > 0) return;
    this.#presses.shift();
    press.done();
  }

  #sendEvent(packets: EventPacket[], payloadType: number, atMs: number): void {
    this.#options.said.append(SILENCE, atMs);
    const frameTimestamp = this.#advance(atMs);
    for (const { payload, marker, offset } of packets) {
      const timestamp = (frameTimestamp - offset) >>> 0;
      this.#transmit({ payloadType, payload, marker, ...this.#numbers(), timestamp });
    }
    this.#timestamp = frameTimestamp;
    this.#lastAtMs = atMs;
    this.#talkspurt = true;
  }

  #send(packet: Pick<RtpPacket, "payloadType" | "payload" | "marker">, atMs: number): void {
    this.#timestamp = this.#advance(atMs);
    this.#lastAtMs = atMs;
    this.#anchor = undefined;
    this.#transmit({ ...packet, ...this.#numbers(), timestamp: this.#timestamp });
  }

  #numbers(): { sequence: number; ssrc: number } {
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & 0xffff;
    return { sequence, ssrc: this.ssrc };
  }

  #transmit(packet: RtpPacket): void {
    this.packets += 1;
    this.octets += packet.payload.length;
    this.#options.transmit(packet);
  }
}
