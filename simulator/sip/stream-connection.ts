import type { Socket } from "node:net";
import { type PeerCertificate, TLSSocket } from "node:tls";
import type { Clock, Timer } from "../clock.ts";
import type { Address, SipConnection, TransportName } from "./connection.ts";
import { SipError } from "./error.ts";
import { type Framed, StreamFramer } from "./framing.ts";
import type { Limits } from "./limits.ts";

/** A connection as the room sees it: it can also be written to. */
export interface WireConnection extends SipConnection {
  /** Calls `done` when the bytes were handed to the network, or with the reason they were not. */
  write(bytes: Buffer, done: (error: Error | undefined) => void): void;
}

export interface ConnectionSetup {
  id: string;
  transport: TransportName;
  outbound: boolean;
  /** Name dialled, for TLS. */
  servername?: string;
  clock: Clock;
  limits: Limits;
  /** Ping a connection we dialled this often; 0 = never (RFC 5626 §4.4.1). */
  keepAliveMs: number;
  onMessage: (bytes: Buffer, connection: WireConnection) => void;
  /** What went wrong on the connection, for the trace. */
  onFault: (error: SipError, connection: WireConnection) => void;
}

const PING = Buffer.from("\r\n\r\n");
const PONG = Buffer.from("\r\n");
/** A peer that reads nothing more would otherwise keep what is queued, and the connection, for ever. */
const CLOSE_GRACE_MS = 1_000;

/** The life of any stream-like connection: close listeners, idle and slow-message time-outs. */
export abstract class StreamLike implements WireConnection {
  readonly id: string;
  readonly transport: TransportName;
  readonly outbound: boolean;
  readonly servername: string | undefined;
  readonly local: Address;
  readonly remote: Address;
  readonly socket: Socket | TLSSocket;
  protected readonly setup: ConnectionSetup;
  #closed = false;
  #cause: Error | undefined;
  #idle: Timer | undefined;
  #activeAt: number;
  #slow: Timer | undefined;
  #ping: Timer | undefined;
  #pong: Timer | undefined;
  /** An odd line break so far: half of a ping. */
  #half = false;
  readonly #closeListeners = new Set<(error: Error | undefined) => void>();

  constructor(socket: Socket, setup: ConnectionSetup) {
    this.setup = setup;
    this.socket = socket;
    this.id = setup.id;
    this.transport = setup.transport;
    this.outbound = setup.outbound;
    this.servername = setup.servername ?? peerServername(socket);
    this.local = { host: plainHost(socket.localAddress), port: socket.localPort ?? 0 };
    this.remote = { host: plainHost(socket.remoteAddress), port: socket.remotePort ?? 0 };
    this.#activeAt = setup.clock.now();
    this.#watchIdle(setup.limits.idleTimeoutMs);
    const { keepAliveMs, outbound, clock } = setup;
    if (outbound && keepAliveMs > 0) this.#ping = clock.every(keepAliveMs, () => this.#sendPing());
  }

  abstract write(bytes: Buffer, done: (error: Error | undefined) => void): void;

  /** Ends the connection in good order; by force if the peer leaves that unanswered. */
  close(): void {
    this.endOrderly();
    const kill = this.setup.clock.after(CLOSE_GRACE_MS, () => this.socket.destroy());
    this.onClose(() => kill.cancel());
  }

  protected abstract endOrderly(): void;

  get closed(): boolean {
    return this.#closed;
  }

  peerCertificate(): PeerCertificate | undefined {
    if (!(this.socket instanceof TLSSocket)) return undefined;
    const certificate = this.socket.getPeerCertificate(true);
    return certificate?.raw === undefined ? undefined : certificate;
  }

  get authorizationError(): string | undefined {
    if (!(this.socket instanceof TLSSocket) || this.socket.authorized) return undefined;
    const { authorizationError } = this.socket;
    return authorizationError === null ? undefined : codeOf(authorizationError);
  }

