import { type Ear, type EarListener, type EarOptions, openEar, SpeechFailure } from "./stt.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface HearingOptions {
  readonly speech: EarOptions;
  readonly listener: EarListener;
  readonly logger: Logger;
}

/** Reopenings before recognition is given up; a heard phrase starts the count again. */
const RESTARTS = 2;
/** Refusals come within milliseconds; a moment later the service may answer. */
const RESTART_DELAY_MS = 250;

/** Mean amplitude from which a frame counts as sound; line noise is far below. */
const LOUD = 400;
/** Sound for so long without a word of the service: it has gone deaf without saying so. */
const UNHEARD_MS = 6000;
/** Quiet for so long ends a stretch of sound. */
const QUIET_MS = 2000;

/**
 * Recognition of one call that survives what can be survived: when the ear fails it is opened
 * again. Only when that is of no use does the listener hear of a failure.
 */
export class Hearing implements AsyncDisposable {
  readonly #options: HearingOptions;
  #ear: Ear;
  #failures = 0;
  #loudMs = 0;
  #quietMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  constructor(options: HearingOptions) {
    this.#options = options;
    this.#ear = this.#open();
  }

  write(samples: Uint8Array): void {
    this.#ear.write(samples);
    this.#watch(samples);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#timer);
    await this.#ear[Symbol.asyncDispose]();
  }

  #open(): Ear {
    const { speech, listener } = this.#options;
    return openEar(speech, {
      onOnset: () => {
        this.#loudMs = 0;
        listener.onOnset();
      },
      onHypothesis: (text) => {
        this.#loudMs = 0;
        listener.onHypothesis(text);
      },
      onPhrase: (text) => {
        this.#failures = 0;
        this.#loudMs = 0;
        listener.onPhrase(text);
      },
      onNothing: () => {
        this.#loudMs = 0;
        listener.onNothing();
      },
      onFailure: (failure) => this.#failed(failure),
    });
  }

  /** A service that accepts audio and never answers would leave the caller talking to nobody. */
  #watch(samples: Uint8Array): void {
    const durationMs = samples.length / 2 / (this.#options.speech.rateHz / 1000);
    const loud = meanAmplitude(samples) >= LOUD;
    this.#quietMs = loud ? 0 : this.#quietMs + durationMs;
    if (this.#quietMs > QUIET_MS) this.#loudMs = 0;
    if (loud) this.#loudMs += durationMs;
    if (this.#loudMs < UNHEARD_MS) return;
    this.#loudMs = 0;
    this.#failed(new SpeechFailure("recognition", "Silent", `${UNHEARD_MS} ms of sound, no event`));
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

/** Of every eighth sample: enough to tell speech from a quiet line. */
function meanAmplitude(samples: Uint8Array): number {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  let sum = 0;
  let count = 0;
  for (let offset = 0; offset + 1 < samples.length; offset += 16) {
    sum += Math.abs(view.getInt16(offset, true));
    count += 1;
  }
  return count === 0 ? 0 : sum / count;
}
