import { ActivityDetector } from "./activity.ts";
import { type AudioFormat, bytesPerMs, decodeAudio, rateOf } from "./audio.ts";
import { ClientEventError } from "./client-error.ts";
import type { TurnDetection } from "./turn-detection.ts";
import type { TurnEar } from "./voice.ts";

/** What the caller said in one turn. */
export interface Turn {
  readonly durationMs: number;
  readonly words: Promise<string>;
}

export interface InputListener {
  /** Milliseconds of all audio written during the session. */
  onStarted(audioStartMs: number): void;
  onStopped(audioEndMs: number, turn: Turn): void;
}

export interface InputOptions {
  readonly hear: () => TurnEar;
  readonly listener: InputListener;
  /** Silence that ends a turn under `semantic_vad`, by eagerness. */
  readonly semanticSilenceMs: Readonly<Record<string, number>>;
}

/** The least that can be committed by hand. */
const LEAST_COMMIT_MS = 100;
/** Audio that nobody commits, at most. */
const LIMIT_BUFFER_MS = 600_000;
/** What `semantic_vad` takes for these settings of the other one. */
const SEMANTIC = { threshold: 0.5, prefixMs: 300 };
/** The detector looks at so much at a time: what belongs to which turn is exact to this. */
const STEP_MS = 20;

/** The caller's audio as it arrives: a buffer that is cut into turns, by the detector or by hand. */
export class InputAudio {
  readonly #options: InputOptions;
  #format: AudioFormat = "pcm16";
  #prefixMs = 0;
  #detector: ActivityDetector | undefined;
  #detection: TurnDetection | null = null;
  /** Not yet part of a turn: all of it without a detector, with one the padding before a turn. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #carry = Buffer.alloc(0);
  #writtenMs = 0;
  #turn: { readonly ear: TurnEar; readonly startMs: number } | undefined;

  constructor(options: InputOptions) {
    this.#options = options;
  }

  /** All audio written during the session. */
  get writtenMs(): number {
    return this.#writtenMs;
  }

  /** Whether somebody is speaking who has not come to the end. */
  get turnIsOpen(): boolean {
    return this.#turn !== undefined;
  }

  /** Settings of the session, at its begin and whenever they change. */
  configure(format: AudioFormat, detection: TurnDetection | null): void {
    this.#format = format;
    if (JSON.stringify(detection) === JSON.stringify(this.#detection)) return;
    this.#detection = detection;
    this.#detector = undefined;
    if (detection === null) return;
    const server = detection.type === "server_vad";
    const silenceMs = server
      ? detection.silence_duration_ms
      : (this.#options.semanticSilenceMs[detection.eagerness] ?? 0);
    const threshold = server ? detection.threshold : SEMANTIC.threshold;
    this.#prefixMs = server ? detection.prefix_padding_ms : SEMANTIC.prefixMs;
    this.#detector = new ActivityDetector({ threshold, silenceMs }, this.#writtenMs);
  }

  append(audio: Buffer): void {
    const stepBytes = bytesPerMs(this.#format) * STEP_MS;
    const joined = Buffer.concat([this.#carry, audio]);
    let offset = 0;
    for (; offset + stepBytes <= joined.length; offset += stepBytes) {
      this.#step(joined.subarray(offset, offset + stepBytes));
    }
    this.#carry = Buffer.from(joined.subarray(offset));
  }

  /** Forgets what was not committed. */
  clear(): void {
    this.#drop();
    // Nobody waits for the words of a turn that was thrown away.
    void this.#turn?.ear.finish().catch(() => undefined);
    this.#turn = undefined;
  }

  /** Makes a turn of what there is. Throws {@link ClientEventError} when that is next to nothing. */
  commit(): Turn {
    const heldMs = this.#waitingBytes / bytesPerMs(this.#format);
    const durationMs = this.#turn === undefined ? heldMs : this.#writtenMs - this.#turn.startMs;
    if (durationMs < LEAST_COMMIT_MS) {
      throw new ClientEventError(
        "input_audio_buffer_commit_empty",
        `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${durationMs.toFixed(2)}ms of audio.`,
      );
    }
    this.#turn ??= this.#open(heldMs);
    return this.#close(this.#turn);
  }

  #step(audio: Buffer): void {
    this.#writtenMs += STEP_MS;
    const samples = decodeAudio(audio, this.#format);
    const rateHz = rateOf(this.#format);
    if (this.#turn === undefined) this.#keep(audio);
    else this.#turn.ear.accept(samples, rateHz);
    for (const { type, atMs } of this.#detector?.accept(samples, rateHz) ?? []) {
      if (type === "started") this.#start(atMs);
      else this.#stop();
    }
  }

  #start(atMs: number): void {
    // Already open where the client committed by hand in the middle of a turn.
    if (this.#turn !== undefined) return;
    this.#turn = this.#open(this.#writtenMs - atMs + this.#prefixMs);
    this.#options.listener.onStarted(this.#turn.startMs);
  }

  #stop(): void {
    if (this.#turn === undefined) return;
    this.#options.listener.onStopped(this.#writtenMs, this.#close(this.#turn));
  }

  /** Begins a turn with the last of what waits. */
  #open(lastMs: number): { ear: TurnEar; startMs: number } {
    const waiting = Buffer.concat(this.#waiting);
    const bytes = Math.min(waiting.length, Math.round(lastMs) * bytesPerMs(this.#format));
    this.#drop();
    const ear = this.#options.hear();
    ear.accept(
      decodeAudio(waiting.subarray(waiting.length - bytes), this.#format),
      rateOf(this.#format),
    );
    return { ear, startMs: this.#writtenMs - bytes / bytesPerMs(this.#format) };
  }

  #close({ ear, startMs }: { ear: TurnEar; startMs: number }): Turn {
    this.#turn = undefined;
    return { durationMs: this.#writtenMs - startMs, words: ear.finish() };
  }

  #keep(audio: Buffer): void {
    this.#waiting.push(audio);
    this.#waitingBytes += audio.length;
    const limitMs = this.#detector === undefined ? LIMIT_BUFFER_MS : this.#prefixMs + 4 * STEP_MS;
    while (this.#waitingBytes > limitMs * bytesPerMs(this.#format)) {
      this.#waitingBytes -= this.#waiting.shift()?.length ?? 0;
    }
  }

  #drop(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
