import type { Clock, Timer } from "../clock.ts";
import { Resampler } from "../media/resample.ts";
import {
  EngineError,
  type EngineLimits,
  type EngineLink,
  type EngineLinkListener,
} from "./engine-link.ts";
import { type EngineMessage, type EngineText, parseEngineMessage } from "./engine-message.ts";
import type { Ear, EarEvent, ListenOptions } from "./recogniser.ts";

export interface EngineEarOptions {
  readonly clock: Clock;
  readonly limits: EngineLimits;
  readonly rateHz: number;
  readonly listening: ListenOptions;
  readonly open: (listener: EngineLinkListener) => EngineLink;
  /** Once, when nothing of it is left. */
  readonly onClosed: () => void;
}

/** One stream of audio at a real recogniser. Its first failure is its end. */
export class EngineEar implements Ear {
  readonly #options: EngineEarOptions;
  readonly #link: EngineLink;
  readonly #over = Promise.withResolvers<void>();
  #resampler: Resampler | undefined;
  #ended = false;
  #sentMs = 0;
  #heardMs = 0;
  /** The engine says itself how far it is. */
  #reports = false;
  #speaking = false;
  #stalled: Timer | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: EngineEarOptions) {
    this.#options = options;
    // Nobody may be waiting when it fails; the listener is told.
    this.#over.promise.catch(() => {});
    this.#link = options.open({
      onMessage: (text) => this.#receive(text),
      onTaken: () => this.#taken(),
      onEnd: (error) => this.#end(error),
    });
  }

  accept(samples: Int16Array, rateHz: number): void {
    if (this.#ended) return;
    const { rateHz: wantedHz, limits } = this.#options;
    if (this.#resampler?.fromHz !== rateHz) this.#resampler = new Resampler(rateHz, wantedHz);
    const resampled = this.#resampler.process(samples);
    this.#sentMs += (samples.length * 1000) / rateHz;
    this.#link.send(littleEndian(resampled));
    if (this.#pendingMs > limits.pendingMs) {
      const message = `${limits.pendingMs} ms of audio wait to be taken`;
      return this.#end(new EngineError("ENGINE_OVERRUN", message));
    }
    this.#stalled ??= this.#patience();
  }

  /** Rejects with {@link EngineError}. */
  async finish(timeoutMs = this.#options.limits.finishMs): Promise<void> {
    if (!this.#ended) this.#link.end();
    using _deadline = this.#options.clock.after(timeoutMs, () => {
      const message = `it did not end within ${timeoutMs} ms of the end of the audio`;
      this.#end(new EngineError("ENGINE_TIMEOUT", message));
    });
    await this.#over.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#ended = true;
    this.#stalled?.cancel();
    this.#over.resolve();
    await this.#link[Symbol.asyncDispose]();
    this.#options.onClosed();
  }

  get #pendingMs(): number {
    return (this.#link.pendingBytes * 1000) / (2 * this.#options.rateHz);
  }

  #patience(): Timer {
    const { clock, limits } = this.#options;
    return clock.after(limits.stallMs, () => {
      this.#end(new EngineError("ENGINE_STALLED", `no audio was taken for ${limits.stallMs} ms`));
    });
  }

  #taken(): void {
    if (this.#ended) return;
    this.#stalled?.cancel();
    this.#stalled = this.#link.pendingBytes > 0 ? this.#patience() : undefined;
    if (!this.#reports) this.#progress(this.#sentMs - this.#pendingMs);
  }

  #progress(heardMs: number): void {
    if (this.#ended) return;
    this.#heardMs = Math.max(this.#heardMs, Math.min(heardMs, this.#sentMs));
    this.#options.listening.onProgress?.(this.#heardMs);
  }

  #receive(text: string): void {
    if (this.#ended) return;
    try {
      this.#tell(parseEngineMessage(text));
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.#end(error);
    }
  }

  #tell(message: EngineMessage): void {
    switch (message.type) {
      case "onset":
        return this.#begin(message.startMs);
      case "hypothesis":
        this.#begin(message.startMs);
        return this.#emit({ type: "hypothesis", ...this.#placed(message) });
      case "final":
        return this.#conclude(message);
      case "progress":
        this.#reports = true;
        return this.#progress(message.heardMs);
      case "error":
        throw new EngineError("ENGINE_REPORTED", message.message);
    }
  }

  #begin(startMs = this.#heardMs): void {
    if (this.#speaking) return;
    this.#speaking = true;
    this.#emit({ type: "onset", text: "", startMs, endMs: Math.max(startMs, this.#heardMs) });
  }

  /** Without text and without a beginning, nothing was said. */
  #conclude(message: Extract<EngineMessage, { type: "final" }>): void {
    const { text, confidence = 1 } = message;
    if (text === "" && !this.#speaking) return;
    this.#begin(message.startMs);
    this.#speaking = false;
    if (text === "") return this.#emit({ type: "noMatch", ...this.#placed(message) });
    const sure = Math.min(1, confidence);
    this.#emit({ type: "phrase", ...this.#placed(message), confidence: sure });
  }

  #placed({ text, startMs = this.#heardMs, endMs, words, language }: EngineText) {
    return {
      text,
      startMs,
      endMs: Math.max(startMs, endMs ?? this.#heardMs),
      words: [...(words ?? [])],
      ...(language === undefined ? {} : { language }),
    };
  }

  #emit(event: EarEvent): void {
    this.#options.listening.onEvent(event);
  }

  #end(error?: EngineError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stalled?.cancel();
    if (error === undefined) return this.#over.resolve();
    this.#over.reject(error);
    this.#options.listening.onFailure?.(error);
    void this[Symbol.asyncDispose]();
  }
}

function littleEndian(samples: Int16Array): Buffer {
  const bytes = Buffer.alloc(samples.length * 2);
  for (const [index, sample] of samples.entries()) bytes.writeInt16LE(sample, index * 2);
  return bytes;
}
