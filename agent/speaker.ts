import { LeadSilence } from "./lead-silence.ts";
import type { MediaStream } from "./media-stream.ts";
import type { SpokenWord, Voice } from "./tts.ts";

/** One sentence on the stream's time line. */
interface Utterance {
  text: string;
  readonly startMs: number;
  endMs: number;
  /** What was cut off its beginning; the times of its words still count it. */
  cutMs: number;
  complete: boolean;
  readonly words: SpokenWord[];
  /** Spoken, but no part of the reply: "One moment, please." */
  readonly aside: boolean;
}

export interface SpeakerOptions {
  readonly voice: Pick<Voice, "speak">;
  readonly media: MediaStream;
  /** Told when the first audio of the reply itself goes to the caller. */
  readonly onAudio?: () => void;
}

/**
 * Speaks the sentences of one reply and knows which words of it the caller has heard. A reply is
 * aborted by its signal: synthesis ends, the service's queue is emptied, and `heard` stays at what
 * had been audible by then.
 */
export class Speaker {
  readonly #voice: SpeakerOptions["voice"];
  readonly #media: MediaStream;
  readonly #onAudio: (() => void) | undefined;
  readonly #signal: AbortSignal;
  readonly #utterances: Utterance[] = [];
  #work: Promise<void> = Promise.resolve();
  #failure: unknown;
  #heardMs: number | undefined;
  #replying = false;
  #sounding = false;
  readonly #stop = () => {
    this.#heardMs ??= this.#media.stop();
  };

  constructor({ voice, media, onAudio }: SpeakerOptions, signal: AbortSignal) {
    this.#voice = voice;
    this.#onAudio = onAudio;
    this.#media = media;
    this.#signal = signal;
    if (signal.aborted) this.#heardMs = media.playedMs;
    else signal.addEventListener("abort", this.#stop, { once: true });
  }

  /** Whether anything of this reply has been handed to the caller's side. */
  get started(): boolean {
    return this.#utterances.some(({ startMs, endMs }) => endMs > startMs);
  }

  /** Whether no sentence of the reply has been queued yet; asides do not count. */
  get idle(): boolean {
    return !this.#replying;
  }

  /** Queues a sentence behind those before it. Failures surface in {@link finished}. */
  say(sentence: string): void {
    this.#replying = true;
    this.#enqueue(sentence, false);
  }

  /** Like {@link say}, for words that bridge a wait and are no part of the reply. */
  aside(sentence: string): void {
    this.#enqueue(sentence, true);
  }

  /** Resolves when the last word has been heard, or the reply was aborted. Throws a failure of speech. */
  async finished(): Promise<void> {
    await this.#work;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#media.drained(this.#signal);
      // Nothing of it is left to be stopped, and the signal may be that of the whole call.
      this.#signal.removeEventListener("abort", this.#stop);
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    }
  }

  /** The words that reached the caller's ear, as one text. Whole sentences where possible. */
  heard(): string {
    const playedMs = this.#heardMs ?? this.#media.playedMs;
    return this.#utterances
      .filter(({ aside }) => !aside)
      .map((utterance) => heardOf(utterance, playedMs))
      .filter((text) => text !== "")
      .join(" ");
  }

  #soundOnce(): void {
    if (!this.#sounding) this.#onAudio?.();
    this.#sounding = true;
  }

  #enqueue(text: string, aside: boolean): void {
    this.#work = this.#work
      .then(() => this.#speak(text, aside))
      .catch((error: unknown) => {
        this.#failure ??= error;
      });
  }

  /** A refused or broken synthesis is tried once more, from the word at which it broke. */
  async #speak(text: string, aside: boolean): Promise<void> {
    if (this.#signal.aborted || this.#failure !== undefined) return;
    const utterance = this.#place(text, aside);
    try {
      await this.#stream(utterance);
    } catch {
      const rest = cutAtBreak(utterance);
      if (!this.#signal.aborted && rest !== "") await this.#stream(this.#place(rest, aside));
    }
  }

  #place(text: string, aside: boolean): Utterance {
    const startMs = this.#media.writtenMs;
    const utterance = {
      text,
      startMs,
      endMs: startMs,
      cutMs: 0,
      complete: false,
      words: [],
      aside,
    };
    this.#utterances.push(utterance);
    return utterance;
  }

  /** Only where the caller waits in silence: between two sentences the pause belongs to the speech. */
  async #stream(utterance: Utterance): Promise<void> {
    const lead = this.#media.pendingMs > 0 ? undefined : new LeadSilence(this.#media.rateHz);
    for await (const piece of this.#voice.speak(utterance.text, { signal: this.#signal })) {
      if (this.#signal.aborted) return;
      if (piece.type === "word") {
        utterance.words.push(piece.word);
      } else {
        this.#play(utterance, lead?.cut(piece.samples) ?? piece.samples);
        utterance.cutMs = lead?.cutMs ?? 0;
      }
    }
    utterance.complete = !this.#signal.aborted;
  }

  #play(utterance: Utterance, samples: Uint8Array): void {
    if (samples.length === 0) return;
    this.#media.write(samples);
    if (!utterance.aside) this.#soundOnce();
    utterance.endMs = this.#media.writtenMs;
  }
}

/** Shortens a broken utterance to the words whose audio came; returns the others. */
function cutAtBreak(utterance: Utterance): string {
  const { text, words, startMs, endMs, cutMs } = utterance;
  const spokenMs = endMs - startMs + cutMs;
  const whole = words.filter((word) => word.textOffset >= 0 && word.endMs <= spokenMs);
  const last = whole.at(-1);
  const cut = last === undefined ? 0 : last.textOffset + last.text.length;
  utterance.text = text.slice(0, cut);
  return text.slice(cut).trim();
}

/**
 * A word counts as heard when its second half had begun: at most one word beyond the last audible
 * one, and never one that was not played.
 */
function heardOf(utterance: Utterance, playedMs: number): string {
  const { text, startMs, endMs, cutMs, complete, words } = utterance;
  if (complete && playedMs >= endMs) return text;
  const audibleMs = playedMs - startMs;
  if (audibleMs <= 0 || endMs === startMs) return "";
  if (words.length === 0) return byProportion(text, audibleMs / (endMs - startMs));
  const heard = words.filter((word) => (word.startMs + word.endMs) / 2 <= audibleMs + cutMs);
  const last = heard.at(-1);
  if (last === undefined) return "";
  if (last.textOffset >= 0) return text.slice(0, last.textOffset + last.text.length);
  return heard.map((word) => word.text).join(" ");
}

/** Without word times: as many whole words as the share of the audio that was heard. */
function byProportion(text: string, share: number): string {
  const cut = text.slice(0, Math.floor(text.length * Math.min(1, share)));
  return cut.length === text.length ? text : cut.slice(0, Math.max(0, cut.lastIndexOf(" ")));
}
