import {
  AudioConfig,
  CancellationErrorCode,
  CancellationReason,
  OutputFormat,
  PropertyId,
  ResultReason,
  SpeechConfig,
  SpeechRecognizer,
} from "microsoft-cognitiveservices-speech-sdk";
import type { Config } from "./config.ts";
import { LiveAudio } from "./live-audio.ts";

/** What one ear of one call reports. Times are the caller's; texts are display texts. */
export interface EarListener {
  /** Sound that may be speech began. */
  onOnset(): void;
  /** A growing guess at what is being said. */
  onHypothesis(text: string): void;
  onPhrase(text: string): void;
  /** The onset was no speech, or nothing was said for long. */
  onNothing(): void;
  /** Recognition has ended and will not come back by itself. */
  onFailure(failure: SpeechFailure): void;
}

export class SpeechFailure extends Error {
  /** The SDK's name of the error, such as `ConnectionFailure` or `TooManyRequests`. */
  readonly code: string;

  constructor(service: "recognition" | "synthesis", code: string, detail: string) {
    super(`speech ${service} failed with ${code}: ${withoutKeys(detail)}`);
    this.name = "SpeechFailure";
    this.code = code;
  }
}

/** Continuous recognition of one call, from the answer to the end. */
export interface Ear extends AsyncDisposable {
  /** 16-bit mono PCM at the call's rate. */
  write(samples: Uint8Array): void;
}

export type SpeechOptions = Config["speech"] & { readonly rateHz: number };
export type EarOptions = SpeechOptions & { readonly date: () => Date };

/**
 * Starts listening at once; audio may come later. The SDK reports a successful start even when the
 * service refused the connection, so a refusal arrives through `onFailure` only.
 */
export function openEar(options: EarOptions, listener: EarListener): Ear {
  const audio = new LiveAudio(options.rateHz, options.date);
  const recognizer = new SpeechRecognizer(
    recognitionConfig(options),
    AudioConfig.fromStreamInput(audio),
  );
  const report = reporter(listener);
  attach(recognizer, report);
  recognizer.startContinuousRecognitionAsync(undefined, (error) =>
    report.onFailure(new SpeechFailure("recognition", "StartFailed", error)),
  );
  return {
    write: (samples) => audio.write(samples),
    [Symbol.asyncDispose]: () => {
      report.silence();
      audio.close();
      return closeRecognizer(recognizer);
    },
  };
}

/** Configuration both directions share. Made anew for every call: SDK objects hold state. */
export function speechConfig({ key, region, host }: SpeechOptions): SpeechConfig {
  if (host === undefined) return SpeechConfig.fromSubscription(key, region ?? "");
  const config = SpeechConfig.fromHost(new URL(host), key);
  // A host otherwise selects the container's older path; this is the one a region has.
  config.setProperty(PropertyId.SpeechServiceConnection_RecognitionEndpointVersion, "2");
  return config;
}

function recognitionConfig(options: SpeechOptions): SpeechConfig {
  const config = speechConfig(options);
  config.speechRecognitionLanguage = options.language;
  config.outputFormat = OutputFormat.Simple;
  config.setProperty(
    PropertyId.Speech_SegmentationSilenceTimeoutMs,
    String(options.segmentationSilenceMs),
  );
  // Without it a service that never ends its turn would hold the call's end for ever.
  config.setProperty("Recognizer_StopTimeoutMs", String(options.stopTimeoutMs));
  return config;
}

/** Passes events on until silenced, and only the first failure: the SDK may report several. */
function reporter(listener: EarListener): EarListener & { silence(): void } {
  let listening = true;
  const whileListening =
    <Args extends unknown[]>(report: (...args: Args) => void) =>
    (...args: Args) => {
      if (listening) report(...args);
    };
  return {
    onOnset: whileListening(() => listener.onOnset()),
    onHypothesis: whileListening((text: string) => listener.onHypothesis(text)),
    onPhrase: whileListening((text: string) => listener.onPhrase(text)),
    onNothing: whileListening(() => listener.onNothing()),
    onFailure: whileListening((failure: SpeechFailure) => {
      listening = false;
      listener.onFailure(failure);
    }),
    silence: () => {
      listening = false;
    },
  };
}

function attach(recognizer: SpeechRecognizer, report: EarListener): void {
  recognizer.speechStartDetected = () => report.onOnset();
  recognizer.recognizing = (_sender, { result }) => report.onHypothesis(result.text);
  recognizer.recognized = (_sender, { result }) => {
    const text = result.text?.trim() ?? "";
    if (result.reason === ResultReason.RecognizedSpeech && text !== "") report.onPhrase(text);
    else report.onNothing();
  };
  recognizer.canceled = (_sender, { reason, errorCode, errorDetails }) => {
    if (reason === CancellationReason.EndOfStream) return;
    const code = CancellationErrorCode[errorCode] ?? "Unknown";
    report.onFailure(new SpeechFailure("recognition", code, errorDetails ?? ""));
  };
}

/** Closing is bounded by the SDK's stop time-out; how it ends no longer matters to the call. */
function closeRecognizer(recognizer: SpeechRecognizer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  recognizer.close(resolve, () => {
    // What cannot be closed either has nobody left who could be told.
    void (recognizer.internalData as Inner).dispose?.().catch(() => undefined);
    resolve();
  });
  return promise;
}

/**
 * A recognizer of the SDK (1.52) whose stop timed out closes its connection, opens another one to
 * go on reading, and keeps that until the service ends it; only what is inside can be disposed then.
 */
interface Inner {
  readonly dispose?: () => Promise<void>;
}

/** The SDK puts the key into connection URLs, and URLs into its error texts. */
function withoutKeys(text: string): string {
  return text.replaceAll(/((?:subscription-key|authorization)(?:=|%3d))[^&\s"]+/gi, "$1•••");
}
