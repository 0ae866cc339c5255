import { read16, read32, write16, write32 } from "./rtp.ts";

/** RFC 3550 §6.4: what one source reports about another. */
export interface ReportBlock {
  readonly ssrc: number;
  /** Lost since the last report, in 256ths. */
  readonly fractionLost: number;
  readonly lost: number;
  readonly highest: number;
  /** In timestamp units. */
  readonly jitter: number;
  /** Middle 32 bits of the last sender report's NTP time, and the delay since, in 1/65536 s. */
  readonly lastReport: number;
  readonly delay: number;
}

export interface SenderInfo {
  /** Calendar time in milliseconds since 1970. */
  readonly dateMs: number;
  readonly timestamp: number;
  readonly packets: number;
  readonly octets: number;
}

/** A compound packet, reduced to what a telephone leg needs of it. */
export interface Report {
  readonly ssrc: number;
  readonly sender?: SenderInfo;
  /** Of a sender report received: what answers it in {@link ReportBlock.lastReport}. */
  readonly middle?: number;
  readonly blocks: readonly ReportBlock[];
  readonly bye: boolean;
}

const SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const SOURCE_DESCRIPTION = 202;
const GOODBYE = 203;
const BLOCK_OCTETS = 24;
/** 1900 to 1970. */
const NTP_OFFSET_S = 2_208_988_800;
const FRACTION = 2 ** 32;

/** SR or RR, then SDES with the CNAME, then BYE if asked for (RFC 3550 §6.1 wants that order). */
export function formatReport(report: Report, cname: string): Uint8Array {
  const parts = [formatFirst(report), formatName(report.ssrc, cname)];
  if (report.bye) parts.push(header(GOODBYE, 1, 8, report.ssrc));
  return Buffer.concat(parts);
}

/** Reads a compound packet; `undefined` when any part of it is malformed. */
export function parseReport(datagram: Uint8Array): Report | undefined {
  const parts = splitCompound(datagram);
  if (parts === undefined) return undefined;
  const senders = parts.filter((part) => part[1] === SENDER_REPORT);
  const blocks = [
    ...senders.map((part) => parseBlocks(part, 28)),
    ...parts.filter((part) => part[1] === RECEIVER_REPORT).map((part) => parseBlocks(part, 8)),
  ];
  if (blocks.includes(undefined)) return undefined;
  const [first] = senders;
  return {
    ssrc: read32(datagram, 4),
    // As it stands there: many a sender's clock starts at zero and knows no date.
    ...(first === undefined ? {} : { sender: parseSender(first), middle: read32(first, 10) }),
    blocks: blocks.flatMap((some) => some ?? []),
    bye: parts.some((part) => part[1] === GOODBYE),
  };
}

function splitCompound(datagram: Uint8Array): Uint8Array[] | undefined {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < datagram.length; ) {
    const length = (read16(datagram, offset + 2) + 1) * 4;
    const part = datagram.subarray(offset, offset + length);
    if (length < 8 || part.length !== length || (part[0] ?? 0) >> 6 !== 2) return undefined;
    parts.push(part);
    offset += length;
  }
  return parts.length === 0 ? undefined : parts;
}

/** Middle 32 bits of an NTP timestamp, which `lastReport` and the round trip are counted in. */
export function middleOfNtp(dateMs: number): number {
  const seconds = Math.floor(dateMs / 1_000) + NTP_OFFSET_S;
  const fraction = Math.floor(((dateMs % 1_000) / 1_000) * 65_536);
  return (((seconds & 0xffff) << 16) | fraction) >>> 0;
}

function formatFirst({ ssrc, sender, blocks }: Report): Uint8Array {
  const fixed = sender === undefined ? 8 : 28;
  const type = sender === undefined ? RECEIVER_REPORT : SENDER_REPORT;
  const packet = header(type, blocks.length, fixed + blocks.length * BLOCK_OCTETS, ssrc);
  if (sender !== undefined) {
    write32(packet, 8, Math.floor(sender.dateMs / 1_000) + NTP_OFFSET_S);
    write32(packet, 12, Math.floor(((sender.dateMs % 1_000) / 1_000) * FRACTION));
    write32(packet, 16, sender.timestamp);
    write32(packet, 20, sender.packets);
    write32(packet, 24, sender.octets);
  }
  blocks.forEach((block, index) => writeBlock(packet, fixed + index * BLOCK_OCTETS, block));
  return packet;
}

function writeBlock(packet: Uint8Array, offset: number, block: ReportBlock): void {
  write32(packet, offset, block.ssrc);
  const lost = Math.max(-0x80_0000, Math.min(0x7f_ffff, block.lost));
  write32(packet, offset + 4, ((block.fractionLost & 0xff) << 24) | (lost & 0xff_ffff));
  write32(packet, offset + 8, block.highest);
  write32(packet, offset + 12, block.jitter);
  write32(packet, offset + 16, block.lastReport);
  write32(packet, offset + 20, block.delay);
}

function parseBlocks(part: Uint8Array, first: number): ReportBlock[] | undefined {
  const count = (part[0] ?? 0) & 0x1f;
  if (part.length < first + count * BLOCK_OCTETS) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const offset = first + index * BLOCK_OCTETS;
    const losses = read32(part, offset + 4);
    return {
      ssrc: read32(part, offset),
      fractionLost: losses >>> 24,
      lost: (losses << 8) >> 8,
      highest: read32(part, offset + 8),
      jitter: read32(part, offset + 12),
      lastReport: read32(part, offset + 16),
      delay: read32(part, offset + 20),
    };
  });
}

function parseSender(part: Uint8Array): SenderInfo {
  const seconds = read32(part, 8) - NTP_OFFSET_S;
  return {
    dateMs: seconds * 1_000 + (read32(part, 12) / FRACTION) * 1_000,
    timestamp: read32(part, 16),
    packets: read32(part, 20),
    octets: read32(part, 24),
  };
}

function formatName(ssrc: number, cname: string): Uint8Array {
  const name = Buffer.from(cname.slice(0, 255));
  const length = Math.ceil((8 + 2 + name.length + 1) / 4) * 4;
  const packet = header(SOURCE_DESCRIPTION, 1, length, ssrc);
  packet.set([1, name.length], 8);
  packet.set(name, 10);
  return packet;
}

function header(type: number, count: number, lengthOctets: number, ssrc: number): Uint8Array {
  const packet = new Uint8Array(lengthOctets);
  packet[0] = 0x80 | count;
  packet[1] = type;
  write16(packet, 2, lengthOctets / 4 - 1);
  write32(packet, 4, ssrc);
  return packet;
}
