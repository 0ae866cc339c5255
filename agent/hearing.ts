import {
  type Ear,
  type EarListener,
  openEar,
  type SpeechFailure,
  type SpeechOptions,
} from "./stt.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface HearingOptions {
  readonly speech: SpeechOptions;
  readonly listener: EarListener;
  readonly logger: Logger;
}

/** Reopenings before recognition is given up; a heard phrase starts the count again. */
const RESTARTS = 2;
/** Refusals come within milliseconds; a moment later the service may answer. */
const RESTART_DELAY_MS = 250;

/**
 * Recognition of one call that survives what can be survived: when the ear fails it is opened
 * again. Only when that is of no use does the listener hear of a failure.
 */
export class Hearing implements AsyncDisposable {
  readonly #options: HearingOptions;
  #ear: Ear;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  constructor(options: HearingOptions) {
    this.#options = options;
    this.#ear = this.#open();
  }

  write(samples: Uint8Array): void {
    this.#ear.write(samples);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#timer);
    await this.#ear[Symbol.asyncDispose]();
  }

  #open(): Ear {
    const { speech, listener } = this.#options;
    return openEar(speech, {
      onOnset: () => listener.onOnset(),
      onHypothesis: (text) => listener.onHypothesis(text),
      onPhrase: (text) => {
        this.#failures = 0;
        listener.onPhrase(text);
      },
      onNothing: () => listener.onNothing(),
      onFailure: (failure) => this.#failed(failure),
    });
  }

  #failed(failure: SpeechFailure): void {
    const { listener, logger } = this.#options;
    if (this.#disposed) return;
    this.#failures += 1;
    logger.warn({ err: describeError(failure), failures: this.#failures }, "recognition failed");
    if (this.#failures > RESTARTS) return listener.onFailure(failure);
    this.#timer = setTimeout(() => this.#reopen(), RESTART_DELAY_MS);
  }

  #reopen(): void {
    const broken = this.#ear;
    this.#ear = this.#open();
    // Its close is bounded and never rejects; nothing waits for it.
    void broken[Symbol.asyncDispose]();
  }
}
