import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  BoundSocket,
  createServer as createTcpServer,
  isIP,
  type Server,
  type Socket,
} from "node:net";
import {
  type checkServerIdentity,
  createServer as createTlsServer,
  type SecureContextOptions,
  type TlsOptions,
} from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import type { Address, TransportName } from "./connection.ts";
import { SipError } from "./error.ts";
import type { Limits } from "./limits.ts";

export interface ListenOptions {
  transport: TransportName;
  /** IP address to bind; also what the Via of requests sent from here says. */
  host: string;
  /** 0: any free port. */
  port: number;
  /** What Via says instead of the address: a public name or address. */
  advertise?: { host: string; port?: number };
  /** tls, wss: options of the server side (`key`, `cert`, `ca`, `requestCert`, `ciphers`…). */
  tls?: TlsOptions;
  /** tls, wss: options when we dial. `localAddress` binds the connection. */
  clientTls?: SecureContextOptions & {
    localAddress?: string;
    rejectUnauthorized?: boolean;
    checkServerIdentity?: typeof checkServerIdentity;
  };
}

export interface ListenerSetup {
  transport: TransportName;
  host: string;
  port: number;
  tls?: TlsOptions;
  limits: Limits;
  onSocket: (socket: Socket) => void;
  onWebSocket: (webSocket: WebSocket, socket: Socket) => void;
  onDatagram: (bytes: Buffer, remote: Address) => void;
  /** A handshake failed or the server hiccupped; for the trace. */
  onFault: (error: Error) => void;
}

/** An open port. */
export interface OpenListener extends AsyncDisposable {
  readonly transport: TransportName;
  readonly local: Address;
  /** UDP only. */
  readonly datagrams: DatagramSocket | undefined;
}

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export async function openListener(setup: ListenerSetup): Promise<OpenListener> {
  if (setup.transport === "udp") return openUdp(setup);
  const server = createServer(setup);
  // A half-open connection (no TLS handshake, no upgrade) has to go with the server.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("error", setup.onFault);
  server.on("tlsClientError", (error: Error, socket: Socket) => {
    setup.onFault(error);
    // After a handshake time-out Node leaves the socket open.
    socket.destroy();
  });
  // Also counts connections that have not shaken hands yet.
  server.maxConnections = setup.limits.connections;
  server.on("drop", () => {
    const text = `connection refused: limit connections of ${setup.limits.connections}`;
    setup.onFault(new SipError("SIP_LIMIT", text));
  });
  await listenAt(server, setup);
  return {
    transport: setup.transport,
    local: addressOf(server),
    datagrams: undefined,
    async [Symbol.asyncDispose]() {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * Opens a port; rejects when it is taken. Node's own way looks IP addresses up as it does names, and
 * tries an expression for IPv6 on them that takes 3 ms to compile, a tenth of a daemon's start.
 */
export async function listenAt(server: Server, { host, port }: Address): Promise<void> {
  server.listen(isIP(host) === 0 ? { host, port } : { handle: new BoundSocket({ host, port }) });
  await once(server, "listening");
}

function createServer(setup: ListenerSetup): Server {
  const { transport, limits, onSocket } = setup;
  // The peer's certificate is the application's to judge unless it asks for refusal itself.
  const tls: TlsOptions = { handshakeTimeout: limits.connectTimeoutMs, ...setup.tls };
  if (transport === "tcp") return createTcpServer({ noDelay: true }, onSocket);
  if (transport === "tls") return createTlsServer(tls, onSocket);
  const { connectTimeoutMs } = limits;
  const upgrade = {
    headersTimeout: connectTimeoutMs,
    requestTimeout: connectTimeoutMs,
    connectionsCheckingInterval: connectTimeoutMs,
  };
  const http =
    transport === "ws" ? createHttpServer(upgrade) : createHttpsServer({ ...tls, ...upgrade });
  return acceptWebSockets(http, setup);
}

function acceptWebSockets(http: HttpServer, setup: ListenerSetup): HttpServer {
  const { limits, onWebSocket, onFault } = setup;
  const webSockets = new WebSocketServer({
    server: http,
    maxPayload: limits.headerBytes + limits.bodyBytes,
    handleProtocols: (offered) => (offered.has("sip") ? "sip" : false),
    perMessageDeflate: false,
    clientTracking: false,
  });
  webSockets.on("error", onFault);
  webSockets.on("wsClientError", onFault);
  webSockets.on("connection", (webSocket, request) => onWebSocket(webSocket, request.socket));
  return http;
}

async function openUdp(setup: ListenerSetup): Promise<OpenListener> {
  // Not isIPv6, for the same expression: isIP asks for IPv4 first.
  const type = isIP(setup.host) === 6 ? "udp6" : "udp4";
  const datagrams = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES });
  datagrams.on("message", (bytes, remote) =>
    setup.onDatagram(bytes, { host: remote.address, port: remote.port }),
  );
  const bound = once(datagrams, "listening");
  datagrams.bind(setup.port, setup.host);
  try {
    await bound;
  } catch (error) {
    datagrams.close();
    throw error;
  }
  datagrams.on("error", setup.onFault);
  const { address, port } = datagrams.address();
  let closed = false;
  return {
    transport: "udp",
    local: { host: address, port },
    datagrams,
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      const done = once(datagrams, "close");
      datagrams.close();
      await done;
    },
  };
}

function addressOf(server: Server): Address {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { host: address.address, port: address.port };
}
