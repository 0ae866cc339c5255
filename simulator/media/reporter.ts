import type { Clock } from "../clock.ts";
import type { Receiver } from "./receiver.ts";
import { formatReport, middleOfNtp, parseReport, type ReportBlock } from "./rtcp.ts";
import type { Sender } from "./sender.ts";
import { estimateQuality, type SentStatistics } from "./statistics.ts";

/** RFC 3550 §6.2: the first report comes sooner, the others every 5 s. */
const FIRST_MS = 1_000;
const PERIOD_MS = 5_000;
const SAMPLES_PER_MS = 8;
/** One-way delay assumed where no round trip was measured: jitter buffer and one frame. */
const ASSUMED_DELAY_MS = 80;

export interface ReporterOptions {
  clock: Clock;
  sender: Sender;
  receiver: Receiver;
  transmit: (report: Uint8Array) => void;
}

/** The RTCP side of a leg: sends reports, and keeps what the peer reports about us. */
export class Reporter {
  readonly #options: ReporterOptions;
  #dueMs: number | undefined;
  #packetsReported = 0;
  #heard: { middle: number; atMs: number } | undefined;
  #peer: SentStatistics["peer"];

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  tick(atMs: number): void {
    this.#dueMs ??= atMs + FIRST_MS;
    if (atMs < this.#dueMs) return;
    this.#dueMs = atMs + PERIOD_MS;
    this.report({ bye: false });
  }

  /** A sender report if anything was sent since the last one, else a receiver report. */
  report({ bye }: { bye: boolean }): void {
    const { clock, sender, transmit } = this.#options;
    const { ssrc, packets, octets, timestamp } = sender;
    const active = packets > this.#packetsReported;
    this.#packetsReported = packets;
    const info = { dateMs: clock.date().getTime(), timestamp, packets, octets };
    const blocks = this.#blocks();
    const report = { ssrc, blocks, bye, ...(active ? { sender: info } : {}) };
    transmit(formatReport(report, `${ssrc.toString(16)}@linecheck.invalid`));
  }

  receive(datagram: Uint8Array): void {
    const report = parseReport(datagram);
    if (report === undefined) {
      this.#options.receiver.rejected.malformed += 1;
      return;
    }
    const { middle } = report;
    if (middle !== undefined) this.#heard = { middle, atMs: this.#options.clock.now() };
    const block = report.blocks.find(({ ssrc }) => ssrc === this.#options.sender.ssrc);
    if (block !== undefined) this.#peer = this.#read(block);
  }

  peer(): Pick<SentStatistics, "peer" | "quality"> {
    if (this.#peer === undefined) return {};
    const { lost, roundTripMs = 0 } = this.#peer;
    const delayMs = ASSUMED_DELAY_MS + roundTripMs / 2;
    const ratio = Math.max(0, lost) / Math.max(1, this.#options.sender.packets);
    return { peer: this.#peer, quality: estimateQuality(ratio, delayMs) };
  }

  #blocks(): ReportBlock[] {
    const { clock, receiver } = this.#options;
    const about = receiver.report();
    if (about === undefined) return [];
    const sinceMs = this.#heard === undefined ? 0 : clock.now() - this.#heard.atMs;
    const delay = Math.round((sinceMs / 1_000) * 65_536);
    return [{ ...about, lastReport: this.#heard?.middle ?? 0, delay }];
  }

  #read({ lost, fractionLost, jitter, lastReport, delay }: ReportBlock): SentStatistics["peer"] {
    const now = middleOfNtp(this.#options.clock.date().getTime());
    const trip = (now - lastReport - delay) | 0;
    return {
      lost,
      fractionLost: fractionLost / 256,
      jitterMs: jitter / SAMPLES_PER_MS,
      ...(lastReport === 0 ? {} : { roundTripMs: Math.max(0, (trip * 1_000) / 65_536) }),
    };
  }
}
