import { CODECS, type CodecName } from "./g711.ts";
import {
  type CryptoLine,
  formatCryptoLine,
  isUsable,
  parseCryptoLine,
  type SrtpSuite,
} from "./sdes.ts";
import {
  type Attribute,
  attribute,
  type Direction,
  directionOf,
  encodingOf,
  formatSdp,
  hostOf,
  type MediaDescription,
  MediaRefused,
  parseSdp,
  type SessionDescription,
} from "./sdp.ts";

/** What both sides agreed on for one leg. */
export interface Negotiated {
  /** The codec this side sends; either G.711 law is understood when received. */
  readonly codec: CodecName;
  readonly payloadType: number;
  readonly remote: { readonly host: string; readonly port: number };
  /** Where reports go: the RTP port with `a=rtcp-mux`, else `a=rtcp`, else the port above. */
  readonly remoteRtcpPort: number;
  readonly srtp: boolean;
  /** Payload type of RFC 4733 events to send; absent when the peer takes none. */
  readonly telephoneEvent?: number;
  /** Seen from this side. */
  readonly direction: Direction;
  /** What an arriving payload type is. */
  readonly received: ReadonlyMap<number, CodecName | "telephone-event">;
  readonly keys?: { readonly local: CryptoLine; readonly remote: CryptoLine };
}

/** How one's own descriptions look where that is a matter of taste; the default is the shortest. */
export interface SdpStyle {
  /** `s=` line (default `-`). */
  readonly sessionName?: string;
  /** `b=` line of the session, such as `CT:10000000` (default none). */
  readonly bandwidth?: string;
  /** Tag of the first offered `a=crypto` line (default 1). */
  readonly firstCryptoTag?: number;
  /** Further attributes of the audio section, such as `label:main-audio`. */
  readonly attributes?: readonly Attribute[];
}

export interface NegotiationOptions {
  address: { host: string; port: number };
  codecs: readonly CodecName[];
  srtp: "off" | "required";
  suites: readonly SrtpSuite[];
  style: SdpStyle;
  /** Random octets, for keys and the session's id. */
  random: (length: number) => Uint8Array;
}

const EVENT_PAYLOAD_TYPE = 101;
const EVENT_ENCODING = "TELEPHONE-EVENT/8000";
/** RFC 4568 §6.1: the longest life of an SRTP master key, as Microsoft writes it. */
const KEY_LIFETIME = "2^31";

/**
 * One side of SDP offer/answer (RFC 3264) for one audio stream, plain or with SDES keys (RFC 4568).
 * Later offers and answers keep the session's id and keys and count the version up.
 */
export class Negotiation {
  readonly #options: NegotiationOptions;
  readonly #id: string;
  readonly #offered: readonly CryptoLine[];
  #version = 0;
  #direction: Direction = "sendrecv";

  constructor(options: NegotiationOptions) {
    this.#options = options;
    const id = Buffer.from(options.random(4)).readUInt32BE();
    this.#id = String(id);
    this.#offered =
      options.srtp === "off"
        ? []
        : options.suites.map((suite, index) => ({
            tag: index + (options.style.firstCryptoTag ?? 1),
            suite,
            key: options.random(30),
            lifetime: KEY_LIFETIME,
            parameters: [],
          }));
  }

