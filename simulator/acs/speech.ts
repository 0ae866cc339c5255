import type { Audio } from "../media/frame.ts";

/** Text that has to become audio. Exactly one of `text` and `ssml` is set. */
export interface SynthesisRequest {
  readonly text?: string | undefined;
  readonly ssml?: string | undefined;
  readonly voice?: string | undefined;
  readonly locale?: string | undefined;
  readonly signal: AbortSignal;
}

/** What a recogniser hears; times count the audio it was given. */
export interface EarEvent {
  readonly type: "onset" | "hypothesis" | "phrase" | "noMatch";
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly confidence?: number;
  readonly words?: readonly { text: string; startMs: number; durationMs: number }[];
}

export interface Ear extends AsyncDisposable {
  accept(samples: Int16Array, rateHz: number): void;
}

export interface ListenOptions {
  readonly locale?: string | undefined;
  /** Silence that ends a phrase. */
  readonly segmentationSilenceMs?: number | undefined;
  readonly onEvent: (event: EarEvent) => void;
}

/** Stands for the AI services resource an application links to its calls. */
export interface SpeechServices {
  readonly synthesise?: ((request: SynthesisRequest) => Promise<Audio>) | undefined;
  readonly recognise?: ((options: ListenOptions) => Ear) | undefined;
}
