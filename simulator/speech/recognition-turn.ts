import { languageAmong } from "./expectation.ts";
import type { Word } from "./flite.ts";
import type { EarEvent } from "./listener.ts";
import { withoutProfanity } from "./profanity.ts";
import type { RecognitionSettings } from "./recognition-settings.ts";

/** The service counts time in units of 100 ns. */
export const TICKS_PER_MS = 10_000;

/** A message to the client, before framing. */
export interface TurnMessage {
  path: string;
  body: Record<string, unknown>;
}

export type RecognitionStatus =
  | "Success"
  | "NoMatch"
  | "InitialSilenceTimeout"
  | "EndOfDictation"
  | (string & {});

/** What the turn holds until the silence after it is long enough. */
interface Phrase {
  text: string;
  startMs: number;
  endMs: number;
  confidence: number;
  words: readonly Word[];
  language: string | undefined;
}

export interface RecognitionTurnOptions {
  settings: RecognitionSettings;
  send: (message: TurnMessage) => void;
  /** The turn ended by itself: interactive mode had its result. */
  onOver: () => void;
  /** For the `Id` of hypotheses and phrases. */
  newId: () => string;
}

/**
 * Turns what an ear hears into the service's messages: sentences that follow each other within the
 * segmentation silence are one phrase; silence and unknown speech are phrases without text. All
 * time is audio time, so a client may push audio faster than real time.
 */
export class RecognitionTurn {
  readonly #options: RecognitionTurnOptions;
  #phrase: Phrase | undefined;
  #speaking = false;
  #announced = false;
  #quietSinceMs = 0;
  #heardMs = 0;
  /** The first phrase's, where one language counts for the whole turn. */
  #spoken: string | undefined;
  #ending = false;
  #over = false;

  constructor(options: RecognitionTurnOptions) {
    this.#options = options;
  }

  get over(): boolean {
    return this.#over;
  }

