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
  readonly wait: Wait;
  readonly modelName: string;
  /** Told as soon as sentences go to the caller, so that an onset can interrupt them. */
  readonly onSpeaker: (speaker: Speaker) => void;
}

/** How long the caller of one turn has waited: its rounds share it, for the caller hears no rounds. */
export class Wait {
  readonly #now: () => number;
  readonly #startedAt: number;
  #quietSince: number;
  #answered = false;
  /** Words of patience since something was said. */
  #asides = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAt = now();
    this.#quietSince = this.#startedAt;
  }

  /** Until the caller is told to hold on, or told so again. */
  remainingMs(fillerMs: number): number {
    const limitMs = this.#asides === 0 ? fillerMs : HOLD_MS;
    return Math.max(0, this.#quietSince + limitMs - this.#now());
  }

  /** The word of patience to be said now. */
  hold(): string {
    this.#quietSince = this.#now();
    this.#asides += 1;
    return this.#asides === 1 ? PHRASES.oneMoment : PHRASES.stillWorking;
  }

  /** The first audio of an answer goes to the caller. */
  sound(stage: Stage): void {
    if (this.#answered) return;
    this.#answered = true;
    stage.event("first audio");
    recordResponseTime(this.#now() - this.#startedAt);
  }

  /** Something of the answer has been heard to its end. */
  heard(): void {
    this.#quietSince = this.#now();
    this.#asides = 0;
  }
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
  const { signal, onSpeaker, wait } = options;
  const onAudio = () => wait.sound(options.stage);
  const voice = tracedVoice(options.voice, options.stage);
  const speaker = new Speaker({ ...options, voice, onAudio }, signal);
  onSpeaker(speaker);
  const holding = holdTheLine(speaker, options);
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
  const heard = speaker.heard();
  if (heard !== "") wait.heard();
  return { heard, interrupted: signal.aborted, calls, failure };
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
function holdTheLine(
  speaker: Speaker,
  { wait, fillerMs }: Pick<AnswerOptions, "wait" | "fillerMs">,
): { stop(): void } {
  const hold = () => {
    if (!speaker.idle) return;
    speaker.aside(wait.hold());
    timer = setTimeout(hold, wait.remainingMs(fillerMs));
  };
  let timer = setTimeout(hold, wait.remainingMs(fillerMs));
  return { stop: () => clearTimeout(timer) };
}