  offer(direction: Direction): string {
    this.#direction = direction;
    return this.#describe([
      this.#audio({
        formats: [
          ...this.#options.codecs.map((name) => ({
            type: CODECS[name].payloadType,
            encoding: `${name}/8000`,
          })),
          { type: EVENT_PAYLOAD_TYPE, encoding: EVENT_ENCODING },
        ],
        crypto: this.#offered,
        direction,
        rtcpMux: true,
      }),
    ]);
  }

  /** The answer and what it settles. Throws {@link MediaRefused}. */
  answer(text: string, direction: Direction): { sdp: string; negotiated: Negotiated } {
    const offer = parseSdp(text);
    const { index, media } = audioOf(offer);
    const agreed = this.#agree(offer, media);
    const keys = this.#answerKeys(media);
    const own = meet(reverse(directionOf(offer, media)), direction);
    this.#direction = direction;
    const events = agreed.telephoneEvent;
    const audio = this.#audio({
      formats: [
        { type: agreed.payloadType, encoding: `${agreed.codec}/8000` },
        ...(events === undefined ? [] : [{ type: events, encoding: EVENT_ENCODING }]),
      ],
      crypto: keys === undefined ? [] : [keys.local],
      direction: own,
      rtcpMux: attribute(media, "rtcp-mux") !== undefined,
    });
    const sections = offer.media.map((entry, at) => (at === index ? audio : declined(entry)));
    return {
      sdp: this.#describe(sections),
      negotiated: { ...agreed, direction: own, ...(keys === undefined ? {} : { keys }) },
    };
  }

  /** What the peer's answer to {@link offer} settles. Throws {@link MediaRefused}. */
  accept(text: string): Negotiated {
    const answer = parseSdp(text);
    const { media } = audioOf(answer);
    const agreed = this.#agree(answer, media);
    const keys = this.#acceptKeys(media);
    const direction = meet(this.#direction, reverse(directionOf(answer, media)));
    return { ...agreed, direction, ...(keys === undefined ? {} : { keys }) };
  }

  #agree(session: SessionDescription, media: MediaDescription): Omit<Negotiated, "direction"> {
    const host = hostOf(session, media);
    if (host === "0.0.0.0" || host === "::") {
      throw refused("BlackholeMedia", `media address ${host} receives nothing; hold is a=inactive`);
    }
    this.#checkProfile(media);
    const received = payloadTypes(media);
    const chosen = [...received].find(([, name]) => this.#supports(name));
    if (chosen === undefined || chosen[1] === "telephone-event") {
      const wanted = this.#options.codecs.join(" or ");
      throw refused(
        "CannotSupportAnyMedia",
        `expected ${wanted}, got ${media.formats.join(" ").slice(0, 80)}`,
      );
    }
    const event = [...received].find(([, name]) => name === "telephone-event");
    const muxed = attribute(media, "rtcp-mux") !== undefined;
    return {
      codec: chosen[1],
      payloadType: chosen[0],
      remote: { host, port: media.port },
      remoteRtcpPort: muxed ? media.port : rtcpPort(media),
      srtp: this.#options.srtp === "required",
      ...(event === undefined ? {} : { telephoneEvent: event[0] }),
      // Our own offer's numbers stay valid even where the answer uses others (RFC 3264 §6.1).
      received: new Map([
        [0, "PCMU"],
        [8, "PCMA"],
        [EVENT_PAYLOAD_TYPE, "telephone-event"],
        ...received,
      ]),
    };
  }

  #supports(name: CodecName | "telephone-event"): boolean {
    return name !== "telephone-event" && this.#options.codecs.includes(name);
  }

  #checkProfile({ profile }: MediaDescription): void {
    if (this.#options.srtp === "off") {
      if (profile === "RTP/AVP" || profile === "RTP/AVPF") return;
      throw refused("CannotSupportAnyMedia", `expected RTP/AVP, got ${profile}`);
    }
    if (profile === "RTP/SAVP" || profile === "RTP/SAVPF") return;
    throw refused("SrtpEncryptionRequired", `expected RTP/SAVP, got ${profile}`);
  }

  /** The first usable line of the offer is taken, under its own tag (RFC 4568 §5.1.2). */
  #answerKeys(media: MediaDescription): Negotiated["keys"] {
    if (this.#options.srtp === "off") return undefined;
    const { suites } = this.#options;
    const lines = cryptoLines(media);
    const remote = lines.find((line) => isUsable(line, suites));
    if (remote === undefined) {
      const got = lines.map(({ suite }) => suite).join(", ") || "no a=crypto line";
      throw refused("SrtpEncryptionRequired", `expected ${suites.join(" or ")}, got ${got}`);
    }
    const own = this.#offered.find(({ suite }) => suite === remote.suite);
    if (own === undefined) throw refused("SrtpEncryptionRequired", `no key for ${remote.suite}`);
    return { local: { ...own, tag: remote.tag }, remote };
  }

  #acceptKeys(media: MediaDescription): Negotiated["keys"] {
    if (this.#options.srtp === "off") return undefined;
    const [remote, ...more] = cryptoLines(media);
    if (remote === undefined || more.length > 0) {
      const got = remote === undefined ? "none" : `${more.length + 1}`;
      throw refused("SrtpEncryptionRequired", `expected one usable a=crypto line, got ${got}`);
    }
    const local = this.#offered.find(({ tag }) => tag === remote.tag);
    if (
      local === undefined ||
      local.suite !== remote.suite ||
      !isUsable(remote, [local.suite as SrtpSuite])
    ) {
      const offered = this.#offered.map(({ tag, suite }) => `${tag} ${suite}`).join(", ");
      throw refused(
        "InvalidSdp",
        `a=crypto:${remote.tag} ${remote.suite} answers none of ${offered}`,
      );
    }
    return { local, remote };
  }

  #describe(media: readonly MediaDescription[]): string {
    this.#version += 1;
    const { host } = this.#options.address;
    const { sessionName = "-", bandwidth } = this.#options.style;
    return formatSdp({
      origin: { username: "-", id: this.#id, version: String(this.#version), host },
      name: sessionName,
      host,
      ...(bandwidth === undefined ? {} : { bandwidth }),
      attributes: [],
      media,
    });
  }

  #audio({ formats, crypto, direction, rtcpMux }: AudioSection): MediaDescription {
    const { port } = this.#options.address;
    return {
      kind: "audio",
      port,
      profile: this.#options.srtp === "required" ? "RTP/SAVP" : "RTP/AVP",
      formats: formats.map(({ type }) => String(type)),
      attributes: [
        ...formats.flatMap(formatAttributes),
        { name: "ptime", value: "20" },
        { name: "rtcp", value: String(port) },
        ...(rtcpMux ? [{ name: "rtcp-mux" }] : []),
        ...crypto.map((line) => ({ name: "crypto", value: formatCryptoLine(line) })),
        ...(this.#options.style.attributes ?? []),
        { name: direction },
      ],
    };
  }
}

