import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import Srf from "drachtio-srf";

/** Where a drachtio daemon, embedded or real, takes applications. */
export interface DrachtioAddress {
  host: string;
  port: number;
  secret: string;
}

export interface ConnectDrachtioOptions extends DrachtioAddress {
  /** Gives up waiting for the daemon; it does not end the connection later. */
  signal?: AbortSignal;
  /** Tags of this application, for daemons that route by tag. */
  tags?: string[];
  /** Reconnection attempts after a lost connection before giving up. Default 20. */
  reconnectAttempts?: number;
}

/** A connected drachtio-srf application. Disposing it disconnects; twice is fine. */
export type DrachtioApplication = Srf &
  AsyncDisposable & {
    /** Where the daemon speaks SIP, as it told on connecting: `udp/127.0.0.1:5060`. */
    readonly hostPorts: readonly string[];
  };

const RECONNECT_MAX_DELAY_MS = 1_000;

export class DrachtioConnectError extends Error {
  override readonly name = "DrachtioConnectError";
  readonly code = "DRACHTIO_CONNECT";
}

/**
 * Connects an unmodified drachtio-srf application and waits until the daemon accepted its secret.
 * Register methods (`srf.invite(...)`) afterwards; drachtio-srf announces them at once.
 */
export async function connectDrachtio(
  options: ConnectDrachtioOptions,
): Promise<DrachtioApplication> {
  const { host, port, signal, tags = [] } = options;
  // drachtio-srf retries a refused first connection silently; asking first gives an error at once.
  await probe({ host, port, signal });
  const srf = new Srf(tags);
  // Reconnecting is drachtio-srf's own business; without a listener each lost socket would throw.
  srf.on("error", () => {});
  const life: Life = { ended: false, reconnect: { maxAttempts: options.reconnectAttempts ?? 20 } };
  const end = () => {
    life.ended = true;
    // drachtio-srf keeps this object and looks at it before every attempt.
    life.reconnect.maxAttempts = 1;
    disconnect(srf);
  };
  try {
    const hostPorts = await authenticated(srf, options, life);
    return Object.assign(srf, { hostPorts, [Symbol.asyncDispose]: async () => end() });
  } catch (error) {
    end();
    throw error;
  }
}

/** An application's wish to be connected. */
interface Life {
  ended: boolean;
  reconnect: { maxAttempts: number };
}

async function probe(address: { host: string; port: number; signal?: AbortSignal }): Promise<void> {
  const { host, port, signal } = address;
  signal?.throwIfAborted();
  const socket = connectSocket({ host, port });
  try {
    await once(socket, "connect", { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new DrachtioConnectError(`no drachtio daemon at ${host}:${port}`, { cause });
  } finally {
    socket.destroy();
  }
}

type Connect = (
  options: object,
  callback: (error: Error | null, hostPorts: string) => void,
) => void;

async function authenticated(
  srf: Srf,
  { host, port, secret, signal }: ConnectDrachtioOptions,
  life: Life,
): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const reconnect = Object.assign(life.reconnect, { retryMaxDelay: RECONNECT_MAX_DELAY_MS });
  // The published types know neither the callback nor these options.
  const connect = srf.connect.bind(srf) as unknown as Connect;
  connect({ host, port, secret, reconnect }, (error, hostPorts) => {
    // A last attempt may have been under way when the application was disposed.
    if (life.ended) return disconnect(srf);
    if (error === null) return resolve(hostPorts.split(","));
    // The daemon hangs up on a wrong secret; drachtio-srf would come back for ever.
    disconnect(srf);
    const where = `${host}:${port}`;
    reject(new DrachtioConnectError(`the daemon at ${where} refused the secret`, { cause: error }));
  });
  try {
    return await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function disconnect(srf: Srf): void {
  try {
    srf.disconnect();
  } catch {
    // drachtio-srf asserts that there is a socket; when it is gone there is nothing to end.
  }
}

export interface SendRequestOptions {
  method: string;
  headers?: Record<string, string>;
  body?: string;
  /** Next hop, where it differs from the Request-URI. */
  proxy?: string;
  auth?: { username: string; password: string };
  signal?: AbortSignal;
}

type Request = (
  uri: string,
  options: object,
  callback: (error: Error | null, request: Srf.SrfRequest) => void,
) => void;

/** Sends one request outside a dialog and resolves with its final response, whatever its status. */
export function sendRequest(
  srf: Srf,
  uri: string,
  { signal, ...options }: SendRequestOptions,
): Promise<Srf.SrfResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<Srf.SrfResponse>();
  const abort = () => reject(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", abort, { once: true });
  // drachtio-srf normalises the options in place, and its published signature is another one.
  const request = srf.request.bind(srf) as unknown as Request;
  request(uri, { ...options }, (error, sent) => {
    if (error !== null) return reject(error);
    sent.on("response", (response) => {
      if (response !== undefined && response.status >= 200) resolve(response);
    });
  });
  return promise.finally(() => signal?.removeEventListener("abort", abort));
}
