import { randomUUID, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { Clock } from "../clock.ts";
import { listenAt } from "../sip/listener.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";

/** Bounds of a control connection, so that no application can take the daemon down. */
export interface ControlLimits {
  /** Longest message taken from an application; longer ones are refused with `NOK`. */
  messageBytes: number;
  /** What may wait for an application that does not read; beyond it the connection is dropped. */
  backlogBytes: number;
  /** How long a connection may stay without authenticating. */
  authenticateTimeoutMs: number;
  connections: number;
}

const CONTROL_LIMITS: ControlLimits = {
  messageBytes: 1_048_576,
  backlogBytes: 67_108_864,
  authenticateTimeoutMs: 10_000,
  connections: 1_000,
};

/** The SIP-level messages of an application; everything else {@link startControl} answers itself. */
interface ControlHandler {
  /** What `authenticate` is answered with, after `OK`. */
  welcome(): readonly string[];
  onRoute(connection: ControlConnection, verb: string): void;
  onRemoveRoute(connection: ControlConnection, verb: string): void;
  onSip(connection: ControlConnection, frame: Frame): void;
  onProxy(connection: ControlConnection, frame: Frame): void;
  onAuthenticated?(connection: ControlConnection): void;
  onClose(connection: ControlConnection): void;
}

export interface ControlOptions extends ControlHandler {
  clock: Clock;
  host: string;
  port: number;
  secret: string;
  /** Listens with TLS as well, on a port of its own. */
  tls?: TlsOptions & { port: number };
  limits?: Partial<ControlLimits>;
  ids?: () => string;
}

/** One application's connection. */
export interface ControlConnection {
  readonly tags: readonly string[];
  readonly open: boolean;
  /** A message of the daemon's own: `tokens` without the leading id. */
  send(tokens: string, message?: Uint8Array): void;
  /** The answer to the application's message `id`. */
  reply(id: string, tokens: string, message?: Uint8Array): void;
  close(): void;
}

export interface Control extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly tlsPort: number | undefined;
  /** Takes a connection the daemon opened itself (`srf.listen`); the application still speaks first. */
  adopt(socket: Socket): ControlConnection;
}

/** The control port: applications connect here, authenticate, and exchange frames. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const connections = new Set<Connection>();
  const limits = { ...CONTROL_LIMITS, ...options.limits };

  const adopt = (socket: Socket) => {
    const connection = new Connection(socket, { ...options, limits });
    connections.add(connection);
    socket.once("close", () => connections.delete(connection));
    if (connections.size > limits.connections) connection.close();
    return connection;
  };

  const { tls } = options;
  const server = await listen(createServer(adopt), options.host, options.port);
  const tlsServer =
    tls === undefined
      ? undefined
      : await listen(createTlsServer(tls, adopt), options.host, tls.port).catch(async (error) => {
          await closeServer(server);
          throw error;
        });

  return {
    host: options.host,
    port: portOf(server),
    tlsPort: tlsServer === undefined ? undefined : portOf(tlsServer),
    adopt,
    async [Symbol.asyncDispose]() {
      const closing = [server, tlsServer].map((each) => closeServer(each));
      // Not `close`: an application that does not read would keep the disposal waiting.
      for (const connection of connections) connection.destroy();
      await Promise.all(closing);
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<Server> {
  await listenAt(server, { host, port });
  return server;
}

function portOf(server: Server): number {
  const address = server.address() as AddressInfo;
  return address.port;
}

async function closeServer(server: Server | undefined): Promise<void> {
  if (server === undefined || !server.listening) return;
  server.close();
  await once(server, "close");
}

type Verb = "authenticate" | "route" | "remove_route" | "ping" | "sip" | "proxy";

class Connection implements ControlConnection {
  readonly #socket: Socket;
  readonly #options: ControlOptions & { limits: ControlLimits };
  readonly #decoder: FrameDecoder;
  readonly #ids: () => string;
  #authenticated = false;
  tags: readonly string[] = [];

  constructor(socket: Socket, options: ControlOptions & { limits: ControlLimits }) {
    this.#socket = socket;
    this.#options = options;
    this.#ids = options.ids ?? randomUUID;
    this.#decoder = new FrameDecoder(options.limits.messageBytes);
    const deadline = options.clock.after(options.limits.authenticateTimeoutMs, () => {
      if (!this.#authenticated) this.close();
    });
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // The reset of a vanished application is no news: `close` follows and cleans up.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      deadline.cancel();
      options.onClose(this);
    });
  }

  get open(): boolean {
    return this.#authenticated && this.#socket.writable;
  }

  send(tokens: string, message?: Uint8Array): void {
    if (!this.#socket.writable) return;
    this.#socket.write(encodeFrame(`${this.#ids()}|${tokens}`, message));
    if (this.#socket.writableLength > this.#options.limits.backlogBytes) this.#socket.destroy();
  }

  reply(id: string, tokens: string, message?: Uint8Array): void {
    this.send(`response|${id}|${tokens}`, message);
  }

  close(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let frames: Frame[];
    try {
      frames = this.#decoder.push(chunk);
    } catch {
      return this.#refuse("", "Invalid message format");
    }
    for (const frame of frames) {
      if (this.#socket.writable) this.#handle(frame);
    }
  }

  #handle(frame: Frame): void {
    const [id = "", kind] = frame.tokens;
    if (kind === undefined) return this.#refuse(id, "Invalid message format");
    if (frame.oversizeBytes !== undefined) return this.#refuseOversize(id, frame.oversizeBytes);
    const answer = (this.#verbs as Partial<Record<string, (frame: Frame) => void>>)[kind];
    if (answer === undefined) return this.#refuse(id, "Unknown message type");
    // The real daemon takes any command from anybody; ours wants the secret first.
    if (!this.#authenticated && kind !== "authenticate") {
      return this.#refuse(id, "not authenticated");
    }
    answer(frame);
  }

  readonly #verbs: Record<Verb, (frame: Frame) => void> = {
    authenticate: ({ tokens: [id = "", , secret = "", tags = ""] }) => {
      if (!sameSecret(secret, this.#options.secret)) return this.#refuse(id, "incorrect secret");
      this.#authenticated = true;
      this.tags = tags.split(",").filter((tag) => tag !== "");
      this.reply(id, ["OK", ...this.#options.welcome()].join("|"));
      this.#options.onAuthenticated?.(this);
    },
    route: ({ tokens: [id = "", , verb = ""] }) => {
      this.#options.onRoute(this, verb.toLowerCase());
      this.reply(id, "OK");
    },
    remove_route: ({ tokens: [id = "", , verb = ""] }) => {
      this.#options.onRemoveRoute(this, verb.toLowerCase());
      this.reply(id, "OK");
    },
    ping: ({ tokens: [id = ""] }) => this.reply(id, "OK|pong"),
    sip: (frame) => this.#options.onSip(this, frame),
    proxy: (frame) => this.#options.onProxy(this, frame),
  };

  /** `NO` is a failure of the protocol itself: the connection ends with it. */
  #refuse(id: string, reason: string): void {
    this.reply(id, `NO|${reason}`);
    this.close();
  }

  #refuseOversize(id: string, lengthBytes: number): void {
    const { messageBytes } = this.#options.limits;
    this.reply(id, `NOK|message of ${lengthBytes} bytes exceeds the limit of ${messageBytes}`);
  }
}

function sameSecret(given: string, expected: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.length === right.length && timingSafeEqual(left, right);
}
