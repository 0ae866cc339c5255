import type { Audio } from "../../media/frame.ts";
import { splitTokens } from "../chat.ts";

/** A piece of the text, with the blank before it, and where its sound begins. */
export interface SpokenWord {
  readonly text: string;
  readonly startMs: number;
}

/** A sentence or more as sound. */
export interface Utterance extends Audio {
  /** In the order of the text; where there are as many as words in the text, they say when each begins. */
  readonly words: readonly { readonly startMs: number }[];
}

/** Takes the sound of one turn of the caller. */
export interface TurnEar {
  accept(samples: Int16Array, rateHz: number): void;
  /** The words, when the turn is over; empty where nothing was made out. */
  finish(): Promise<string>;
}

/** What the model hears and speaks with. The same text and voice give the same sound. */
export interface RealtimeVoice {
  hear(): TurnEar;
  speak(text: string, voice: string): Promise<Utterance>;
}

/** The text's words in their places. Without times of its own a word gets its share of the length. */
export function placedWords(text: string, { words, samples, rateHz }: Utterance): SpokenWord[] {
  const tokens = splitTokens(text);
  const durationMs = (samples.length * 1000) / rateHz;
  let characters = 0;
  return tokens.map((token, index) => {
    const share = characters / Math.max(1, text.length);
    characters += token.length;
    const own = words.length === tokens.length ? words[index]?.startMs : undefined;
    return { text: token, startMs: own ?? share * durationMs };
  });
}