  onClose(listener: (error: Error | undefined) => void): () => void {
    if (this.#closed) {
      listener(this.#cause);
      return () => {};
    }
    this.#closeListeners.add(listener);
    return () => void this.#closeListeners.delete(listener);
  }

  protected active(): void {
    this.#activeAt = this.setup.clock.now();
  }

  protected gone(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cause = error;
    this.#idle?.cancel();
    this.#slow?.cancel();
    this.#ping?.cancel();
    this.#pong?.cancel();
    for (const listener of this.#closeListeners) listener(error);
    this.#closeListeners.clear();
  }

  /** A named limit was passed or the bytes make no sense: say so and end the connection. */
  protected fail(error: SipError): void {
    this.setup.onFault(error, this);
    this.close();
  }

  /** Starts, keeps or ends the wait for the rest of a message. */
  protected watchPartial(partial: boolean): void {
    if (!partial) {
      this.#slow?.cancel();
      this.#slow = undefined;
      return;
    }
    const { messageTimeoutMs } = this.setup.limits;
    const text = `a message not complete after ${messageTimeoutMs} ms`;
    this.#slow ??= this.setup.clock.after(messageTimeoutMs, () =>
      this.fail(new SipError("SIP_LIMIT", text)),
    );
  }

  /**
   * Answers a double line break with a single one (RFC 5626 §4.4.1). The side that accepted gets
   * only pings, so two breaks count even when they come apart; the side that dialled gets pongs.
   */
  protected keepAlive(lineBreaks: number): void {
    if (lineBreaks === 0) return;
    this.#pong?.cancel();
    this.#pong = undefined;
    const breaks = lineBreaks + (this.#half && !this.outbound ? 1 : 0);
    this.#half = breaks % 2 === 1;
    // Whoever pings gets pongs, and two of those may come in one piece.
    if (breaks >= 2 && this.#ping === undefined) this.write(PONG, () => {});
  }

  #sendPing(): void {
    const { clock, limits } = this.setup;
    const text = `no pong within ${limits.pongTimeoutMs} ms`;
    this.#pong ??= clock.after(limits.pongTimeoutMs, () =>
      this.fail(new SipError("SIP_TRANSPORT", text)),
    );
    this.write(PING, () => {});
  }

  #watchIdle(delayMs: number): void {
    this.#idle = this.setup.clock.after(delayMs, () => {
      const { idleTimeoutMs } = this.setup.limits;
      const quietMs = this.setup.clock.now() - this.#activeAt;
      if (quietMs < idleTimeoutMs) this.#watchIdle(idleTimeoutMs - quietMs);
      else this.fail(new SipError("SIP_LIMIT", `nothing received or sent for ${idleTimeoutMs} ms`));
    });
  }
}

/** A TCP or TLS connection. */
export class StreamConnection extends StreamLike {
  readonly #framer: StreamFramer;

  constructor(socket: Socket, setup: ConnectionSetup) {
    super(socket, setup);
    this.#framer = new StreamFramer(setup.limits);
    let cause: Error | undefined;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => {
      cause = error;
    });
    // The peer's FIN ends both directions: half-open SIP connections only confuse reuse.
    socket.on("end", () => socket.end());
    socket.on("close", () => this.gone(cause));
  }

  override write(bytes: Buffer, done: (error: Error | undefined) => void): void {
    if (this.closed || !this.socket.writable) {
      done(new SipError("SIP_TRANSPORT", `connection ${this.id} is closed`));
      return;
    }
    if (this.socket.writableLength > this.setup.limits.queuedBytes) {
      const error = new SipError("SIP_LIMIT", `over ${this.setup.limits.queuedBytes} bytes queued`);
      this.fail(error);
      done(error);
      return;
    }
    this.active();
    this.socket.write(bytes, (error) => done(error ?? undefined));
  }

  protected override endOrderly(): void {
    // destroySoon sends what is queued first.
    this.socket.destroySoon();
  }

  #receive(chunk: Buffer): void {
    this.active();
    const framed: Framed = this.#framer.push(chunk);
    this.keepAlive(framed.lineBreaks);
    for (const bytes of framed.messages) this.setup.onMessage(bytes, this);
    if (framed.broken === undefined) this.watchPartial(this.#framer.partial);
    else this.fail(framed.broken);
  }
}

function peerServername(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const { servername } = socket as TLSSocket & { servername?: string | false };
  return typeof servername === "string" ? servername : undefined;
}

/** Node gives IPv4 peers of a dual-stack socket as `::ffff:10.0.0.1`. */
export function plainHost(host: string | undefined): string {
  return host?.replace(/^::ffff:(?=\d+\.)/i, "") ?? "";
}

function codeOf(error: unknown): string {
  if (typeof error === "string") return error;
  if (error instanceof Error) return "code" in error ? String(error.code) : error.message;
  return String(error);
}
