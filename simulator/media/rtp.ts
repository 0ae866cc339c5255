/** One RTP packet (RFC 3550 §5.1). `payload` is a view into the datagram it came from. */
export interface RtpPacket {
  readonly payloadType: number;
  readonly marker: boolean;
  /** 16 bits. */
  readonly sequence: number;
  /** 32 bits, in samples for G.711. */
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

export const RTP_HEADER_OCTETS = 12;

/** Where an RTP packet's payload begins; `undefined` when the header is not whole or not RTP. */
export function payloadOffset(datagram: Uint8Array): number | undefined {
  const first = datagram[0] ?? 0;
  if (datagram.length < RTP_HEADER_OCTETS || first >> 6 !== 2) return undefined;
  let offset = RTP_HEADER_OCTETS + (first & 0x0f) * 4;
  if (first & 0x10) {
    if (datagram.length < offset + 4) return undefined;
    offset += 4 + read16(datagram, offset + 2) * 4;
  }
  return offset <= datagram.length ? offset : undefined;
}

/** Reads a packet; header extension, CSRC list and padding are skipped. `undefined` if malformed. */
export function parseRtp(datagram: Uint8Array): RtpPacket | undefined {
  const start = payloadOffset(datagram);
  if (start === undefined) return undefined;
  const padded = ((datagram[0] ?? 0) & 0x20) !== 0;
  const padding = padded ? (datagram.at(-1) ?? 0) : 0;
  const end = datagram.length - padding;
  if (end < start || (padded && padding === 0)) return undefined;
  const second = datagram[1] ?? 0;
  return {
    payloadType: second & 0x7f,
    marker: second >= 0x80,
    sequence: read16(datagram, 2),
    timestamp: read32(datagram, 4),
    ssrc: read32(datagram, 8),
    payload: datagram.subarray(start, end),
  };
}

export function formatRtp(packet: RtpPacket): Uint8Array {
  const datagram = new Uint8Array(RTP_HEADER_OCTETS + packet.payload.length);
  datagram[0] = 0x80;
  datagram[1] = (packet.marker ? 0x80 : 0) | (packet.payloadType & 0x7f);
  write16(datagram, 2, packet.sequence);
  write32(datagram, 4, packet.timestamp);
  write32(datagram, 8, packet.ssrc);
  datagram.set(packet.payload, RTP_HEADER_OCTETS);
  return datagram;
}

/** RFC 5761 §4: payload types 64-95 are not used by RTP where RTCP shares the port. */
export function isRtcp(datagram: Uint8Array): boolean {
  const second = datagram[1] ?? 0;
  return second >= 192 && second <= 223;
}

export function read16(octets: Uint8Array, offset: number): number {
  return ((octets[offset] ?? 0) << 8) | (octets[offset + 1] ?? 0);
}

export function read32(octets: Uint8Array, offset: number): number {
  return ((read16(octets, offset) << 16) | read16(octets, offset + 2)) >>> 0;
}

export function write16(octets: Uint8Array, offset: number, value: number): void {
  octets[offset] = value >>> 8;
  octets[offset + 1] = value;
}

export function write32(octets: Uint8Array, offset: number, value: number): void {
  write16(octets, offset, value >>> 16);
  write16(octets, offset + 2, value);
}
