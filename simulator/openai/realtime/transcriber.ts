import type { Fields } from "../json.ts";
import type { Event } from "./dialect.ts";
import type { HeardItem } from "./items.ts";

/**
 * Tells the client what the caller said, where the session asks for it. Transcription runs beside
 * the answer: its events may come before or after those of the response.
 */
export class Transcriber {
  readonly #send: (event: Event) => void;

  constructor(send: (event: Event) => void) {
    this.#send = send;
  }

  follow(item: HeardItem, wanted: Fields | null): void {
    if (wanted === null) {
      // Nobody asked for the words; the model waits for them by itself.
      void item.words.catch(() => undefined);
      return;
    }
    const at = { item_id: item.id, content_index: 0 };
    item.words.then(
      (transcript) => this.#completed(at, transcript, item),
      (error: unknown) => this.#failed(at, String(error)),
    );
  }

  #completed(at: object, transcript: string, { durationMs }: HeardItem): void {
    const name = "conversation.item.input_audio_transcription";
    if (transcript !== "") this.#send({ type: `${name}.delta`, ...at, delta: transcript });
    const usage = { type: "duration", seconds: Math.ceil(durationMs / 1000) };
    this.#send({ type: `${name}.completed`, ...at, transcript, usage });
  }

  #failed(at: object, message: string): void {
    const error = {
      type: "transcription_error",
      code: "audio_unintelligible",
      message,
      param: null,
    };
    this.#send({ type: "conversation.item.input_audio_transcription.failed", ...at, error });
  }
}
