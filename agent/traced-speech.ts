import { type EarListener, SpeechFailure } from "./stt.ts";
import type { Stage } from "./tracing.ts";
import type { SpeechPiece, Voice } from "./tts.ts";

/** Passes on what an ear reports, with a span `recognize` from the first sound of a phrase to its text. */
export function tracedListener(listener: EarListener, stage: Stage): EarListener & Disposable {
  let phrase: Stage | undefined;
  const begin = () => {
    phrase ??= stage.child("recognize");
    return phrase;
  };
  const end = (error?: string) => {
    if (error !== undefined) phrase?.fail(error);
    phrase?.[Symbol.dispose]();
    phrase = undefined;
  };
  return {
    onOnset: () => {
      begin();
      listener.onOnset();
    },
    onHypothesis: (text) => {
      begin().event("hypothesis");
      listener.onHypothesis(text);
    },
    onPhrase: (text) => {
      begin();
      end();
      listener.onPhrase(text);
    },
    onNothing: () => {
      end("no_match");
      listener.onNothing();
    },
    onFailure: (failure) => {
      end(failure.code);
      listener.onFailure(failure);
    },
    [Symbol.dispose]: () => end("call_ended"),
  };
}

/** The voice, with a span `synthesize` for each utterance; its event `first audio` is when one can be heard. */
export function tracedVoice(voice: Pick<Voice, "speak">, stage: Stage): Pick<Voice, "speak"> {
  return { speak: (text, options) => trace(voice.speak(text, options), text, stage) };
}

async function* trace(
  pieces: AsyncIterable<SpeechPiece>,
  text: string,
  stage: Stage,
): AsyncGenerator<SpeechPiece> {
  using utterance = stage.child("synthesize", { "speech.characters": text.length });
  let sounding = false;
  try {
    for await (const piece of pieces) {
      if (piece.type === "audio" && !sounding) utterance.event("first audio");
      sounding ||= piece.type === "audio";
      yield piece;
    }
  } catch (error) {
    utterance.fail(error instanceof SpeechFailure ? error.code : "internal");
    throw error;
  }
}
