import type { Clock, Timer } from "../clock.ts";
import type { AudioBridge } from "./audio-bridge.ts";
import { MEDIA_SUCCESS } from "./call.ts";
import type { ResultInformation } from "./callbacks.ts";
import { MediaFailure, mediaFailure } from "./media-failure.ts";
import type { EarEvent, SpeechServices } from "./speech.ts";
import { toneOf } from "./tone.ts";

export interface Choice {
  readonly label: string;
  readonly phrases: readonly string[];
  /** The tone's name: `one`. */
  readonly tone: string | undefined;
}

/** What a recognise operation waits for. */
export interface RecognitionRequest {
  readonly input: "dtmf" | "choices" | "speech" | "speechOrDtmf";
  readonly target: string;
  readonly isPromptInterruptible: boolean;
  readonly initialSilenceMs: number;
  readonly interToneMs: number;
  readonly maxTones: number | undefined;
  readonly stopTones: readonly string[];
  readonly choices: readonly Choice[];
  readonly locale: string | undefined;
  readonly endSilenceMs: number;
}

/** `RecognizeCompleted` without its envelope. */
export interface Recognised {
  readonly result: ResultInformation;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface RecognitionContext {
  readonly clock: Clock;
  readonly bridge: AudioBridge;
  readonly speech: SpeechServices;
  readonly signal: AbortSignal;
}

/** Listens to one participant until it pressed or said what is wanted. */
export class Recognition implements AsyncDisposable {
  readonly #request: RecognitionRequest;
  readonly #context: RecognitionContext;
  readonly #outcome = Promise.withResolvers<Recognised>();
  readonly #interrupted = new AbortController();
  readonly #cleanup = new AsyncDisposableStack();
  readonly #tones: string[] = [];
  #isPrompting = true;
  #timer: Timer | undefined;

  constructor(request: RecognitionRequest, context: RecognitionContext) {
    this.#request = request;
    this.#context = context;
    this.#outcome.promise.catch(() => {}); // Nobody waits while the prompt is played.
    const abort = () => this.#outcome.reject(context.signal.reason);
    context.signal.addEventListener("abort", abort, { once: true });
    this.#cleanup.defer(() => context.signal.removeEventListener("abort", abort));
    this.#cleanup.defer(() => this.#timer?.cancel());
    if (request.input !== "speech") this.#listenForTones();
    if (request.input !== "dtmf") this.#listenForSpeech();
  }

  /** Aborts when the participant interrupts the prompt. */
  get interrupted(): AbortSignal {
    return this.#interrupted.signal;
  }

  /** The prompt is over: the participant has the floor. Rejects with {@link MediaFailure}. */
  async outcome(): Promise<Recognised> {
    this.#isPrompting = false;
    if (this.#tones.length === 0 && this.#timer === undefined) {
      this.#expect(this.#request.initialSilenceMs, () => this.#fail(mediaFailure.initialSilence()));
    }
    return this.#outcome.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.disposeAsync();
  }

  #listenForTones(): void {
    const stop = this.#context.bridge.onDigit((rawId, digit) => {
      if (rawId === this.#request.target && this.#mayInterrupt()) this.#takeTone(toneOf(digit));
    });
    this.#cleanup.defer(stop);
  }

  #listenForSpeech(): void {
    const { speech, bridge } = this.#context;
    const { target, locale, endSilenceMs, input } = this.#request;
    if (speech.recognise === undefined) {
      if (input === "speech") this.#fail(mediaFailure.speechService());
      return;
    }
    const ear = speech.recognise({
      locale,
      segmentationSilenceMs: endSilenceMs,
      onEvent: (event) => this.#takeSpeech(event),
    });
    this.#cleanup.use(ear);
    const stop = bridge.onEach(({ rawId, samples }) => {
      if (rawId === target) ear.accept(samples, 8000);
    });
    this.#cleanup.defer(stop);
  }

  /** During the prompt only an interruptible one gives way. */
  #mayInterrupt(): boolean {
    if (this.#isPrompting && !this.#request.isPromptInterruptible) return false;
    this.#interrupted.abort(new Error("the prompt was interrupted"));
    return true;
  }

  #takeTone(tone: string): void {
    const { choices, stopTones, maxTones, input, interToneMs } = this.#request;
    if (input === "choices") {
      const choice = choices.find((entry) => entry.tone === tone);
      if (choice === undefined) return this.#fail(mediaFailure.incorrectTone());
      return this.#complete(8533, "choices", { choiceResult: { label: choice.label } });
    }
    if (stopTones.includes(tone)) return this.#completeTones(200, 8514);
    this.#tones.push(tone);
    if (this.#tones.length === maxTones) return this.#completeTones(200, 8531);
    return this.#expect(interToneMs, () => this.#completeTones(400, 8532));
  }

  #completeTones(code: number, subCode: number): void {
    const dtmfResult = { tones: [...this.#tones] };
    this.#complete(subCode, "dtmf", { dtmfResult }, code);
  }

  #takeSpeech(event: EarEvent): void {
    switch (event.type) {
      case "onset":
      case "hypothesis":
        // Who speaks is no longer silent; what it says decides.
        if (this.#mayInterrupt() && this.#tones.length === 0) this.#expectNothing();
        return;
      case "phrase":
        if (this.#mayInterrupt()) this.#takePhrase(event);
        return;
      case "noMatch":
        if (this.#mayInterrupt()) this.#fail(mediaFailure.speechNotRecognised());
        return;
    }
  }

  #takePhrase({ text, confidence = 0.9 }: EarEvent): void {
    if (this.#request.input !== "choices") {
      this.#complete(8569, "speech", { speechResult: { speech: text, confidence } });
      return;
    }
    const said = plain(text);
    for (const { label, phrases } of this.#request.choices) {
      const phrase = phrases.find((candidate) => said.includes(plain(candidate)));
      if (phrase === undefined) continue;
      const choiceResult = { label, recognizedPhrase: phrase, confidence };
      return this.#complete(8545, "choices", { choiceResult });
    }
    this.#fail(mediaFailure.speechNotMatched());
  }

  #complete(subCode: number, type: string, found: Record<string, unknown>, code = 200): void {
    const result = { ...MEDIA_SUCCESS, code, subCode };
    this.#outcome.resolve({ result, data: { recognitionType: type, ...found } });
  }

  #fail(result: ResultInformation): void {
    this.#outcome.reject(new MediaFailure(result));
  }

  #expect(timeoutMs: number, expired: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#context.clock.after(timeoutMs, expired);
  }

  #expectNothing(): void {
    this.#timer?.cancel();
    // Keeps outcome() from starting the initial silence again.
    this.#timer = { cancel: () => {}, [Symbol.dispose]: () => {} };
  }
}

/** Lower case, no punctuation, padded so that whole words match. */
function plain(text: string): string {
  return ` ${text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
    .trim()} `;
}
