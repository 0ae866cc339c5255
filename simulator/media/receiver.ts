import { KeyReader, parseTelephoneEvent } from "./dtmf.ts";
import { FRAME_MS, type Frame } from "./frame.ts";
import { CODECS, type CodecName } from "./g711.ts";
import { JitterBuffer } from "./jitter.ts";
import type { Negotiated } from "./negotiation.ts";
import type { Recorder } from "./recording.ts";
import type { ReportBlock } from "./rtcp.ts";
import type { RtpPacket } from "./rtp.ts";
import {
  estimateQuality,
  GapMeter,
  type ReceivedStatistics,
  SequenceStatistics,
} from "./statistics.ts";

const RATE_HZ = 8_000;

export interface ReceiverOptions {
  jitterMs: number;
  heard: Recorder;
  onKey: (key: string) => void;
}

/** The incoming half of a leg: packets in, one frame per 20 ms and one key per press out. */
export class Receiver {
  readonly rejected: ReceivedStatistics["rejected"] = {
    malformed: 0,
    authentication: 0,
    replayed: 0,
    unexpected: 0,
  };
  readonly #options: ReceiverOptions;
  readonly #jitter: JitterBuffer;
  readonly #sequence = new SequenceStatistics();
  readonly #gaps = new GapMeter();
  #keyReader = new KeyReader();
  #agreed: Negotiated | undefined;
  #receiving = false;
  #source: number | undefined;
  #late = 0;
  #reported = { expected: 0, lost: 0 };

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#jitter = new JitterBuffer({ depthMs: options.jitterMs });
  }

  configure(agreed: Negotiated): void {
    this.#agreed = agreed;
    const receiving = agreed.direction === "sendrecv" || agreed.direction === "recvonly";
    if (receiving !== this.#receiving) {
      this.#jitter.reset();
      this.#gaps.pause();
    }
    this.#receiving = receiving;
  }

  /** Takes a packet in; says what it carries, `undefined` when it is not to be listened to. */
  receive(packet: RtpPacket, atMs: number): CodecName | "telephone-event" | undefined {
    const kind = this.#agreed?.received.get(packet.payloadType);
    // A payload type that was not agreed on still takes a number in its source's sequence.
    if (!this.#receiving || (kind === undefined && packet.ssrc !== this.#source)) {
      this.rejected.unexpected += 1;
      return undefined;
    }
    const isAudio = kind === "PCMU" || kind === "PCMA";
    const standing = this.#sequence.receive(packet, atMs, isAudio);
    if (kind === undefined) this.rejected.unexpected += 1;
    if (standing === "duplicate" || kind === undefined) return undefined;
    if (packet.ssrc !== this.#source) this.#startSource(packet.ssrc);
    if (kind === "telephone-event") this.#receiveEvent(packet, atMs);
    else this.#receiveAudio(packet, kind, atMs);
    return kind;
  }

  tick(atMs: number): Frame | undefined {
    if (this.#agreed === undefined) return undefined;
    const { samples, concealed } = this.#jitter.take(atMs);
    this.#options.heard.append(samples, atMs);
    this.#gaps.frame(concealed, FRAME_MS);
    return { samples, rateHz: RATE_HZ, atMs, ...(concealed ? { concealed } : {}) };
  }

  statistics(): ReceivedStatistics {
    const { packets, octets, lost, duplicated, reordered, expected, jitterMs } = this.#sequence;
    const missing = expected === 0 ? 0 : (lost + this.#late) / expected;
    return {
      packets,
      bytes: octets,
      lost,
      late: this.#late,
      duplicated,
      reordered,
      rejected: { ...this.rejected },
      jitterMs,
      longestGapMs: this.#gaps.longestMs,
      concealedMs: this.#gaps.concealedMs,
      skippedMs: this.#jitter.skippedMs,
      quality: estimateQuality(missing, this.#options.jitterMs + FRAME_MS),
    };
  }

  /** A report about the source, RFC 3550 §6.4.1; `undefined` before anything was received. */
  report(): Omit<ReportBlock, "lastReport" | "delay"> | undefined {
    if (this.#source === undefined) return undefined;
    const { expected, lost, highest, jitter } = this.#sequence;
    const expectedSince = expected - this.#reported.expected;
    const lostSince = Math.max(0, lost - this.#reported.lost);
    this.#reported = { expected, lost };
    const fractionLost =
      expectedSince <= 0 ? 0 : Math.min(255, Math.floor((lostSince * 256) / expectedSince));
    return { ssrc: this.#source, fractionLost, lost, highest, jitter };
  }

  #startSource(ssrc: number): void {
    this.#source = ssrc;
    this.#jitter.reset();
    this.#keyReader = new KeyReader();
  }

  #receiveAudio(packet: RtpPacket, kind: CodecName, atMs: number): void {
    const samples = CODECS[kind].decode(packet.payload);
    if (this.#jitter.put(packet.timestamp, samples, atMs) === "late") this.#late += 1;
  }

  #receiveEvent(packet: RtpPacket, atMs: number): void {
    const event = parseTelephoneEvent(packet.payload);
    if (event === undefined) {
      this.rejected.malformed += 1;
      return;
    }
    this.#jitter.putEvent(packet.timestamp, event.duration, atMs);
    const key = this.#keyReader.read(packet);
    if (key !== undefined) this.#options.onKey(key);
  }
}
