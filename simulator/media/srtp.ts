import { AesCounter } from "./aes.ts";
import { payloadOffset, RTP_HEADER_OCTETS, read16, read32, write16, write32 } from "./rtp.ts";
import type { CryptoLine } from "./sdes.ts";
import { HmacSha1 } from "./sha1.ts";

/** What derives from one master key (RFC 3711 §4.3, key derivation rate 0). */
export interface SessionKeys {
  readonly cipher: Uint8Array;
  readonly auth: Uint8Array;
  readonly salt: Uint8Array;
}

const RTP_LABELS = { cipher: 0, auth: 1, salt: 2 } as const;
const RTCP_LABELS = { cipher: 3, auth: 4, salt: 5 } as const;
const RTCP_TAG_OCTETS = 10;
/** RFC 3711 §3.3.2: at least 64. */
const REPLAY_WINDOW = 64;
/** Sources remembered per context; the one longest known gives way. */
const LIMIT_SOURCES = 64;

/** Session keys of a 30-octet master key and salt. */
export function deriveKeys(master: Uint8Array, stream: "rtp" | "rtcp"): SessionKeys {
  const labels = stream === "rtp" ? RTP_LABELS : RTCP_LABELS;
  const cipher = new AesCounter(master.subarray(0, 16));
  const derive = (label: number, length: number) => {
    const counter = new Uint8Array(16);
    counter.set(master.subarray(16, 30));
    counter[7] = (counter[7] ?? 0) ^ label;
    const key = new Uint8Array(length);
    cipher.apply(counter, key);
    return key;
  };
  return {
    cipher: derive(labels.cipher, 16),
    auth: derive(labels.auth, 20),
    salt: derive(labels.salt, 14),
  };
}

/** Why a packet was not accepted; each is counted, none is answered. */
export type SrtpRejection = "malformed" | "authentication" | "replayed";

export type Unprotected =
  | { readonly datagram: Uint8Array; readonly rejected?: undefined }
  | { readonly rejected: SrtpRejection; readonly datagram?: undefined };

/** The packet indices of one synchronisation source; they have 48 bits and fit a number. */
class PacketIndices {
  #highest = -1;
  /** The last index seen in each residue class: older ones have left the window. */
  readonly #seen = new Float64Array(REPLAY_WINDOW).fill(-1);