const isAudio = ({ kind }: MediaDescription) => kind === "audio";

/** The first audio section that is not declined. */
function audioOf({ media }: SessionDescription): { index: number; media: MediaDescription } {
  if (!media.some(isAudio)) throw refused("InvalidSdp", "expected an m=audio section, got none");
  const index = media.findIndex((section) => isAudio(section) && section.port !== 0);
  const found = media[index];
  if (found === undefined) throw refused("CannotSupportAnyMedia", "every m=audio has port 0");
  return { index, media: found };
}

interface AudioSection {
  formats: readonly { type: number; encoding: string }[];
  crypto: readonly CryptoLine[];
  direction: Direction;
  rtcpMux: boolean;
}

/** The payload types of a section that this room knows, in the section's order. */
function payloadTypes(media: MediaDescription): Map<number, CodecName | "telephone-event"> {
  const known = new Map<number, CodecName | "telephone-event">();
  // Each once: a hostile section lists thousands, and each is looked up in all its attributes.
  for (const format of new Set(media.formats)) {
    const type = /^\d{1,3}$/.test(format) ? Number(format) : Number.NaN;
    if (!(type <= 127)) continue;
    const encoding = encodingOf(media, format);
    if (encoding === "PCMU/8000") known.set(type, "PCMU");
    if (encoding === "PCMA/8000") known.set(type, "PCMA");
    if (encoding === EVENT_ENCODING) known.set(type, "telephone-event");
  }
  return known;
}

function cryptoLines(media: MediaDescription): CryptoLine[] {
  return media.attributes
    .filter(({ name }) => name === "crypto")
    .map(({ value }) => parseCryptoLine(value ?? ""))
    .filter((line) => line !== undefined);
}

function formatAttributes({ type, encoding }: { type: number; encoding: string }): Attribute[] {
  const isEvent = encoding === EVENT_ENCODING;
  const name = isEvent ? encoding.toLowerCase() : encoding;
  const map = { name: "rtpmap", value: `${type} ${name}` };
  return isEvent ? [map, { name: "fmtp", value: `${type} 0-16` }] : [map];
}

/** RFC 3264 §6: a stream that is not wanted is answered with port 0. */
function declined({ kind, profile, formats }: MediaDescription): MediaDescription {
  return { kind, port: 0, profile, formats, attributes: [] };
}

/** RFC 3605, else the next port (RFC 3550 §11). */
function rtcpPort(media: MediaDescription): number {
  const port = Number.parseInt(attribute(media, "rtcp") ?? "", 10);
  return port > 0 && port <= 65_535 ? port : Math.min(media.port + 1, 65_535);
}

const sends = (direction: Direction) => direction === "sendrecv" || direction === "sendonly";
const receives = (direction: Direction) => direction === "sendrecv" || direction === "recvonly";

function direct(send: boolean, receive: boolean): Direction {
  if (send) return receive ? "sendrecv" : "sendonly";
  return receive ? "recvonly" : "inactive";
}

/** The same stream seen from the other side. */
function reverse(direction: Direction): Direction {
  return direct(receives(direction), sends(direction));
}

function meet(one: Direction, other: Direction): Direction {
  return direct(sends(one) && sends(other), receives(one) && receives(other));
}

function refused(code: MediaRefused["code"], message: string): MediaRefused {
  return new MediaRefused(code, message);
}
