import { isUtf8 } from "node:buffer";
import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import { SipError } from "./error.ts";
import { type ConnectionSetup, StreamLike } from "./stream-connection.ts";

/** A WebSocket connection with the `sip` subprotocol (RFC 7118): one message per frame. */
export class WebSocketConnection extends StreamLike {
  readonly #webSocket: WebSocket;

  constructor(webSocket: WebSocket, socket: Socket, setup: ConnectionSetup) {
    super(socket, setup);
    this.#webSocket = webSocket;
    let cause: Error | undefined;
    // Before the library's own listener: what it completes ends the wait again.
    socket.prependListener("data", () => this.watchPartial(true));
    for (const complete of ["message", "ping", "pong"]) {
      webSocket.on(complete, () => this.watchPartial(false));
    }
    webSocket.on("message", (data: RawData) => this.#receive(asBuffer(data)));
    webSocket.on("error", (error) => {
      cause = error;
    });
    webSocket.on("close", () => this.gone(cause));
  }

  override write(bytes: Buffer, done: (error: Error | undefined) => void): void {
    if (this.closed || this.#webSocket.readyState !== this.#webSocket.OPEN) {
      done(new SipError("SIP_TRANSPORT", `connection ${this.id} is closed`));
      return;
    }
    if (this.#webSocket.bufferedAmount > this.setup.limits.queuedBytes) {
      const error = new SipError("SIP_LIMIT", `over ${this.setup.limits.queuedBytes} bytes queued`);
      this.fail(error);
      done(error);
      return;
    }
    this.active();
    // A text frame must be UTF-8; other bodies go as binary (RFC 7118 §4.2).
    const binary = !isUtf8(bytes);
    this.#webSocket.send(bytes, { binary }, (error) => done(error ?? undefined));
  }

  protected override endOrderly(): void {
    this.#webSocket.close(1000);
  }

  #receive(bytes: Buffer): void {
    this.active();
    const lineBreaks = /^(?:\r\n)+$/.test(bytes.toString("latin1", 0, 16)) ? bytes.length / 2 : 0;
    if (lineBreaks > 0) this.keepAlive(lineBreaks);
    else this.setup.onMessage(bytes, this);
  }
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
