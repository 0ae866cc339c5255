import { type Message, type Model, ModelFailure, type ToolCall } from "./llm.ts";
import type { MediaStream } from "./media-stream.ts";
import { PHRASES } from "./phrases.ts";
import { SentenceSplitter } from "./sentences.ts";
import { Speaker } from "./speaker.ts";
import { TOOLS } from "./tools.ts";
import { tracedVoice } from "./traced-speech.ts";
import { recordResponseTime, type Stage } from "./tracing.ts";
import type { Voice } from "./tts.ts";

export interface AnswerOptions {
  readonly model: Model;
  readonly voice: Voice;
  readonly media: MediaStream;
  readonly messages: readonly Message[];
  /** After this long without an answer the caller is told to hold on, and again after `holdMs`. */
  readonly fillerMs: number;
  readonly signal: AbortSignal;
  /** The turn this answer belongs to. */
  readonly stage: Stage;
  readonly modelName: string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Told as soon as sentences go to the caller, so that an onset can interrupt them. */
  readonly onSpeaker: (speaker: Speaker) => void;
}

/** One answer of the model as the caller got it. */
export interface Answer {
  /** The words that were audible; all of them unless `interrupted`. */
  readonly heard: string;
  readonly interrupted: boolean;
  readonly calls: readonly ToolCall[];
  /** Set when the model broke off; `heard` may still hold a beginning. */
  readonly failure: ModelFailure | undefined;
}

/** The caller is not left without a word for longer than this. */
const HOLD_MS = 3500;

/**
 * Streams one answer from the model to the caller's ear: each sentence is synthesised as soon as it
 * is complete. Resolves when the last one has been heard or the signal aborts. Throws a failure of
 * speech only: a failure of the model is part of the answer.
 */
export async function answer(options: AnswerOptions): Promise<Answer> {
  const { signal, onSpeaker } = options;
  const startedAt = options.now();
  const onAudio = () => {
    options.stage.event("first audio");
    recordResponseTime(options.now() - startedAt);
  };
  const voice = tracedVoice(options.voice, options.stage);
  const speaker = new Speaker({ ...options, voice, onAudio }, signal);
  onSpeaker(speaker);
  const holding = holdTheLine(speaker, options.fillerMs);
  const calls: ToolCall[] = [];
  let failure: ModelFailure | undefined;
  try {
    await think(options, speaker, calls);
  } catch (error) {
    if (!(error instanceof ModelFailure)) throw error;
    failure = error;
  } finally {
    holding.stop();
  }
  await speaker.finished();
  return { heard: speaker.heard(), interrupted: signal.aborted, calls, failure };
}

async function think(
  { model, messages, signal, stage, modelName }: AnswerOptions,
  speaker: Speaker,
  calls: ToolCall[],
): Promise<void> {
  using chat = stage.chat(modelName);
  const sentences = new SentenceSplitter();
  const say = (sentence: string) => {
    if (speaker.idle) chat.event("first sentence");
    speaker.say(sentence);
  };
  let started = false;
  try {
    for await (const piece of model.reply(messages, { signal, tools: TOOLS })) {
      if (piece.type === "started") {
        chat.set({ "gen_ai.response.id": piece.id });
        continue;
      }
      if (!started) chat.event("first piece");
      started = true;
      if (piece.type === "tools") calls.push(...piece.calls);
      else sentences.push(piece.text).forEach(say);
    }
  } catch (error) {
    chat.fail(error instanceof ModelFailure ? error.code : "internal");
    throw error;
  }
  // Not after a failure: half a sentence would sound like a mistake of the line.
  sentences.flush().forEach(say);
}

/** Speaks a word of patience while nothing of the answer is there. */
function holdTheLine(speaker: Speaker, fillerMs: number): { stop(): void } {
  let asides = 0;
  const hold = () => {
    if (!speaker.idle) return;
    speaker.aside(asides === 0 ? PHRASES.oneMoment : PHRASES.stillWorking);
    asides += 1;
    timer = setTimeout(hold, HOLD_MS);
  };
  let timer = setTimeout(hold, fillerMs);
  return { stop: () => clearTimeout(timer) };
}
