import { type RawData, WebSocket } from "ws";
import {
  EngineError,
  type EngineLink,
  type EngineLinkListener,
  LIMIT_MESSAGE_CHARACTERS,
  type LinkOptions,
} from "./engine-link.ts";

const NORMAL_CLOSURE = 1000;

/**
 * A server that takes PCM in binary messages and answers in texts. The first message is a text that
 * says what comes, the last one that nothing more does; then the server tells the rest and closes.
 */
export function openSocket(options: LinkOptions, listener: EngineLinkListener): EngineLink {
  return new SocketLink(options, listener);
}

class SocketLink implements EngineLink {
  readonly #options: LinkOptions;
  readonly #listener: EngineLinkListener;
  readonly #socket: WebSocket;
  readonly #closed: Promise<void>;
  /** Sent before the socket was open. */
  readonly #early: (string | Buffer)[] = [];
  #earlyBytes = 0;
  #finished = false;

  constructor(options: LinkOptions, listener: EngineLinkListener) {
    this.#options = options;
    this.#listener = listener;
    this.#socket = new WebSocket(options.address, {
      handshakeTimeout: options.limits.connectMs,
      maxPayload: LIMIT_MESSAGE_CHARACTERS,
      perMessageDeflate: false,
    });
    this.#closed = new Promise((resolve) => {
      this.#socket.once("close", (code, reason) => {
        this.#end(code, reason.toString());
        resolve();
      });
    });
    this.#socket.once("open", () => this.#open());
    this.#socket.on("message", (data) => listener.onMessage(textOf(data)));
    this.#socket.on("error", (error) => this.#fail("ENGINE_EXITED", error.message));
  }

  get pendingBytes(): number {
    return this.#earlyBytes + this.#socket.bufferedAmount;
  }

  send(pcm: Buffer): void {
    this.#write(pcm);
  }

  end(): void {
    this.#finished = true;
    this.#write(JSON.stringify({ type: "end" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { clock, limits } = this.#options;
    this.#socket.close(NORMAL_CLOSURE);
    using _patience = clock.after(limits.killMs, () => this.#socket.terminate());
    await this.#closed;
  }

  #open(): void {
    const start = JSON.stringify({ type: "start", ...this.#options.turn });
    this.#socket.send(start);
    for (const message of this.#early.splice(0)) this.#transmit(message);
    this.#earlyBytes = 0;
  }

  #write(message: string | Buffer): void {
    if (this.#socket.readyState === WebSocket.CONNECTING) {
      this.#early.push(message);
      this.#earlyBytes += message.length;
    } else if (this.#socket.readyState === WebSocket.OPEN) this.#transmit(message);
  }

  #transmit(message: string | Buffer): void {
    this.#socket.send(message, (error) => {
      if (!error && typeof message !== "string") this.#listener.onTaken();
    });
  }

  #end(code: number, reason: string): void {
    if (code === NORMAL_CLOSURE && this.#finished) return this.#listener.onEnd();
    const why = reason === "" ? "" : `: ${reason}`;
    this.#fail("ENGINE_EXITED", `${this.#options.address} closed with ${code}${why}`);
  }

  #fail(code: EngineError["code"], message: string): void {
    this.#listener.onEnd(new EngineError(code, message));
  }
}

function textOf(data: RawData): string {
  return (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as ArrayBuffer)).toString();
}
