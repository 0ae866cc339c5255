import {
  createOutboundAudioData,
  createOutboundStopAudioData,
} from "@azure/communication-call-automation";
import type { RawData, WebSocket } from "ws";
import { watchPulse } from "./pulse.ts";

/** What the socket announces before its first audio (Call Automation, audio streaming). */
interface AudioMetadata {
  readonly subscriptionId: string;
  readonly rateHz: number;
  readonly channels: number;
}

export interface MediaStreamOptions {
  readonly rateHz: number;
  /** How far ahead of the caller's ear audio is sent. Bounds what a lost StopAudio could play. */
  readonly leadMs: number;
  /** From sending to play-out; audio this young does not count as played. */
  readonly latencyMs: number;
  /** How long a lost socket may be missing before the stream counts as closed. */
  readonly graceMs: number;
  /** A socket without a sign of life is pinged after this long; see {@link watchPulse}. */
  readonly pulseMs?: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly onAudio: (samples: Uint8Array) => void;
  readonly onMetadata?: (metadata: AudioMetadata) => void;
}

/** The largest piece sent at once; the service takes any size. */
const CHUNK_MS = 100;
/** The service sends audio every 20 ms, also of a caller who says nothing. */
const PULSE_MS = 750;
/** More than this waiting to be spoken is a fault of the caller of {@link MediaStream.write}. */
const QUEUE_LIMIT_MS = 300_000;

/**
 * One call's media socket. Audio to the caller is queued here and sent at most `leadMs` ahead, so
 * what the caller has really heard is known from the clock: the service plays its queue in real
 * time, from the moment the first piece arrives, until StopAudio empties it.
 */
export class MediaStream {
  #socket: WebSocket | undefined;
  readonly #options: MediaStreamOptions;
  readonly #closed = Promise.withResolvers<void>();
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  /** Audio handed to the service since the start, less what StopAudio removed. */
  #sentMs = 0;
  /** When the service will have played all of it. */
  #playedAt = 0;
  #pump: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;
  #open = true;

  constructor(socket: WebSocket, options: MediaStreamOptions) {
    this.#options = options;
    this.attach(socket);
  }

