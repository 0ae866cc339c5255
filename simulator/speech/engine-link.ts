import type { Clock } from "../clock.ts";

/** A real recogniser that does not do its part; the client sees the service's connection close with 1011. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code:
    | "ENGINE_UNAVAILABLE"
    | "ENGINE_BUSY"
    | "ENGINE_EXITED"
    | "ENGINE_PROTOCOL"
    | "ENGINE_REPORTED"
    | "ENGINE_STALLED"
    | "ENGINE_OVERRUN"
    | "ENGINE_TIMEOUT";

  constructor(code: EngineError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A stream of audio to a real recogniser, and its messages back; see docs/speech.md. */
export interface EngineLink extends AsyncDisposable {
  /** 16-bit little-endian mono PCM. */
  send(pcm: Buffer): void;
  /** No more audio comes. */
  end(): void;
  /** What was sent and not taken yet. */
  readonly pendingBytes: number;
}

export interface EngineLinkListener {
  /** One JSON text. */
  onMessage(text: string): void;
  /** Some of the audio was taken. */
  onTaken(): void;
  /** Nothing more comes; without an error it is the proper end. */
  onEnd(error?: EngineError): void;
}

/** What the engine is told before the audio. */
export interface EngineTurn {
  readonly rateHz: number;
  /** BCP 47; empty: any. */
  readonly languages: readonly string[];
  /** Phrases that may come although they are rare. */
  readonly phrases: readonly string[];
  readonly segmentationSilenceMs: number;
}

export interface EngineLimits {
  /** Until a WebSocket is open. */
  readonly connectMs: number;
  /** For the answer to no audio at all, when the engine is tried: a model has to be loaded. */
  readonly probeMs: number;
  /** Audio waits and none is taken. */
  readonly stallMs: number;
  /** From the end of the audio to the end of the messages. */
  readonly finishMs: number;
  /** From SIGTERM to SIGKILL, or from closing to cutting. */
  readonly killMs: number;
  /** Audio that waits to be taken. */
  readonly pendingMs: number;
  /** Streams at once, each with a process or connection of its own. */
  readonly streams: number;
}

/** One message of an engine. */
export const LIMIT_MESSAGE_CHARACTERS = 65_536;

export interface LinkOptions {
  readonly address: string;
  readonly turn: EngineTurn;
  readonly clock: Clock;
  readonly limits: EngineLimits;
}