  hear(heard: EarEvent): void {
    if (this.#over) return;
    const event = this.#understood(heard);
    if (event === undefined) return;
    this.#part(event);
    if (this.#over) return;
    switch (event.type) {
      case "onset":
        this.#begin(event.startMs);
        break;
      case "hypothesis":
        this.#suppose(event);
        break;
      case "phrase":
        this.#speaking = false;
        this.#phrase = joined(this.#phrase, event);
        break;
      case "discard":
        this.#speaking = false;
        break;
      case "noMatch":
        this.#speaking = false;
        this.#flush();
        if (!this.#over) this.#conclude(this.#emptyPhrase("NoMatch", event), event.endMs);
        break;
    }
  }

  /** An engine may tell of several utterances at once, before any progress through the silence between. */
  #part({ startMs }: EarEvent): void {
    if (this.#phrase === undefined || this.#speaking) return;
    const silenceMs = startMs - this.#phrase.endMs;
    if (silenceMs >= this.#options.settings.segmentationSilenceMs) this.#flush();
  }

  /** After the language was identified at the start, nothing in another one is understood. */
  #understood(event: EarEvent): EarEvent | undefined {
    const { languageOnce, languages } = this.#options.settings;
    if (!languageOnce || event.language === undefined) return event;
    const language = languageAmong(languages, event.language);
    if (event.type === "phrase") this.#spoken ??= language;
    if (this.#spoken === undefined || this.#spoken === language) return event;
    return event.type === "phrase" ? { ...event, type: "noMatch", text: "" } : undefined;
  }

  /** So much audio has been judged. */
  progress(heardMs: number): void {
    this.#heardMs = heardMs;
    if (this.#over) return;
    const { segmentationSilenceMs, longestPhraseMs, initialSilenceMs } = this.#options.settings;
    const phrase = this.#phrase;
    if (phrase !== undefined) {
      const silent = !this.#speaking && heardMs >= phrase.endMs + segmentationSilenceMs;
      if (silent || heardMs >= phrase.startMs + longestPhraseMs) this.#flush();
    } else if (!this.#speaking && heardMs >= this.#quietSinceMs + initialSilenceMs) {
      const silence = { startMs: this.#quietSinceMs, endMs: heardMs };
      this.#conclude(this.#emptyPhrase("InitialSilenceTimeout", silence), heardMs);
    }
  }

  /** The audio is over and everything heard has been told. */
  finish(): void {
    if (this.#over) return;
    this.#flush();
    if (this.#over) return;
    const { mode } = this.#options.settings;
    const end = { startMs: this.#heardMs, endMs: this.#heardMs };
    const status = mode === "interactive" ? "InitialSilenceTimeout" : "EndOfDictation";
    this.#options.send(this.#emptyPhrase(status, end));
    this.#end();
  }

  /** Ends the turn after the phrase that is being told, as the service may; the client starts anew. */
  end(): void {
    this.#ending = true;
  }

  #begin(startMs: number): void {
    this.#speaking = true;
    if (this.#announced) return;
    this.#announced = true;
    const body = { Offset: ticks(startMs) };
    this.#options.send({ path: "speech.startDetected", body });
  }

  #suppose({ text, startMs, endMs, language }: EarEvent): void {
    const before = this.#phrase;
    const words = before === undefined ? text : `${before.text} ${text}`;
    this.#options.send({
      path: "speech.hypothesis",
      body: {
        Id: this.#options.newId(),
        Text: withoutProfanity(lexical(words), this.#options.settings.profanity),
        ...placed(before?.startMs ?? startMs, endMs),
        ...this.#language(language),
      },
    });
  }

  #flush(): void {
    const phrase = this.#phrase;
    this.#phrase = undefined;
    if (phrase === undefined) return;
    this.#conclude(this.#recognised(phrase), phrase.endMs);
  }

  /** Interactive: the end of speech, then the phrase, and the turn is over. Continuous: the reverse. */
  #conclude(phrase: TurnMessage, endMs: number): void {
    const end = { path: "speech.endDetected", body: { Offset: ticks(endMs) } };
    const interactive = this.#options.settings.mode === "interactive";
    for (const message of interactive ? [end, phrase] : [phrase, end]) this.#options.send(message);
    this.#announced = this.#speaking;
    this.#quietSinceMs = this.#heardMs;
    if (interactive || this.#ending) this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#options.send({ path: "turn.end", body: {} });
    this.#options.onOver();
  }

  #recognised({ text, startMs, endMs, confidence, words, language }: Phrase): TurnMessage {
    const { detailed, wordTimings, profanity } = this.#options.settings;
    const display = withoutProfanity(text, profanity);
    const plain = lexical(text);
    const body: Record<string, unknown> = {
      Id: this.#options.newId(),
      RecognitionStatus: "Success",
      ...placed(startMs, endMs),
      ...this.#language(language),
      DisplayText: display,
    };
    if (!detailed) return { path: "speech.phrase", body };
    const masked = withoutProfanity(plain, profanity);
    const best = { Confidence: confidence, Lexical: plain, ITN: plain, MaskedITN: masked };
    const timed = words.map((word) => ({
      Word: lexical(word.text),
      ...ticksOf(word.startMs, word.startMs + word.durationMs),
    }));
    body.NBest = [{ ...best, Display: display, ...(wordTimings ? { Words: timed } : {}) }];
    return { path: "speech.phrase", body };
  }

  /** Interactive mode leaves the text out; a detailed result always has its NBest, or the SDK hangs. */
  #emptyPhrase(
    status: RecognitionStatus,
    { startMs, endMs }: { startMs: number; endMs: number },
  ): TurnMessage {
    const { mode, detailed } = this.#options.settings;
    const body: Record<string, unknown> = {
      Id: this.#options.newId(),
      RecognitionStatus: status,
      ...placed(startMs, endMs),
      ...this.#language(),
    };
    if (mode !== "interactive") body.DisplayText = "";
    if (detailed) {
      body.NBest = [{ Confidence: 0, Lexical: "", ITN: "", MaskedITN: "", Display: "" }];
    }
    return { path: "speech.phrase", body };
  }

  /** Only for who asked which language it is. What is not understood is in the first, with little confidence. */
  #language(language?: string): Record<string, unknown> {
    const { identifyLanguage, languages } = this.#options.settings;
    if (!identifyLanguage) return {};
    const Language = language === undefined ? languages[0] : languageAmong(languages, language);
    return { PrimaryLanguage: { Language, Confidence: language === undefined ? "Low" : "High" } };
  }
}

function joined(before: Phrase | undefined, event: EarEvent): Phrase {
  const { text, startMs, endMs, confidence = 1, words = [], language } = event;
  if (before === undefined) return { text, startMs, endMs, confidence, words, language };
  return {
    text: `${before.text} ${text}`,
    startMs: before.startMs,
    endMs,
    confidence: Math.min(before.confidence, confidence),
    words: [...before.words, ...words],
    language: before.language,
  };
}

/** As the service writes what it is not sure of yet: no capitals, no punctuation. */
function lexical(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}'’$€£%&@\s-]/gu, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

function ticks(ms: number): number {
  return Math.max(0, Math.round(ms * TICKS_PER_MS));
}

function ticksOf(startMs: number, endMs: number) {
  return { Offset: ticks(startMs), Duration: ticks(endMs - startMs) };
}

function placed(startMs: number, endMs: number) {
  return { ...ticksOf(startMs, endMs), Channel: 0 };
}
