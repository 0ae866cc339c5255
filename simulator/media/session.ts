import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Audio, Frame } from "./frame.ts";
import type { CodecName } from "./g711.ts";
import { type Negotiated, Negotiation, type SdpStyle } from "./negotiation.ts";
import { pace } from "./pacer.ts";
import { Receiver } from "./receiver.ts";
import { Recorder, type Recording } from "./recording.ts";
import { Reporter } from "./reporter.ts";
import { resample } from "./resample.ts";
import { formatRtp, isRtcp, parseRtp, type RtpPacket } from "./rtp.ts";
import type { SrtpSuite } from "./sdes.ts";
import { type Direction, MediaRefused } from "./sdp.ts";
import { Sender } from "./sender.ts";
import { SrtpContext } from "./srtp.ts";
import type { MediaStatistics } from "./statistics.ts";

export interface MediaSessionOptions {
  clock: Clock;
  trace: PartyTrace;
  /** Whose events these are in the trace. */
  call?: string;
  /** Address to bind, an ephemeral port (default 127.0.0.1). */
  host?: string;
  /** Address written into the SDP (default: `host`). */
  advertise?: string;
  /** In order of preference (default both laws, PCMU first). */
  codecs?: readonly CodecName[];
  /** `required` offers and takes RTP/SAVP with SDES keys only, `off` RTP/AVP only (default). */
  srtp?: "off" | "required";
  /** Offered and taken SRTP suites (default AES_CM_128_HMAC_SHA1_80). */
  suites?: readonly SrtpSuite[];
  /** How the own SDP looks. */
  style?: SdpStyle;
  /** Depth of the jitter buffer (default 60). */
  jitterMs?: number;
  /** Audio that may wait to be sent; more is dropped and counted (default 10 minutes). */
  queueLimitMs?: number;
  /** How much of each direction is kept (default 30 minutes). */
  recordLimitMs?: number;
  faults?: FaultPlan;
  /** Random octets for keys, SSRC and first numbers (default node:crypto). */
  random?: (length: number) => Uint8Array;
}

/** What a packet carries. */
export type PacketKind = CodecName | "telephone-event";

/** One leg's media: a UDP socket, its SDP, 50 packets a second out and 50 frames a second in. */
export interface MediaSession extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
  /** An SDP offer; again for hold and resume. */
  offer(options?: { direction?: Direction }): string;
  /** The SDP answer to `offer`. Throws {@link MediaRefused}. */
  answer(offer: string, options?: { direction?: Direction }): string;
  /** Takes the peer's answer to {@link MediaSession.offer}. Throws {@link MediaRefused}. */
  accept(answer: string): void;
  readonly negotiated: Negotiated | undefined;
  /** Queues a whole piece; resolves when its last frame went out, or it was aborted or flushed. */
  play(audio: Audio, options?: { signal?: AbortSignal }): Promise<{ playedMs: number }>;
  /** Queues streamed audio, chunks of any size. */
  write(samples: Int16Array, rateHz: number): void;
  readonly queuedMs: number;
  /** Drops what is queued; returns how many ms were dropped. */
  flush(): number;
  /** Presses keys (RFC 4733); resolves when the last one and its gap are over. */
  sendDigits(digits: string, options?: SendDigitsOptions): Promise<void>;
  /** One frame per 20 ms after the jitter buffer, 8 kHz, from negotiation on. */
  onFrame(listener: (frame: Frame) => void): () => void;
  /** Once per key press. */
  onDigit(listener: (digit: string) => void): () => void;
  /** Every packet as it arrives, decrypted, duplicates left out; for relays. */
  onPacket(listener: (packet: RtpPacket, kind: PacketKind) => void): () => void;
  /** Sends another leg's packet at once, under this leg's own source and numbers. */
  forward(packet: RtpPacket, kind: PacketKind): void;
  /** Whether the leg leaves its silence to a relay; see {@link MediaSession.forward}. */
  relaying(on: boolean): void;
  readonly said: Recording;
  readonly heard: Recording;
  statistics(): MediaStatistics;
}

export interface SendDigitsOptions {
  signal?: AbortSignal;
  /** Length of each tone (default 100). */
  toneMs?: number;
  /** Pause after each tone (default 60). */
  gapMs?: number;
}

const DEFAULT_QUEUE_LIMIT_MS = 10 * 60_000;
const DEFAULT_RECORD_LIMIT_MS = 30 * 60_000;
const RATE_HZ = 8_000;

/** Binds a socket; media flows when an offer was answered. */
export async function openMediaSession(options: MediaSessionOptions): Promise<MediaSession> {
  const { host = "127.0.0.1" } = options;
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  socket.bind(0, host);
  await once(socket, "listening");
  return new Session(options, socket);
}

