import { type Call, MEDIA_SUCCESS, type OperationAddress } from "./call.ts";
import type { ResultInformation } from "./callbacks.ts";
import type { Core } from "./core.ts";
import type { MediaStreamingOptions } from "./media-options.ts";
import { MediaStream, type StreamStatistics } from "./media-stream.ts";

/** Microsoft's text for a media server that does not answer (python-quickstarts issue 60). */
const UNREACHABLE: ResultInformation = {
  code: 400,
  subCode: 8581,
  message: "Action failed, Transport url is not valid or web socket server is not operational.",
};
const RECONNECT_DELAY_MS = 1000;
const NORMAL_CLOSE = 1000;

/** Starts, watches and stops a call's media socket, and reports it by MediaStreaming events. */
export class MediaStreaming {
  readonly #call: Call;
  readonly #options: MediaStreamingOptions;
  readonly #core: Core;
  #stream: MediaStream | undefined;

  constructor(call: Call, options: MediaStreamingOptions, core: Core) {
    this.#call = call;
    this.#options = options;
    this.#core = core;
    call.onEnd(() => this.#stream?.close());
  }

  get isActive(): boolean {
    return this.#stream !== undefined;
  }

  get statistics(): StreamStatistics | undefined {
    return this.#stream?.statistics;
  }

  /** Connects in the background; the outcome is an event. Does nothing when already active. */
  start(address: OperationAddress): void {
    if (this.#stream !== undefined) return;
    const stream = this.#newStream();
    const close = () => this.#stream?.close(1001, "service shutdown");
    this.#core.background.run("media streaming", async (signal) => {
      signal.addEventListener("abort", close, { once: true });
      try {
        await this.#run(stream, address);
      } finally {
        signal.removeEventListener("abort", close);
      }
    });
  }

  /** Ends the stream and reports MediaStreamingStopped. */
  stop(address: OperationAddress): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close(NORMAL_CLOSE, "streaming stopped");
    this.#report("Stopped", "subscriptionStopped", address);
  }

  #newStream(): MediaStream {
    this.#stream = new MediaStream(this.#call, this.#options, this.#core);
    return this.#stream;
  }

  async #run(first: MediaStream, address: OperationAddress): Promise<void> {
    let stream = first;
    for (let attempt = 0; ; attempt++) {
      const isOpen = await opens(stream);
      if (stream.isClosing) return;
      if (!isOpen) return this.#fail(attempt, address);
      const status = attempt === 0 ? "subscriptionStarted" : "streamConnectionReestablished";
      this.#report("Started", status, address);
      const { code } = await stream.ended;
      if (stream.isClosing) return;
      if (code === NORMAL_CLOSE) return this.#closedByApplication(address);
      if (attempt >= this.#core.policy.mediaReconnects) return this.#fail(attempt + 1, address);
      await this.#core.clock.sleep(RECONNECT_DELAY_MS, { signal: this.#core.background.signal });
      if (this.#stream !== stream || this.#call.isOver) return;
      stream = this.#newStream();
    }
  }

  #closedByApplication(address: OperationAddress): void {
    this.#stream = undefined;
    this.#report("Stopped", "subscriptionStopped", address);
  }

  #fail(attempt: number, address: OperationAddress): void {
    this.#stream = undefined;
    const details =
      attempt === 0 ? "initialWebSocketConnectionFailed" : "streamConnectionUnsuccessful";
    this.#report("Failed", details, { ...address, result: UNREACHABLE });
  }

  #report(
    what: "Started" | "Stopped" | "Failed",
    details: string,
    address: OperationAddress & { result?: ResultInformation },
  ): void {
    this.#call.subscriptions.media = what === "Started" ? "active" : "inactive";
    this.#call.emit(`MediaStreaming${what}`, {
      operationContext: address.operationContext,
      url: address.url,
      result: address.result ?? MEDIA_SUCCESS,
      data: {
        mediaStreamingUpdate: {
          contentType: "Audio",
          mediaStreamingStatus: `mediaStreaming${what}`,
          mediaStreamingStatusDetails: details,
        },
      },
    });
  }
}

/** False when the server could not be reached; the reason is in the trace already. */
async function opens(stream: MediaStream): Promise<boolean> {
  try {
    await stream.open();
    return true;
  } catch {
    return false;
  }
}
