import { type Call, MEDIA_SUCCESS, type OperationAddress } from "./call.ts";
import type { ResultInformation } from "./callbacks.ts";
import type { Core } from "./core.ts";
import type { TranscriptionOptions } from "./media-options.ts";
import { refusal } from "./service-error.ts";
import { TranscriptionStream } from "./transcription-stream.ts";

const NO_SOCKET: ResultInformation = {
  code: 500,
  subCode: 8578,
  message: "Action failed, the web socket server did not accept the connection.",
};
const NO_SPEECH: ResultInformation = {
  code: 400,
  subCode: 8565,
  message: "Action failed, the AI services resource did not answer.",
};

/** Starts, updates and stops a call's transcription, and reports it by Transcription events. */
export class Transcription {
  readonly #call: Call;
  readonly #options: TranscriptionOptions;
  readonly #core: Core;
  #stream: TranscriptionStream | undefined;

  constructor(call: Call, options: TranscriptionOptions, core: Core) {
    this.#call = call;
    this.#options = options;
    this.#core = core;
    call.onEnd(() => this.#close());
  }

  /** Connects in the background; the outcome is an event. */
  start(address: OperationAddress, locale = this.#options.locale): void {
    if (this.#stream !== undefined) throw refusal.mediaOperationActive();
    const stream = new TranscriptionStream(this.#call, { ...this.#options, locale }, this.#core);
    this.#stream = stream;
    this.#core.background.run("transcription", () => this.#open(stream, address));
  }

  update(address: OperationAddress, locale: string): void {
    const stream = this.#active();
    this.#core.background.run("transcription update", async () => {
      await stream.update(locale);
      this.#report("Updated", "transcriptionLocaleUpdated", address);
    });
  }

  stop(address: OperationAddress): void {
    this.#active();
    this.#close();
    this.#report("Stopped", "subscriptionStopped", address);
  }

  #active(): TranscriptionStream {
    if (this.#stream === undefined) throw refusal.invalidState("transcription is not active");
    return this.#stream;
  }

  async #open(stream: TranscriptionStream, address: OperationAddress): Promise<void> {
    if (this.#core.speech.recognise === undefined) {
      return this.#fail("speechServicesConnectionError", { ...address, result: NO_SPEECH });
    }
    const lost = () => this.#lost(stream, address);
    try {
      await stream.open(lost);
    } catch {
      return stream.isClosing ? undefined : lost();
    }
    return this.#report("Started", "subscriptionStarted", address);
  }

  #lost(stream: TranscriptionStream, address: OperationAddress): void {
    if (this.#stream !== stream) return;
    this.#close();
    this.#fail("streamConnectionUnsuccessful", { ...address, result: NO_SOCKET });
  }

  #close(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined) return;
    this.#core.background.run("transcription end", () => stream[Symbol.asyncDispose]());
  }

  #fail(details: string, address: OperationAddress & { result: ResultInformation }): void {
    this.#stream = undefined;
    this.#report("Failed", details, address);
  }

  #report(
    what: "Started" | "Updated" | "Stopped" | "Failed",
    details: string,
    address: OperationAddress & { result?: ResultInformation },
  ): void {
    const isActive = what === "Started" || what === "Updated";
    this.#call.subscriptions.transcription = isActive ? "active" : "inactive";
    this.#call.emit(`Transcription${what}`, {
      operationContext: address.operationContext,
      url: address.url,
      result: address.result ?? MEDIA_SUCCESS,
      data: {
        transcriptionUpdate: {
          transcriptionStatus: `transcription${what}`,
          transcriptionStatusDetails: details,
        },
      },
    });
  }
}
