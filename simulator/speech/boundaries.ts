import { TICKS_PER_MS } from "./recognition-turn.ts";
import type { SynthesisSettings } from "./synthesis-settings.ts";
import type { Sentence } from "./synthesiser.ts";

/** One entry of an `audio.metadata` message, with the place in the audio it belongs to. */
export interface Boundary {
  readonly atMs: number;
  readonly metadata: Record<string, unknown>;
}

/** The boundaries of a sentence that begins `offsetMs` into the turn's audio, in order of time. */
export function boundariesOf(
  sentence: Sentence,
  offsetMs: number,
  settings: SynthesisSettings,
): Boundary[] {
  const found: Boundary[] = [];
  const [first] = sentence.words;
  const last = sentence.words.at(-1);
  if (settings.sentenceBoundaries && first !== undefined && last !== undefined) {
    const endMs = last.startMs + last.durationMs;
    const span = { startMs: offsetMs + first.startMs, durationMs: endMs - first.startMs };
    found.push(boundary("SentenceBoundary", sentence.text, span));
  }
  const punctuation = punctuationAfter(sentence);
  for (const [index, { text, startMs, durationMs }] of sentence.words.entries()) {
    const span = { startMs: offsetMs + startMs, durationMs };
    if (settings.wordBoundaries) found.push(boundary("WordBoundary", text, span));
    const sign = punctuation[index];
    if (!settings.wordBoundaries || !settings.punctuationBoundaries || !sign) continue;
    const end = { startMs: offsetMs + startMs + durationMs, durationMs: 0 };
    found.push(boundary("PunctuationBoundary", sign, end));
  }
  return found;
}

/** Punctuation is a word boundary of its own kind on the wire; a sentence is a type of its own. */
function boundary(
  kind: "WordBoundary" | "PunctuationBoundary" | "SentenceBoundary",
  text: string,
  { startMs, durationMs }: { startMs: number; durationMs: number },
): Boundary {
  return {
    atMs: startMs,
    metadata: {
      Type: kind === "SentenceBoundary" ? kind : "WordBoundary",
      Data: {
        Offset: Math.round(startMs * TICKS_PER_MS),
        Duration: Math.round(durationMs * TICKS_PER_MS),
        text: { Text: text, Length: text.length, BoundaryType: kind },
      },
    },
  };
}

/** The sign that follows each word in the text, or nothing. */
function punctuationAfter({ text, words }: Sentence): string[] {
  let at = 0;
  return words.map((word) => {
    at = text.indexOf(word.text, at) + word.text.length;
    return /^[,.;:!?…]/.exec(text.slice(at))?.[0] ?? "";
  });
}
