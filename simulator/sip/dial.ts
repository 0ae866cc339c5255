import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import type { Endpoint } from "./connection.ts";
import { SipError } from "./error.ts";
import type { ListenOptions } from "./listener.ts";
import { type ConnectionSetup, StreamConnection, type StreamLike } from "./stream-connection.ts";
import { formatHostPort } from "./uri.ts";
import { WebSocketConnection } from "./websocket-connection.ts";

export interface DialOptions {
  /** With an IP address as host. */
  target: Endpoint;
  localAddress: string | undefined;
  clientTls: ListenOptions["clientTls"];
  setup: ConnectionSetup;
  /** The stack is going away. */
  signal: AbortSignal;
}

/** Opens a connection. Rejects with SIP_TRANSPORT when that fails, takes too long or is aborted. */
export async function dial(options: DialOptions): Promise<StreamLike> {
  const { target, setup, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<StreamLike>();
  const attempt = begin(options, resolve, (cause) => {
    const text = `cannot connect to ${formatHostPort(target.host, target.port)} by ${target.transport}: ${cause.message}`;
    reject(new SipError("SIP_TRANSPORT", text, { cause }));
  });
  const { connectTimeoutMs } = setup.limits;
  using _deadline = setup.clock.after(connectTimeoutMs, () =>
    attempt.abandon(new Error(`no connection after ${connectTimeoutMs} ms`)),
  );
  const abort = () => attempt.abandon(new Error("the SIP stack is closed"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

interface Attempt {
  abandon(error: Error): void;
}

function begin(
  options: DialOptions,
  resolve: (connection: StreamLike) => void,
  reject: (error: Error) => void,
): Attempt {
  const { target } = options;
  if (target.transport === "ws" || target.transport === "wss") {
    return beginWebSocket(options, resolve, reject);
  }
  const socket = target.transport === "tls" ? dialTls(options) : dialTcp(options);
  socket.once(target.transport === "tls" ? "secureConnect" : "connect", () => {
    socket.off("error", reject);
    resolve(new StreamConnection(socket, options.setup));
  });
  socket.once("error", reject);
  return { abandon: (error) => void socket.destroy(error) };
}

function dialTcp({ target, localAddress }: DialOptions): Socket {
  return connectTcp({ host: target.host, port: target.port, localAddress });
}

function dialTls({ target, localAddress, clientTls, setup }: DialOptions): Socket {
  const { host, port } = target;
  const options = { ...clientTls, ...serverName(setup.servername), host, port, localAddress };
  return connectTls(options);
}

/** SNI must not be an address (RFC 6066 §3); Node then checks the certificate against the host. */
function serverName(name: string | undefined): { servername?: string } {
  return name === undefined || isIP(name) !== 0 ? {} : { servername: name };
}

function beginWebSocket(
  { target, localAddress, clientTls, setup }: DialOptions,
  resolve: (connection: StreamLike) => void,
  reject: (error: Error) => void,
): Attempt {
  const url = `${target.transport}://${formatHostPort(target.host, target.port)}/`;
  const webSocket = new WebSocket(url, "sip", {
    ...clientTls,
    localAddress,
    perMessageDeflate: false,
    maxPayload: setup.limits.headerBytes + setup.limits.bodyBytes,
    ...serverName(setup.servername),
  });
  webSocket.once("error", reject);
  webSocket.once("upgrade", (response) => {
    webSocket.once("open", () => {
      webSocket.off("error", reject);
      resolve(new WebSocketConnection(webSocket, response.socket, setup));
    });
  });
  return {
    abandon(error) {
      reject(error);
      webSocket.terminate();
    },
  };
}
