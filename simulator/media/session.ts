import { randomBytes } from "node:crypto";
import type { Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Audio, Frame } from "./frame.ts";
import type { CodecName } from "./g711.ts";
import type { Impairment, ImpairmentTally } from "./impair.ts";
import { planMediaFaults } from "./media-faults.ts";
import { type Negotiated, Negotiation, type SdpStyle } from "./negotiation.ts";
import { pace } from "./pacer.ts";
import { Receiver } from "./receiver.ts";
import { Recorder, type Recording } from "./recording.ts";
import { Reporter } from "./reporter.ts";
import { resample } from "./resample.ts";
import { formatRtp, parseRtp, type RtpPacket } from "./rtp.ts";
import type { SrtpSuite } from "./sdes.ts";
import { type Direction, MediaRefused } from "./sdp.ts";
import { Sender } from "./sender.ts";
import type { MediaStatistics } from "./statistics.ts";
import { bindSocket, Wire } from "./wire.ts";

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
  /** Asked for `media.impair` and `media.stop-sending` when media starts. */
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
  /** Makes one direction's network bad, or good again; returns the tally from now on. */
  impair(direction: "in" | "out", impairment?: Impairment): ImpairmentTally | undefined;
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
  return new Session(options, await bindSocket(options.host ?? "127.0.0.1"));
}

class Session implements MediaSession {
  readonly address: { readonly host: string; readonly port: number };
  readonly said: Recorder;
  readonly heard: Recorder;
  readonly #options: MediaSessionOptions;
  readonly #wire: Wire;
  readonly #negotiation: Negotiation;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #reporter: Reporter;
  readonly #frameListeners = new Set<(frame: Frame) => void>();
  readonly #digitListeners = new Set<(digit: string) => void>();
  readonly #packetListeners = new Set<(packet: RtpPacket, kind: PacketKind) => void>();
  #negotiated: Negotiated | undefined;
  #silentFromMs = Number.POSITIVE_INFINITY;
  #pacing: Disposable | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MediaSessionOptions, socket: Socket) {
    const { codecs = ["PCMU", "PCMA"], srtp = "off", jitterMs = 60 } = options;
    const { suites = ["AES_CM_128_HMAC_SHA1_80"], style = {}, random = randomBytes } = options;
    const { queueLimitMs = DEFAULT_QUEUE_LIMIT_MS, recordLimitMs = DEFAULT_RECORD_LIMIT_MS } =
      options;
    this.#options = options;
    this.#wire = new Wire(socket, options.clock, {
      onRtp: (datagram) => this.#receive(datagram),
      onRtcp: (datagram) => this.#reporter.receive(datagram),
      onRejected: (reason) => void (this.#receiver.rejected[reason] += 1),
      onError: ({ message }) => this.#record({ type: "error", code: "MEDIA_SOCKET", message }),
    });
    this.address = { host: options.advertise ?? this.#wire.host, port: this.#wire.port };
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
      transmit: (report) => this.#wire.sendRtcp(report),
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
    this.#checkKeypad();
    const { pressed, release } = this.#sender.press(digits, { toneMs, gapMs });
    signal?.addEventListener("abort", release, { once: true });
    try {
      await pressed;
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", release);
    }
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

  impair(direction: "in" | "out", impairment?: Impairment): ImpairmentTally | undefined {
    return this.#wire.impair(direction, impairment);
  }

  statistics(): MediaStatistics {
    const { packets, octets, queue, skippedMs } = this.#sender;
    const sent = {
      packets,
      bytes: octets,
      droppedMs: queue.droppedMs,
      skippedMs,
      ...this.#reporter.peer(),
    };
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
    await this.#wire.close();
  }

  #agree(negotiated: Negotiated): void {
    const renegotiated = this.#negotiated !== undefined;
    if (!renegotiated) this.#strikeFaults();
    this.#wire.connect(negotiated);
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

  #checkKeypad(): void {
    if (this.#closed !== undefined) throw new Error("the leg has ended");
    if (this.#negotiated?.telephoneEvent !== undefined) return;
    throw new MediaRefused("CannotSupportAnyMedia", "the peer takes no telephone-event");
  }

  #strikeFaults(): void {
    const { faults, clock } = this.#options;
    const { impairments, stopSendingAfterMs, struck } = planMediaFaults(faults);
    for (const { direction, impairment } of impairments) this.impair(direction, impairment);
    if (stopSendingAfterMs !== undefined) this.#silentFromMs = clock.now() + stopSendingAfterMs;
    for (const { name, detail } of struck) this.#record({ type: "fault", name, detail });
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
    const packet = parseRtp(datagram);
    if (packet === undefined) {
      this.#receiver.rejected.malformed += 1;
      return;
    }
    const kind = this.#receiver.receive(packet, this.#options.clock.now());
    if (kind === undefined) return;
    for (const listener of this.#packetListeners) listener(packet, kind);
  }

  #transmit(packet: RtpPacket): void {
    if (this.#closed !== undefined || this.#options.clock.now() >= this.#silentFromMs) return;
    this.#wire.sendRtp(formatRtp(packet));
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