  /** Takes the socket with which the service comes back after it lost the one before. */
  attach(socket: WebSocket): void {
    clearTimeout(this.#grace);
    this.#unwatch?.();
    this.#socket = socket;
    socket.on("message", (data) => this.#receive(data));
    socket.once("close", () => this.#lost(socket));
    // It may have been lost before anybody listened, while the call was still being answered.
    if (socket.readyState > socket.OPEN) return this.#lost(socket);
    if (!this.#open) return;
    this.#watch(socket);
    this.#send();
  }

  /** Resolves when the socket is gone for good, whoever closed it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get open(): boolean {
    return this.#open;
  }

  get rateHz(): number {
    return this.#options.rateHz;
  }

  /** Milliseconds of this stream that have reached the caller's ear. */
  get playedMs(): number {
    const now = this.#options.now() - this.#options.latencyMs;
    return Math.max(0, this.#sentMs - Math.max(0, this.#playedAt - now));
  }

  /** Where on the stream's time line the next written audio will begin. */
  get writtenMs(): number {
    return this.#sentMs + this.#durationMs(this.#queuedBytes);
  }

  /** Milliseconds written and not yet heard. */
  get pendingMs(): number {
    return this.writtenMs - this.playedMs;
  }

  /** Queues 16-bit little-endian mono PCM at the stream's rate; any length. */
  write(samples: Uint8Array): void {
    if (!this.#open || samples.length === 0) return;
    if (this.#durationMs(this.#queuedBytes) > QUEUE_LIMIT_MS) {
      throw new RangeError(`more than ${QUEUE_LIMIT_MS} ms of audio wait to be sent`);
    }
    this.#queue.push(samples);
    this.#queuedBytes += samples.length;
    this.#send();
  }

  /** Empties both queues. Returns how far the caller has heard; the time line continues there. */
  stop(): number {
    const playedMs = this.playedMs;
    const pending = this.pendingMs > 0;
    clearTimeout(this.#pump);
    this.#pump = undefined;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#sentMs = playedMs;
    this.#playedAt = this.#options.now() - this.#options.latencyMs;
    if (pending) this.#transmit(createOutboundStopAudioData());
    return playedMs;
  }

  /** Resolves when everything written has been heard, or the socket is gone; rejects on abort. */
  async drained(signal: AbortSignal): Promise<void> {
    while (this.#open && this.pendingMs > 0) {
      await this.#pause(this.pendingMs, signal);
    }
    signal.throwIfAborted();
  }

  close(): void {
    this.#end();
    this.#socket?.close(1000);
  }

  async #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(1, delayMs));
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await Promise.race([promise, this.closed]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  #send(): void {
    const { now, leadMs } = this.#options;
    while (this.#socket !== undefined && this.#queuedBytes > 0 && this.#playedAt - now() < leadMs) {
      const chunk = this.#take(this.#bytes(CHUNK_MS));
      this.#playedAt = Math.max(this.#playedAt, now()) + this.#durationMs(chunk.length);
      this.#sentMs += this.#durationMs(chunk.length);
      this.#transmit(createOutboundAudioData(Buffer.from(chunk).toString("base64")));
    }
    if (this.#queuedBytes > 0) this.#pump ??= setTimeout(() => this.#resume(), CHUNK_MS);
  }

  #resume(): void {
    this.#pump = undefined;
    if (this.#open) this.#send();
  }

  /** The next `wanted` bytes of the queue, or what there is. */
  #take(wanted: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let lengthBytes = 0;
    while (lengthBytes < wanted) {
      const head = this.#queue.shift();
      if (head === undefined) break;
      const part = head.subarray(0, wanted - lengthBytes);
      if (part.length < head.length) this.#queue.unshift(head.subarray(part.length));
      parts.push(part);
      lengthBytes += part.length;
    }
    this.#queuedBytes -= lengthBytes;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  #transmit(message: string): void {
    this.#socket?.send(message);
  }

  /** The silence until a socket counts as gone is a part of its time to come back. */
  #watch(socket: WebSocket): void {
    const { pulseMs = PULSE_MS } = this.#options;
    const onGone = () => {
      this.#lost(socket, 3 * pulseMs);
      socket.terminate();
    };
    this.#unwatch = watchPulse(socket, { intervalMs: pulseMs, onGone });
  }

  /** What the service had queued went with the socket; what waits here goes to the next one. */
  #lost(socket: WebSocket, silentMs = 0): void {
    if (socket !== this.#socket) return;
    this.#unwatch?.();
    this.#socket = undefined;
    this.#sentMs = this.playedMs;
    this.#playedAt = this.#options.now() - this.#options.latencyMs;
    const graceMs = Math.max(0, this.#options.graceMs - silentMs);
    if (this.#open) this.#grace = setTimeout(() => this.#end(), graceMs);
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#unwatch?.();
    clearTimeout(this.#pump);
    clearTimeout(this.#grace);
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#closed.resolve();
  }

  #receive(data: RawData): void {
    const message = parseStreamingMessage(textOfMessage(data));
    switch (message?.kind) {
      case "audiodata":
        return this.#receiveAudio(message.body);
      case "audiometadata":
        return this.#options.onMetadata?.(asMetadata(message.body));
      default:
    }
  }

  #receiveAudio(body: Fields): void {
    const data = body["data"];
    if (typeof data === "string") this.#options.onAudio(Buffer.from(data, "base64"));
  }

  #durationMs(lengthBytes: number): number {
    return lengthBytes / this.#bytes(1);
  }

  #bytes(durationMs: number): number {
    return (this.#options.rateHz * 2 * durationMs) / 1000;
  }
}

type Fields = Record<string, unknown>;

/**
 * One message of the socket with its kind in lower case, and the names of its body too: service
 * versions and SDKs write `AudioData`, `audioData`, `Data` and `data`. Undefined if it is none.
 */
export function parseStreamingMessage(text: string): { kind: string; body: Fields } | undefined {
  const message = lowerCaseNames(parseJson(text));
  const kind = message?.["kind"];
  if (typeof kind !== "string") return undefined;
  const name = kind.toLowerCase();
  return { kind: name, body: lowerCaseNames(message?.[name]) ?? {} };
}

function textOfMessage(data: RawData): string {
  if (Buffer.isBuffer(data)) return data.toString("utf8");
  return Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]).toString("utf8");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The service sends JSON only; anything else is not for us and must not end the call.
    return undefined;
  }
}

function lowerCaseNames(value: unknown): Fields | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name.toLowerCase(), field]),
  );
}

function asMetadata(body: Fields): AudioMetadata {
  return {
    subscriptionId: textOf(body["subscriptionid"]),
    rateHz: Number(body["samplerate"] ?? 0),
    channels: Number(body["channels"] ?? 1),
  };
}
