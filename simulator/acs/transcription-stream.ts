import { WebSocket } from "ws";
import type { Call } from "./call.ts";
import type { Core } from "./core.ts";
import type { TranscriptionOptions } from "./media-options.ts";
import type { Ear, EarEvent } from "./speech.ts";

/** .NET ticks at the Unix epoch; a tick is 100 ns. */
const EPOCH_TICKS = 621_355_968_000_000_000n;
const TICKS_PER_MS = 10_000;

/** One transcription WebSocket: what each participant says, as text, with ACS as the client. */
export class TranscriptionStream implements AsyncDisposable {
  readonly #call: Call;
  readonly #options: TranscriptionOptions;
  readonly #core: Core;
  readonly #ears = new Map<string, Ear>();
  readonly #startedAt: Date;
  #locale: string;
  #socket: WebSocket | undefined;
  #unlisten: () => void = () => {};
  isClosing = false;

  constructor(call: Call, options: TranscriptionOptions, core: Core) {
    this.#call = call;
    this.#options = options;
    this.#core = core;
    this.#locale = options.locale;
    this.#startedAt = core.clock.date();
  }

  /** Dials and sends TranscriptionMetadata. Calls `lost` when the socket breaks later. */
  async open(lost: () => void): Promise<void> {
    const { issuer, outbound } = this.#core;
    const headers = {
      "x-ms-call-connection-id": this.#call.id,
      "x-ms-call-correlation-id": this.#call.conversation.correlationId,
      ...(await issuer.authorization()),
    };
    if (this.isClosing) throw new Error("transcription stopped before the socket opened");
    const socket = outbound.webSocket(this.#options.transportUrl, headers);
    this.#socket = socket;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.on("open", () => {
      this.#begin();
      resolve();
    });
    socket.on("error", reject);
    socket.on("close", (code) => {
      this.#record("close", { code });
      reject(new Error(`closed with ${code}`));
      if (!this.isClosing) lost();
    });
    await promise;
  }

  /** Goes on in another language, with new metadata and new ears. */
  async update(locale: string): Promise<void> {
    this.#locale = locale;
    this.#sendMetadata();
    await this.#forgetEars();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosing = true;
    this.#unlisten();
    this.#socket?.close(1000, "transcription stopped");
    const socket = this.#socket;
    const timer = this.#core.clock.after(2000, () => socket?.terminate());
    socket?.once("close", () => timer.cancel());
    if (socket === undefined || socket.readyState === socket.CLOSED) timer.cancel();
    await this.#forgetEars();
  }

  #begin(): void {
    this.#sendMetadata();
    const { bridge } = this.#call.conversation;
    this.#unlisten = bridge.onEach(({ rawId, samples }) =>
      this.#earOf(rawId)?.accept(samples, 8000),
    );
  }

  async #forgetEars(): Promise<void> {
    const ears = [...this.#ears.values()];
    this.#ears.clear();
    await Promise.all(ears.map((ear) => ear[Symbol.asyncDispose]()));
  }

  #earOf(rawId: string): Ear | undefined {
    const known = this.#ears.get(rawId);
    if (known !== undefined) return known;
    const onEvent = (event: EarEvent) => this.#say(rawId, event);
    const ear = this.#core.speech.recognise?.({ locale: this.#locale, onEvent });
    if (ear !== undefined) this.#ears.set(rawId, ear);
    return ear;
  }

  #say(rawId: string, event: EarEvent): void {
    const isFinal = event.type === "phrase";
    if (!isFinal && (event.type !== "hypothesis" || !this.#options.sendsIntermediate)) return;
    const words = (event.words ?? []).map(({ text, startMs, durationMs }) => ({
      text,
      offset: this.#ticks(startMs),
      duration: durationMs * TICKS_PER_MS,
    }));
    const transcriptionData = {
      text: event.text,
      format: "display",
      confidence: event.confidence ?? 0.9,
      offset: this.#ticks(event.startMs),
      duration: (event.endMs - event.startMs) * TICKS_PER_MS,
      words,
      participantRawID: rawId,
      resultStatus: isFinal ? "Final" : "Intermediate",
    };
    this.#send("TranscriptionData", { transcriptionData });
  }

  /** Beyond 2^53, so JavaScript applications lose the last digits, as with the service. */
  #ticks(offsetMs: number): number {
    const unixMs = BigInt(Math.round(this.#startedAt.getTime() + offsetMs));
    return Number(unixMs * BigInt(TICKS_PER_MS) + EPOCH_TICKS);
  }

  #sendMetadata(): void {
    const { speechModelEndpointId } = this.#options;
    this.#send("TranscriptionMetadata", {
      transcriptionMetadata: {
        subscriptionId: this.#core.ids.guid(),
        locale: this.#locale.toLowerCase(),
        callConnectionId: this.#call.id,
        correlationId: this.#call.conversation.correlationId,
        ...(speechModelEndpointId === undefined
          ? {}
          : { speechRecognitionModelEndpointId: speechModelEndpointId }),
      },
    });
  }

  #send(kind: string, content: Record<string, unknown>): void {
    const socket = this.#socket;
    if (this.isClosing || socket?.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ kind, ...content }));
    this.#record(kind, content);
  }

  #record(kind: string, detail: unknown): void {
    const service = "transcription";
    this.#core.trace.record(
      { type: "socket", service, direction: "out", kind, detail },
      this.#call.id,
    );
  }
}
