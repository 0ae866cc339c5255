import type { SpeechPiece, Voice } from "./tts.ts";

/** One utterance in memory: what a voice gave for it. */
export type PreparedSpeech = readonly SpeechPiece[];

/** Longest text prepared, so that memory has a bound. */
const TEXT_LIMIT = 500;

/**
 * A voice that starts on `text` at once, before anybody listens: the greeting is synthesised while
 * the call is still being answered. Asked for that text the first time, it gives what it has and
 * then what is still coming; everything else goes straight to `voice`.
 */
export function withHeadStart(
  voice: Voice,
  text: string,
  { signal }: { signal: AbortSignal },
): Voice {
  let prepared: HeadStart | undefined = new HeadStart(voice.speak(text, { signal }));
  return {
    speak: (wanted, options) => {
      const ready = wanted === text ? prepared : undefined;
      if (ready === undefined) return voice.speak(wanted, options);
      prepared = undefined;
      return ready.follow(options.signal);
    },
    [Symbol.asyncDispose]: () => voice[Symbol.asyncDispose](),
  };
}

/**
 * A voice that has some phrases by heart. They sound at once, and still sound when the service
 * behind `voice` does not answer: the apology for a failure must not depend on what failed.
 */
export function withPhrases(voice: Voice, phrases: ReadonlyMap<string, PreparedSpeech>): Voice {
  return {
    speak: (text, options) => {
      const known = phrases.get(text);
      return known === undefined ? voice.speak(text, options) : recite(known, options.signal);
    },
    [Symbol.asyncDispose]: () => voice[Symbol.asyncDispose](),
  };
}

export interface LessonOptions {
  readonly texts: readonly string[];
  readonly phrases: Map<string, PreparedSpeech>;
  /** A voice for one phrase; disposed after it. */
  readonly openVoice: () => Voice;
  /** Resolves when nobody on a call would be disturbed; rejects when aborted. */
  readonly whenIdle: (signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Learns phrases one after another, each when the service is idle: a caller's greeting must never
 * wait for them. What cannot be synthesised is left out and spoken the ordinary way. Returns how
 * many are missing. Never rejects.
 */
export async function learnPhrases(options: LessonOptions): Promise<{ missing: number }> {
  const { texts, phrases, openVoice, whenIdle, signal } = options;
  for (const text of texts) {
    try {
      await whenIdle(signal);
    } catch {
      // Aborted: the service ends, and nobody will need what is missing.
      break;
    }
    await using voice = openVoice();
    const learnt = await learn(voice, text, signal);
    if (learnt !== undefined) phrases.set(text, learnt);
  }
  return { missing: texts.length - phrases.size };
}

async function learn(
  voice: Voice,
  text: string,
  signal: AbortSignal,
): Promise<PreparedSpeech | undefined> {
  if (text.length > TEXT_LIMIT || signal.aborted) return undefined;
  try {
    const pieces = await Array.fromAsync(voice.speak(text, { signal }));
    return signal.aborted || pieces.length === 0 ? undefined : pieces;
  } catch {
    // Reported as missing; the phrase is tried again whenever it is spoken.
    return undefined;
  }
}

async function* recite(speech: PreparedSpeech, signal: AbortSignal): AsyncGenerator<SpeechPiece> {
  for (const piece of speech) {
    if (signal.aborted) return;
    yield piece;
  }
}

/** Pulls an utterance as fast as it comes, and hands it on when somebody follows. */
class HeadStart {
  readonly #pieces: SpeechPiece[] = [];
  readonly #work: Promise<void>;
  #failure: unknown;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(source: AsyncIterable<SpeechPiece>) {
    this.#work = this.#pull(source);
  }

  async *follow(signal: AbortSignal): AsyncGenerator<SpeechPiece> {
    const wake = () => this.#wake?.();
    signal.addEventListener("abort", wake, { once: true });
    try {
      for (let index = 0; !signal.aborted; ) {
        const piece = this.#pieces[index];
        if (piece === undefined && this.#ended) break;
        if (piece === undefined) await this.#more();
        else yield piece;
        if (piece !== undefined) index += 1;
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
    if (!signal.aborted) await this.#work;
    if (!signal.aborted && this.#failure !== undefined) throw this.#failure;
  }

  async #pull(source: AsyncIterable<SpeechPiece>): Promise<void> {
    try {
      for await (const piece of source) {
        this.#pieces.push(piece);
        this.#wake?.();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#ended = true;
    this.#wake?.();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
