import {
  CancellationDetails,
  Connection,
  PropertyId,
  ResultReason,
  SpeechSynthesisOutputFormat,
  type SpeechSynthesisResult,
  SpeechSynthesizer,
} from "microsoft-cognitiveservices-speech-sdk";
import { SpeechFailure, type SpeechOptions, speechConfig } from "./stt.ts";

/** One word of an utterance: where it lies in the text, and when it is audible in its audio. */
export interface SpokenWord {
  readonly text: string;
  /** Character offset in the utterance's text; negative when the service could not place it. */
  readonly textOffset: number;
  readonly startMs: number;
  readonly endMs: number;
}

export type SpeechPiece =
  | { readonly type: "audio"; readonly samples: Uint8Array }
  | { readonly type: "word"; readonly word: SpokenWord };

/** One call's voice. Utterances are synthesised one at a time, in order. */
export interface Voice extends AsyncDisposable {
  /**
   * Audio (16-bit mono PCM at the call's rate) and word times, as they come. Aborting the signal
   * ends the iteration quietly within milliseconds. Throws {@link SpeechFailure} when synthesis is
   * refused, is cut off, or gives no audio in time.
   */
  speak(text: string, options: { signal: AbortSignal }): AsyncIterable<SpeechPiece>;
}

const TICKS_PER_MS = 10_000;

/** Opens a connection at once, so that the first utterance does not wait for one. */
export function openVoice(options: SpeechOptions): Voice {
  const open = new Set<SpeechSynthesizer>();
  let disposed = false;
  let spare: SpeechSynthesizer | undefined = openSynthesizer(options, open);
  const take = () => {
    const synthesizer = spare ?? openSynthesizer(options, open);
    spare = undefined;
    return synthesizer;
  };
  const giveBack = (synthesizer: SpeechSynthesizer, usable: boolean) => {
    if (usable && !disposed && spare === undefined) spare = synthesizer;
    else closeSynthesizer(synthesizer, open);
    // The next utterance, the answer to the interruption, finds a connection ready.
    if (!disposed) spare ??= openSynthesizer(options, open);
  };
  return {
    speak: (text, { signal }) => speakOnce(text, { options, signal, take, giveBack }),
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      for (const synthesizer of open) closeSynthesizer(synthesizer, open);
    },
  };
}

interface Utterance {
  readonly options: SpeechOptions;
  readonly signal: AbortSignal;
  readonly take: () => SpeechSynthesizer;
  readonly giveBack: (synthesizer: SpeechSynthesizer, usable: boolean) => void;
}

async function* speakOnce(text: string, utterance: Utterance): AsyncGenerator<SpeechPiece> {
  const { options, signal, take, giveBack } = utterance;
  if (signal.aborted) return;
  const synthesizer = take();
  const pieces = new Pieces(signal, options.firstAudioTimeoutMs);
  let usable = false;
  try {
    begin(synthesizer, text, pieces);
    yield* pieces;
    usable = pieces.completed;
  } finally {
    pieces.close();
    // The SDK has no way to stop one utterance: an unfinished one costs its synthesizer.
    giveBack(synthesizer, usable);
  }
}

function begin(synthesizer: SpeechSynthesizer, text: string, pieces: Pieces): void {
  synthesizer.synthesizing = (_sender, { result }) =>
    pieces.push({ type: "audio", samples: new Uint8Array(result.audioData) });
  synthesizer.wordBoundary = (_sender, event) =>
    pieces.push({
      type: "word",
      word: {
        text: event.text,
        textOffset: event.textOffset,
        startMs: event.audioOffset / TICKS_PER_MS,
        endMs: (event.audioOffset + event.duration) / TICKS_PER_MS,
      },
    });
  synthesizer.speakTextAsync(
    text,
    (result) => pieces.finish(failureOf(result)),
    (error) => pieces.finish(new SpeechFailure("synthesis", "ConnectionFailure", error)),
  );
}

function failureOf(result: SpeechSynthesisResult): SpeechFailure | undefined {
  if (result.reason === ResultReason.SynthesizingAudioCompleted) return undefined;
  const code = result.properties.getProperty("CancellationErrorCode", "Unknown");
  const { errorDetails } = CancellationDetails.fromResult(result);
  return new SpeechFailure("synthesis", code, errorDetails ?? result.errorDetails ?? "");
}

/** What a synthesis produced and nobody has taken yet. Bounded by the length of one utterance. */
class Pieces implements AsyncIterable<SpeechPiece> {
  readonly #pieces: SpeechPiece[] = [];
  readonly #signal: AbortSignal;
  readonly #timeoutMs: number;
  readonly #wake = () => this.#waiting?.();
  #watchdog: NodeJS.Timeout | undefined;
  #waiting: (() => void) | undefined;
  #failure: SpeechFailure | undefined;
  #ended = false;
  completed = false;

  constructor(signal: AbortSignal, timeoutMs: number) {
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
    signal.addEventListener("abort", this.#wake, { once: true });
    this.#watch();
  }

  push(piece: SpeechPiece): void {
    if (this.#ended) return;
    this.#pieces.push(piece);
    this.#watch();
    this.#wake();
  }

  finish(failure: SpeechFailure | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.completed = failure === undefined;
    this.#wake();
  }

  close(): void {
    this.#ended = true;
    clearTimeout(this.#watchdog);
    this.#signal.removeEventListener("abort", this.#wake);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SpeechPiece> {
    while (!this.#signal.aborted) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) yield piece;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#ended) return;
      else await this.#more();
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Silence from the service, before the first piece or between two, is a failure like another. */
  #watch(): void {
    clearTimeout(this.#watchdog);
    const detail = `no audio for ${this.#timeoutMs} ms`;
    const fail = () => this.finish(new SpeechFailure("synthesis", "Stalled", detail));
    this.#watchdog = setTimeout(fail, this.#timeoutMs);
  }
}

function openSynthesizer(options: SpeechOptions, open: Set<SpeechSynthesizer>): SpeechSynthesizer {
  const config = speechConfig(options);
  config.speechSynthesisVoiceName = options.voice;
  config.speechSynthesisLanguage = options.language;
  // Raw, because the SDK would put a WAV header before every chunk of the riff formats.
  config.speechSynthesisOutputFormat =
    options.rateHz === 24000
      ? SpeechSynthesisOutputFormat.Raw24Khz16BitMonoPcm
      : SpeechSynthesisOutputFormat.Raw16Khz16BitMonoPcm;
  config.setProperty(PropertyId.SpeechServiceResponse_RequestWordBoundary, "true");
  // No audio destination: null keeps the SDK from looking for a loudspeaker.
  const synthesizer = new SpeechSynthesizer(config, null);
  open.add(synthesizer);
  // A refused connection shows itself again, with its reason, at the first utterance.
  Connection.fromSynthesizer(synthesizer).openConnection(
    () => {},
    () => {},
  );
  return synthesizer;
}

function closeSynthesizer(synthesizer: SpeechSynthesizer, open: Set<SpeechSynthesizer>): void {
  if (!open.delete(synthesizer)) return;
  const { privConnectionPromise: connection } = synthesizer.internalData as Inner;
  synthesizer.close(
    () => {},
    () => {},
  );
  // One that never opened needs no closing.
  void connection?.then((opened) => opened.dispose()).catch(() => undefined);
}

/**
 * The SDK (1.52) closes a connection only if something was spoken on it; one that was opened for an
 * utterance that never came would stay until the service ends it.
 */
interface Inner {
  readonly privConnectionPromise?: Promise<{ dispose: () => Promise<void> }> | null;
}