class Session implements MediaSession {
  readonly address: { readonly host: string; readonly port: number };
  readonly said: Recorder;
  readonly heard: Recorder;
  readonly #options: MediaSessionOptions;
  readonly #socket: Socket;
  readonly #negotiation: Negotiation;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #reporter: Reporter;
  readonly #frameListeners = new Set<(frame: Frame) => void>();
  readonly #digitListeners = new Set<(digit: string) => void>();
  readonly #packetListeners = new Set<(packet: RtpPacket, kind: PacketKind) => void>();
  #negotiated: Negotiated | undefined;
  #protect: SrtpContext | undefined;
  #unprotect: SrtpContext | undefined;
  #pacing: Disposable | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MediaSessionOptions, socket: Socket) {
    const { codecs = ["PCMU", "PCMA"], srtp = "off", jitterMs = 60 } = options;
    const { suites = ["AES_CM_128_HMAC_SHA1_80"], style = {}, random = randomBytes } = options;
    const { queueLimitMs = DEFAULT_QUEUE_LIMIT_MS, recordLimitMs = DEFAULT_RECORD_LIMIT_MS } =
      options;
    const { address: bound, port } = socket.address();
    this.#options = options;
    this.#socket = socket;
    this.address = { host: options.advertise ?? bound, port };
    const description = { codecs, srtp, suites, style, random };
    this.#negotiation = new Negotiation({ address: this.address, ...description });
    this.said = new Recorder({ rateHz: RATE_HZ, limitMs: recordLimitMs });
    this.heard = new Recorder({ rateHz: RATE_HZ, limitMs: recordLimitMs });
    this.#sender = new Sender({
      random,
      queueLimitMs,
      said: this.said,
      transmit: (packet) => this.#transmit(packet),
      onKey: (digit) => this.#record({ type: "dtmf", direction: "out", digit }),
    });
    this.#receiver = new Receiver({
      jitterMs,
      heard: this.heard,
      onKey: (digit) => this.#hearKey(digit),
    });
    this.#reporter = new Reporter({
      clock: options.clock,
      sender: this.#sender,
      receiver: this.#receiver,
      transmit: (report) => this.#transmitReport(report),
    });
    socket.on("message", (datagram) => this.#receive(datagram));
    socket.on("error", (error) => {
      this.#record({ type: "error", code: "MEDIA_SOCKET", message: error.message });
    });
  }

  get negotiated(): Negotiated | undefined {
    return this.#negotiated;
  }

  get queuedMs(): number {
    return this.#sender.queue.queuedMs;
  }

  offer({ direction = "sendrecv" }: { direction?: Direction } = {}): string {
    return this.#negotiation.offer(direction);
  }

  answer(offer: string, { direction = "sendrecv" }: { direction?: Direction } = {}): string {
    const { sdp, negotiated } = this.#negotiation.answer(offer, direction);
    this.#agree(negotiated);
    return sdp;
  }

  accept(answer: string): void {
    this.#agree(this.#negotiation.accept(answer));
  }

  async play(
    audio: Audio,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<{ playedMs: number }> {
    if (signal?.aborted || this.#closed !== undefined) return { playedMs: 0 };
    const { promise, resolve } = Promise.withResolvers<number>();
    const samples = resample(audio.samples, audio.rateHz, RATE_HZ);
    const drop = this.#sender.queue.play(samples, resolve);
    signal?.addEventListener("abort", drop, { once: true });
    const playedMs = await promise;
    signal?.removeEventListener("abort", drop);
    return { playedMs };
  }

  write(samples: Int16Array, rateHz: number): void {
    if (this.#closed === undefined) this.#sender.queue.write(samples, rateHz);
  }

  flush(): number {
    return this.#sender.queue.flush();
  }

  async sendDigits(
    digits: string,
    { signal, toneMs = 100, gapMs = 60 }: SendDigitsOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    if (this.#negotiated?.telephoneEvent === undefined) {
      throw new MediaRefused("CannotSupportAnyMedia", "the peer takes no telephone-event");
    }
    const release = () => this.#sender.releaseKeys();
    signal?.addEventListener("abort", release, { once: true });
    await this.#sender.press(digits, { toneMs, gapMs });
    signal?.removeEventListener("abort", release);
    signal?.throwIfAborted();
  }

  onFrame(listener: (frame: Frame) => void): () => void {
    return subscribe(this.#frameListeners, listener);
  }

  onDigit(listener: (digit: string) => void): () => void {
    return subscribe(this.#digitListeners, listener);
  }

  onPacket(listener: (packet: RtpPacket, kind: PacketKind) => void): () => void {
    return subscribe(this.#packetListeners, listener);
  }

  forward(packet: RtpPacket, kind: PacketKind): void {
    this.#sender.forward(packet, kind, this.#options.clock.now());
  }

  relaying(on: boolean): void {
    this.#sender.relaying(on);
  }

  statistics(): MediaStatistics {
    const { packets, octets, queue } = this.#sender;
    const sent = { packets, bytes: octets, droppedMs: queue.droppedMs, ...this.#reporter.peer() };
    return { sent, received: this.#receiver.statistics() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    this.#pacing?.[Symbol.dispose]();
    this.#sender.queue.flush();
    this.#sender.releaseKeys();
    if (this.#negotiated !== undefined) {
      this.#reporter.report({ bye: true });
      const detail = { ...this.statistics(), saidMs: this.said.durationMs };
      this.#record({ type: "media", kind: "stopped", detail });
    }
    const closed = once(this.#socket, "close");
    // A turn of the loop lets the last datagram leave before its socket does.
    setImmediate(() => this.#socket.close());
    await closed;
  }

  #agree(negotiated: Negotiated): void {
    const renegotiated = this.#negotiated !== undefined;
    this.#takeKeys(negotiated);
    this.#negotiated = negotiated;
    this.#sender.configure(negotiated);
    this.#receiver.configure(negotiated);
    const { codec, srtp, direction, remote } = negotiated;
    const ends = { local: hostPort(this.address), remote: hostPort(remote) };
    const detail = { codec, srtp, direction, ...ends, renegotiated };
    this.#record({ type: "media", kind: "started", detail });
    this.#pacing ??= pace(this.#options.clock, {
      send: (atMs) => this.#send(atMs),
      playOut: (atMs) => this.#playOut(atMs),
    });
  }

  /** A new key starts a new context; an old one goes on with its roll-over count. */
  #takeKeys({ keys }: Negotiated): void {
    if (keys === undefined) return;
    const before = this.#negotiated?.keys;
    if (!isSameKey(before?.local, keys.local)) this.#protect = new SrtpContext(keys.local);
    if (!isSameKey(before?.remote, keys.remote)) this.#unprotect = new SrtpContext(keys.remote);
  }

  #send(atMs: number): void {
    this.#sender.tick(atMs);
    this.#reporter.tick(atMs);
  }

  #playOut(atMs: number): void {
    const frame = this.#receiver.tick(atMs);
    if (frame === undefined) return;
    for (const listener of this.#frameListeners) listener(frame);
  }

  #receive(datagram: Uint8Array): void {
    if (this.#negotiated === undefined) return;
    if (isRtcp(datagram)) return this.#receiveReport(datagram);
    const plain = this.#open(datagram, "unprotect");
    if (plain === undefined) return;
    const packet = parseRtp(plain);
    if (packet === undefined) {
      this.#receiver.rejected.malformed += 1;
      return;
    }
    const kind = this.#receiver.receive(packet, this.#options.clock.now());
    if (kind === undefined) return;
    for (const listener of this.#packetListeners) listener(packet, kind);
  }

  #receiveReport(datagram: Uint8Array): void {
    const plain = this.#open(datagram, "unprotectReport");
    if (plain !== undefined) this.#reporter.receive(plain);
  }

  #open(datagram: Uint8Array, how: "unprotect" | "unprotectReport"): Uint8Array | undefined {
    if (this.#unprotect === undefined) return datagram;
    const opened = this.#unprotect[how](datagram);
    if (opened.rejected !== undefined) this.#receiver.rejected[opened.rejected] += 1;
    return opened.datagram;
  }

  #transmit(packet: RtpPacket): void {
    if (this.#negotiated === undefined || this.#closed !== undefined) return;
    const plain = formatRtp(packet);
    const { host, port } = this.#negotiated.remote;
    this.#socket.send(this.#protect?.protect(plain) ?? plain, port, host);
  }

  #transmitReport(report: Uint8Array): void {
    if (this.#negotiated === undefined) return;
    const { remote, remoteRtcpPort } = this.#negotiated;
    this.#socket.send(this.#protect?.protectReport(report) ?? report, remoteRtcpPort, remote.host);
  }

  #hearKey(digit: string): void {
    this.#record({ type: "dtmf", direction: "in", digit });
    for (const listener of this.#digitListeners) listener(digit);
  }

  #record(event: Parameters<PartyTrace["record"]>[0]): void {
    this.#options.trace.record(event, this.#options.call);
  }
}

function subscribe<Listener>(listeners: Set<Listener>, listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function hostPort({ host, port }: { host: string; port: number }): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

function isSameKey(one: { key: Uint8Array } | undefined, other: { key: Uint8Array }): boolean {
  return one !== undefined && Buffer.compare(one.key, other.key) === 0;
}
