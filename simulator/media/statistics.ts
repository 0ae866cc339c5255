import type { RtpPacket } from "./rtp.ts";

const RATE_PER_MS = 8;
/** RFC 3550 A.1: a larger step of the sequence number is a restarted source. */
const LIMIT_DROPOUT = 3_000;
/** Sequence numbers remembered for telling a duplicate from a straggler. */
const HISTORY = 1_024;
/** Sequence numbers in a cycle. */
const CYCLE = 0x1_0000;

/** What one direction of a leg amounts to. */
export interface ReceivedStatistics {
  packets: number;
  /** RTP payload. */
  bytes: number;
  /** Expected by sequence number and never come. */
  lost: number;
  /** Come after their time of play-out. */
  late: number;
  duplicated: number;
  /** Come after a packet with a higher sequence number. */
  reordered: number;
  /** Not RTP, not authentic, or a replay. */
  rejected: { malformed: number; authentication: number; replayed: number; unexpected: number };
  /** Interarrival jitter, RFC 3550 §6.4.1. */
  jitterMs: number;
  /** Longest run of made-up frames between two real ones. */
  longestGapMs: number;
  concealedMs: number;
  /** Audio that came in time and was left out: silence, to get less late, or a stream's old rest. */
  skippedMs: number;
  quality: QualityEstimate;
}

export interface SentStatistics {
  packets: number;
  bytes: number;
  /** Streamed audio that found the queue full. */
  droppedMs: number;
  /** Audio of another leg that a prompt or a key press of this one kept from being forwarded. */
  skippedMs: number;
  /** What the peer's last RTCP report says about it. */
  peer?: { lost: number; fractionLost: number; jitterMs: number; roundTripMs?: number };
  quality?: QualityEstimate;
}

export interface MediaStatistics {
  readonly sent: SentStatistics;
  readonly received: ReceivedStatistics;
}

/** An estimate from packet figures alone; nobody has listened. */
export interface QualityEstimate {
  /** Transmission rating, 0 to 93.2. */
  r: number;
  /** Mean opinion score, 1 to 4.5. */
  mos: number;
  formula: string;
}

const FORMULA =
  "E-model estimate (ITU-T G.107 defaults, delay term of Cole and Rosenbluth 2001, " +
  "G.113 Ie 0 and Bpl 25.1 for G.711 with concealment, random loss)";

/** R and MOS of a G.711 direction. `lossRatio` counts late packets too; `delayMs` is mouth to ear. */
export function estimateQuality(lossRatio: number, delayMs: number): QualityEstimate {
  const loss = Math.max(0, Math.min(1, lossRatio)) * 100;
  const delay = 0.024 * delayMs + (delayMs > 177.3 ? 0.11 * (delayMs - 177.3) : 0);
  const equipment = (95 * loss) / (loss + 25.1);
  const r = Math.max(0, Math.min(93.2, 93.2 - delay - equipment));
  const mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;
  return { r: round(r), mos: round(Math.max(1, mos)), formula: FORMULA };
}

/** Sequence numbers and arrival times of one direction (RFC 3550 §6.4.1, A.1, A.3, A.8). */
export class SequenceStatistics {
  packets = 0;
  octets = 0;
  duplicated = 0;
  reordered = 0;
  #jitter = 0;
  #source: number | undefined;
  #first = 0;
  #highest = 0;
  #unique = 0;
  #lostBefore = 0;
  #transit: number | undefined;
  readonly #seen = new Int32Array(HISTORY).fill(-1);

  get jitterMs(): number {
    return round(this.#jitter / RATE_PER_MS);
  }

  /** Jitter in timestamp units, as a report carries it. */
  get jitter(): number {
    return Math.floor(this.#jitter);
  }

  get lost(): number {
    return this.#lostBefore + this.#lostNow();
  }

  get expected(): number {
    return this.lost + this.packets - this.duplicated;
  }

  /** Roll-over count, from 0 on, and sequence number of the highest packet (RFC 3550 §6.4.1). */
  get highest(): number {
    return Math.max(0, this.#highest - CYCLE);
  }

  /** Takes a packet in; says how it stands to those before. */
  receive(packet: RtpPacket, atMs: number, isAudio = true): "new" | "duplicate" | "restart" {
    this.packets += 1;
    this.octets += packet.payload.length;
    const extended = this.#extend(packet);
    if (extended === undefined) {
      this.#restart(packet);
      if (isAudio) this.#measure(packet, atMs);
      return "restart";
    }
    const slot = extended % HISTORY;
    if (this.#seen[slot] === extended) {
      this.duplicated += 1;
      return "duplicate";
    }
    this.#seen[slot] = extended;
    this.#unique += 1;
    if (extended < this.#highest) this.reordered += 1;
    this.#highest = Math.max(this.#highest, extended);
    if (isAudio) this.#measure(packet, atMs);
    return "new";
  }

  #extend({ ssrc, sequence }: RtpPacket): number | undefined {
    if (ssrc !== this.#source) return undefined;
    const step = ((sequence - this.#highest) << 16) >> 16;
    if (Math.abs(step) > LIMIT_DROPOUT) return undefined;
    return this.#highest + step;
  }

  #restart({ ssrc, sequence }: RtpPacket): void {
    if (this.#source !== undefined) this.#lostBefore += this.#lostNow();
    this.#source = ssrc;
    // One cycle up, so that a packet from before the first one has a positive number too.
    this.#first = sequence + CYCLE;
    this.#highest = this.#first;
    this.#unique = 1;
    this.#transit = undefined;
    this.#seen.fill(-1);
    this.#seen[this.#first % HISTORY] = this.#first;
  }

  #lostNow(): number {
    if (this.#source === undefined) return 0;
    return Math.max(0, this.#highest - this.#first + 1 - this.#unique);
  }

  /** Audio only: the packets of an event share a timestamp and would read as jitter. */
  #measure({ timestamp }: RtpPacket, atMs: number): void {
    const arrival = Math.round(atMs * RATE_PER_MS);
    const transit = (arrival - timestamp) | 0;
    if (this.#transit !== undefined) {
      const difference = Math.abs((transit - this.#transit) | 0);
      this.#jitter += (difference - this.#jitter) / 16;
    }
    this.#transit = transit;
  }
}

/** Runs of made-up frames. A run counts when a real frame ends it: before that it may be the end. */
export class GapMeter {
  longestMs = 0;
  concealedMs = 0;
  #runMs = 0;

  frame(concealed: boolean, durationMs: number): void {
    if (concealed) {
      this.#runMs += durationMs;
      return;
    }
    this.concealedMs += this.#runMs;
    this.longestMs = Math.max(this.longestMs, this.#runMs);
    this.#runMs = 0;
  }

  /** The stream pauses by agreement: an open run is no gap. */
  pause(): void {
    this.#runMs = 0;
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
