import type { Socket } from "node:net";
import { EmitterImpl, type Transport, TransportState } from "sip.js";
import { WebSocket } from "ws";
import type { Clock } from "../clock.ts";
import type { PartyTrace } from "../trace.ts";

export interface SocketTransportOptions {
  clock: Clock;
  trace: PartyTrace;
  /** `ws://host:port` of the SIP server. */
  server: string;
}

/** How long a handshake may take before `connect` rejects. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long the server may take to answer our close frame before the socket is cut. */
const CLOSE_TIMEOUT_MS = 500;
const MAX_MESSAGE_BYTES = 65_536;

/**
 * SIP over WebSocket (RFC 7118) for sip.js: one text frame is one message, and each message in or
 * out becomes a `sip` event. sip.js's own transport needs the browser's WebSocket, which hides the
 * local address and cannot be cut.
 */
export class SocketTransport implements Transport {
  readonly protocol = "WS";
  readonly stateChange = new EmitterImpl<TransportState>();
  onConnect: (() => void) | undefined;
  onDisconnect: ((error?: Error) => void) | undefined;
  onMessage: ((message: string) => void) | undefined;

  readonly #options: SocketTransportOptions;
  #state = TransportState.Disconnected;
  #socket: WebSocket | undefined;
  #local = "";
  #remote = "";

  /** sip.js constructs its transport itself and passes its logger first. */
  constructor(_logger: unknown, options: SocketTransportOptions) {
    this.#options = options;
  }

  get state(): TransportState {
    return this.#state;
  }

  isConnected(): boolean {
    return this.#state === TransportState.Connected;
  }

  async connect(): Promise<void> {
    if (this.isConnected()) return;
    const { clock, server } = this.#options;
    const socket = new WebSocket(server, "sip", {
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      // sip.js refuses (500) a re-INVITE that follows an ACK it has not finished with.
      allowSynchronousEvents: false,
    });
    this.#socket = socket;
    this.#move(TransportState.Connecting);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using _deadline = clock.after(CONNECT_TIMEOUT_MS, () => socket.terminate());
    socket.on("upgrade", ({ socket: raw }) => this.#learnAddresses(raw));
    socket.on("open", resolve);
    socket.on("message", (data: Buffer) => this.#receive(data.toString("utf8")));
    socket.on("error", (error) =>
      reject(new Error(`no SIP server at ${server}: ${error.message}`, { cause: error })),
    );
    socket.on("close", (code) => this.#closed(socket, code));
    await promise;
    this.#move(TransportState.Connected);
    this.onConnect?.();
  }

  async disconnect(): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#move(TransportState.Disconnecting);
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once("close", () => resolve());
    using _deadline = this.#options.clock.after(CLOSE_TIMEOUT_MS, () => socket.terminate());
    socket.close(1000);
    await promise;
  }

  dispose(): Promise<void> {
    return this.disconnect();
  }

  async send(message: string): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined || !this.isConnected()) throw new Error("not connected");
    this.#record("out", message);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.send(message, (error) => (error ? reject(error) : resolve()));
    await promise;
  }

  #receive(message: string): void {
    // RFC 5626 §3.5.1: a bare CRLF is the answer to a keep-alive, not a message.
    if (message.trim() === "") return;
    this.#record("in", message);
    this.onMessage?.(message);
  }

  #closed(socket: WebSocket, code: number): void {
    if (socket !== this.#socket) return;
    const expected = this.#state === TransportState.Disconnecting;
    const wasConnected = expected || this.isConnected();
    this.#socket = undefined;
    this.#move(TransportState.Disconnected);
    if (!wasConnected) return;
    this.onDisconnect?.(expected ? undefined : new Error(`WebSocket closed (code ${code})`));
  }

  #learnAddresses(socket: Socket): void {
    this.#local = `${socket.localAddress}:${socket.localPort}`;
    this.#remote = `${socket.remoteAddress}:${socket.remotePort}`;
  }

  #record(direction: "in" | "out", message: string): void {
    const [local, remote] = [this.#local, this.#remote];
    const call = /^(?:Call-ID|i)\s*:\s*(\S+)/im.exec(message)?.[1];
    this.#options.trace.record(
      { type: "sip", direction, transport: "ws", local, remote, message },
      call,
    );
  }

  #move(state: TransportState): void {
    this.#state = state;
    this.stateChange.emit(state);
  }
}
