import { Wait } from "./answer.ts";
import type { ConversationOptions } from "./conversation.ts";
import { describeError } from "./telemetry.ts";
import type { Voice } from "./tts.ts";

export interface PatienceOptions
  extends Pick<ConversationOptions, "media" | "logger" | "now" | "signal"> {
  readonly config: Pick<ConversationOptions["config"], "fillerMs">;
  readonly voice: Pick<Voice, "speak">;
}

/**
 * Tells the caller to hold on while an answer of a realtime session is not there. The session makes
 * one response at a time and is busy with that one, so a voice of the speech service says it.
 */
export class Patience {
  readonly #options: PatienceOptions;
  #wait: Wait | undefined;
  #working = false;
  /** Whether what is pending on the line is a word of patience. */
  #speaking = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** An answer is awaited from now on, or still. */
  begin(): void {
    this.#wait ??= new Wait(this.#options.now);
  }

  /** Something of the answer is there, or nobody waits for it any more. */
  end(): void {
    this.#wait = undefined;
    this.#speaking = false;
  }

  /** To be called again and again. Whether the answer, or what came before it, is being heard. */
  look(): boolean {
    const { media, config } = this.#options;
    const audible = media.pendingMs > 0;
    if (audible) {
      if (!this.#speaking) this.#wait?.heard();
      return !this.#speaking;
    }
    const wait = this.#wait;
    const isDue = wait !== undefined && wait.remainingMs(config.fillerMs) === 0;
    if (isDue && !this.#working) void this.#hold(wait);
    return false;
  }

  async #hold(wait: Wait): Promise<void> {
    const { voice, media, logger, signal } = this.#options;
    this.#working = true;
    try {
      const pieces = await Array.fromAsync(voice.speak(wait.hold(), { signal }));
      // The answer may have come meanwhile, which is better than any word of patience.
      if (this.#wait !== wait) return;
      for (const piece of pieces) if (piece.type === "audio") media.write(piece.samples);
      this.#speaking = true;
    } catch (error) {
      logger.warn({ err: describeError(error) }, "word of patience was not spoken");
    } finally {
      this.#working = false;
    }
  }
}