  /** RFC 3711 §3.3.1: the roll-over count that brings the index nearest to the highest one seen. */
  guess(sequence: number): number {
    if (this.#highest < 0) return sequence;
    const last = this.#highest & 0xffff;
    const rollover = this.#highest - last;
    if (last < 0x8000 && sequence - last > 0x8000) {
      return Math.max(0, rollover - 0x1_0000) + sequence;
    }
    if (last >= 0x8000 && last - 0x8000 > sequence) return rollover + 0x1_0000 + sequence;
    return rollover + sequence;
  }

  isReplay(index: number): boolean {
    const age = this.#highest - index;
    return age >= 0 && (age >= REPLAY_WINDOW || this.#seen[index % REPLAY_WINDOW] === index);
  }

  remember(index: number): void {
    this.#highest = Math.max(this.#highest, index);
    this.#seen[index % REPLAY_WINDOW] = index;
  }
}

/**
 * One direction of an SRTP session: AES counter mode with HMAC-SHA1 (RFC 3711), for RTP and RTCP.
 * Packet indices follow the half-range rule of §3.3.1, so long losses across a wrap are survived.
 */
export class SrtpContext {
  readonly #rtp: { cipher: AesCounter; auth: HmacSha1; salt: Uint8Array };
  readonly #rtcp: { cipher: AesCounter; auth: HmacSha1; salt: Uint8Array };
  readonly #tagOctets: number;
  readonly #mki: Uint8Array;
  readonly #packets = new Map<number, PacketIndices>();
  readonly #reports = new Map<number, PacketIndices>();
  readonly #counter = new Uint8Array(16);
  #reportIndex = 0;

  constructor({ key, suite, mki }: Pick<CryptoLine, "key" | "suite" | "mki">) {
    this.#tagOctets = suite === "AES_CM_128_HMAC_SHA1_32" ? 4 : 10;
    this.#mki = mki === undefined ? new Uint8Array(0) : mkiOctets(mki);
    this.#rtp = ready(deriveKeys(key, "rtp"));
    this.#rtcp = ready(deriveKeys(key, "rtcp"));
  }

  /** Encrypts an RTP packet and appends the tag. Throws if it is not RTP. */
  protect(datagram: Uint8Array): Uint8Array {
    const start = payloadOffset(datagram);
    if (start === undefined) throw new RangeError("SRTP: expected an RTP packet");
    const ssrc = read32(datagram, 8);
    const indices = this.#packets.get(ssrc) ?? new PacketIndices();
    const index = indices.guess(read16(datagram, 2));
    remember(this.#packets, ssrc, indices, index);
    const end = datagram.length;
    const output = new Uint8Array(end + this.#mki.length + this.#tagOctets);
    output.set(datagram);
    this.#rtp.cipher.apply(this.#iv(this.#rtp.salt, ssrc, index), output, start, end);
    const tag = this.#rtp.auth.sign(output, end, rolloverOf(index));
    output.set(this.#mki, end);
    output.set(tag.subarray(0, this.#tagOctets), end + this.#mki.length);
    return output;
  }

  /** Checks and decrypts an SRTP packet. */
  unprotect(datagram: Uint8Array): Unprotected {
    const end = datagram.length - this.#mki.length - this.#tagOctets;
    const start = end < RTP_HEADER_OCTETS ? undefined : payloadOffset(datagram.subarray(0, end));
    if (start === undefined) return { rejected: "malformed" };
    const ssrc = read32(datagram, 8);
    const indices = this.#packets.get(ssrc) ?? new PacketIndices();
    const index = indices.guess(read16(datagram, 2));
    if (indices.isReplay(index)) return { rejected: "replayed" };
    const tag = this.#rtp.auth.sign(datagram, end, rolloverOf(index));
    if (!this.#isAuthentic(datagram, end, tag.subarray(0, this.#tagOctets))) {
      return { rejected: "authentication" };
    }
    remember(this.#packets, ssrc, indices, index);
    const output = datagram.slice(0, end);
    this.#rtp.cipher.apply(this.#iv(this.#rtp.salt, ssrc, index), output, start);
    return { datagram: output };
  }

  /** Encrypts an RTCP packet (RFC 3711 §3.4): all but its first 8 octets. */
  protectReport(datagram: Uint8Array): Uint8Array {
    const ssrc = read32(datagram, 4);
    const index = this.#reportIndex;
    this.#reportIndex = (index + 1) & 0x7fff_ffff;
    const end = datagram.length + 4;
    const output = new Uint8Array(end + this.#mki.length + RTCP_TAG_OCTETS);
    output.set(datagram);
    this.#rtcp.cipher.apply(this.#iv(this.#rtcp.salt, ssrc, index), output, 8, end - 4);
    write32(output, end - 4, index | 0x8000_0000);
    output.set(this.#mki, end);
    output.set(
      this.#rtcp.auth.sign(output, end).subarray(0, RTCP_TAG_OCTETS),
      end + this.#mki.length,
    );
    return output;
  }

  unprotectReport(datagram: Uint8Array): Unprotected {
    const end = datagram.length - this.#mki.length - RTCP_TAG_OCTETS;
    if (end < 12) return { rejected: "malformed" };
    const word = read32(datagram, end - 4);
    const ssrc = read32(datagram, 4);
    const index = word & 0x7fff_ffff;
    const indices = this.#reports.get(ssrc) ?? new PacketIndices();
    if (indices.isReplay(index)) return { rejected: "replayed" };
    const tag = this.#rtcp.auth.sign(datagram, end);
    if (!this.#isAuthentic(datagram, end, tag.subarray(0, RTCP_TAG_OCTETS))) {
      return { rejected: "authentication" };
    }
    remember(this.#reports, ssrc, indices, index);
    const output = datagram.slice(0, end - 4);
    const encrypted = word >>> 31 === 1;
    if (encrypted) this.#rtcp.cipher.apply(this.#iv(this.#rtcp.salt, ssrc, index), output, 8);
    return { datagram: output };
  }

  /** RFC 3711 §4.1.1: salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16. */
  #iv(salt: Uint8Array, ssrc: number, index: number): Uint8Array {
    const iv = this.#counter;
    iv.fill(0);
    iv.set(salt);
    write32(iv, 4, read32(iv, 4) ^ ssrc);
    write32(iv, 8, read32(iv, 8) ^ rolloverOf(index));
    write16(iv, 12, read16(iv, 12) ^ (index & 0xffff));
    return iv;
  }

  /** The MKI and the tag stand behind the packet; both have to be the expected ones. */
  #isAuthentic(datagram: Uint8Array, end: number, tag: Uint8Array): boolean {
    let difference = 0;
    for (const expected of [this.#mki, tag]) {
      const at = expected === tag ? end + this.#mki.length : end;
      for (let octet = 0; octet < expected.length; octet++) {
        difference |= (datagram[at + octet] ?? 0) ^ (expected[octet] ?? 0);
      }
    }
    return difference === 0;
  }
}

function ready({ cipher, auth, salt }: SessionKeys) {
  return { cipher: new AesCounter(cipher), auth: new HmacSha1(auth), salt };
}

function rolloverOf(index: number): number {
  return Math.floor(index / 0x1_0000);
}

function remember(
  sources: Map<number, PacketIndices>,
  ssrc: number,
  indices: PacketIndices,
  index: number,
): void {
  indices.remember(index);
  if (sources.has(ssrc)) return;
  const [oldest] = sources.keys();
  if (sources.size >= LIMIT_SOURCES && oldest !== undefined) sources.delete(oldest);
  sources.set(ssrc, indices);
}

function mkiOctets({ value, length }: { value: bigint; length: number }): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(length * 2, "0"), "hex"));
}
