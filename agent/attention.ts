/** What the conversation turns to next. */
export type Heard =
  | "words"
  | "nothing clear"
  | "interrupted line"
  | "silence"
  | "deaf"
  | "no media"
  | "too long"
  | "closing";

export interface AttentionOptions {
  /** How long a caller may say nothing. */
  readonly silenceMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Aborted when the call has ended. */
  readonly signal: AbortSignal;
  /** Aborted when this process has to end before the call. */
  readonly closing: AbortSignal;
}

/** After an onset that came to nothing the caller, who fell silent to be heard, is asked again. */
const UNCLEAR_MS = 2000;

/**
 * What has happened on the caller's side and nobody has turned to yet: their words, their silence,
 * and what became of the line.
 */
export class Attention {
  /** Recognition has ended: the caller is not heard any more. */
  deaf = false;
  /** The media stream has ended: the caller hears nothing any more. */
  mute = false;
  /** The media socket was away. */
  lineBroke = false;
  tooLong = false;
  readonly #options: AttentionOptions;
  readonly #phrases: string[] = [];
  #lastSoundAt = 0;
  #hearing = false;
  #wake: (() => void) | undefined;

  constructor(options: AttentionOptions) {
    this.#options = options;
  }

  /** Something was heard; `hearing`: it may be the beginning of words. */
  sound(hearing: boolean): void {
    this.#lastSoundAt = this.#options.now();
    this.#hearing = hearing;
    this.wake();
  }

  phrase(text: string): void {
    this.sound(false);
    this.#phrases.push(text);
  }

  /** What began was no speech. */
  nothing(): void {
    this.#hearing = false;
    this.wake();
  }

  /** Looks again at what has happened. */
  wake(): void {
    this.#wake?.();
  }

  /** All words since they were last taken. */
  takeWords(): string {
    return this.#phrases.splice(0).join(" ");
  }

  /** Waits for the caller. `interrupted`: they cut the agent short. Rejects when the call has ended. */
  async next({ interrupted }: { interrupted: boolean }): Promise<Heard> {
    const { now, signal, closing } = this.#options;
    const since = now();
    for (;;) {
      signal.throwIfAborted();
      if (closing.aborted) return "closing";
      if (this.tooLong) return "too long";
      if (this.mute) return "no media";
      if (this.deaf) return "deaf";
      if (this.#phrases.length > 0) return "words";
      if (this.lineBroke) {
        this.lineBroke = false;
        return "interrupted line";
      }
      const unclear = interrupted && !this.#hearing;
      const remainingMs = this.#deadline(since, unclear) - now();
      if (remainingMs <= 0) return unclear ? "nothing clear" : "silence";
      await this.#sleep(remainingMs);
    }
  }

  #deadline(since: number, unclear: boolean): number {
    const { silenceMs } = this.#options;
    const limitMs = unclear ? Math.min(UNCLEAR_MS, silenceMs) : silenceMs;
    return Math.max(since, this.#lastSoundAt) + limitMs;
  }

  async #sleep(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, delayMs);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }
}
