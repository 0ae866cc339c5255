import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Endpoint, SipConnection, TransportName } from "./connection.ts";
import { SipError } from "./error.ts";
import { parseVia, type Via } from "./fields.ts";
import type { Limits } from "./limits.ts";
import type { ListenOptions } from "./listener.ts";
import { type SipMessage, SipRequest, type SipResponse } from "./message.ts";
import { parseMessage } from "./parser.ts";
import { ownVia, type Resolve, resolveEndpoint, responseEndpoint } from "./routing.ts";
import type { WireConnection } from "./stream-connection.ts";
import type { SendOptions } from "./transaction.ts";
import { TransportLayer } from "./transport.ts";
import { formatHostPort } from "./uri.ts";

export interface WireSetup {
  clock: Clock;
  trace: PartyTrace;
  listen: readonly ListenOptions[];
  limits: Limits;
  keepAliveMs: number;
  resolve: Resolve | undefined;
  faults: FaultPlan | undefined;
  beforeSend: ((message: SipMessage) => void) | undefined;
  onRequest: (request: SipRequest, connection: WireConnection) => void;
  onResponse: (response: SipResponse, connection: WireConnection) => void;
  onConnection: (connection: SipConnection) => void;
}

/** The transport layer with messages instead of bytes on top, every one of them traced. */
export class Wire implements AsyncDisposable {
  readonly transport: TransportLayer;
  readonly #setup: WireSetup;

  constructor(setup: WireSetup) {
    this.#setup = setup;
    const { clock, listen, limits, keepAliveMs, onConnection } = setup;
    this.transport = new TransportLayer({
      clock,
      listen,
      limits,
      keepAliveMs,
      onConnection,
      onMessage: (bytes, connection) => this.#receive(bytes, connection),
      onFault: (error, where) => this.fault(error, where),
    });
  }

  /** Transport for a URI that names none. */
  get usualTransport(): TransportName {
    const first = this.transport.listeners[0]?.open.transport ?? "udp";
    return this.transport.listener("udp") === undefined ? first : "udp";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.transport[Symbol.asyncDispose]();
  }

  /** Puts the error into the trace; nothing on the wire makes the stack throw. */
  fault(error: unknown, where: string): void {
    const code = error instanceof SipError ? error.code : "SIP_TRANSPORT";
    const text = error instanceof Error ? error.message : String(error);
    this.#setup.trace.record({ type: "error", code, message: `${where}: ${text}` });
  }

  /** The message's bytes, after the application's last touches. */
  serialise(message: SipMessage): Buffer {
    this.#setup.beforeSend?.(message);
    return message.toBuffer();
  }

  write(connection: WireConnection, bytes: Buffer, done: (error?: Error) => void): void {
    this.#record("out", connection, bytes);
    if (this.#loses("sip.lose-sent", bytes)) done();
    else connection.write(bytes, done);
  }

  /** The flow for a resolved or named endpoint. */
  async flow(
    hop: Omit<Endpoint, "port"> & { port: number | undefined },
    options: SendOptions & { newConnection?: boolean } = {},
  ): Promise<WireConnection> {
    const target = await resolveEndpoint(hop, this.#setup.resolve);
    const { localAddress, newConnection } = options;
    return this.transport.flow(target, { localAddress, newConnection });
  }

  /** Our Via for what leaves by this connection. */
  via(connection: SipConnection, branch: string, sentBy: SendOptions["sentBy"]): string {
    const { transport, local } = connection;
    const bound = this.transport.listener(transport, local.host);
    const { host, port } = bound?.open.local ?? local;
    const isWildcard = host === "0.0.0.0" || host === "::";
    const usual = { host: isWildcard ? local.host : host, port };
    return ownVia(transport, { ...usual, ...bound?.options.advertise, ...sentBy }, branch);
  }

  /**
   * Sends a response by the connection of its request; by another one when that is gone, or over
   * UDP when the Via wants it elsewhere (RFC 3261 §18.2.2).
   */
  respond(
    connection: WireConnection,
    via: Via,
    bytes: Buffer,
    done: (error?: Error) => void,
  ): void {
    const endpoint = responseEndpoint(via, connection.transport);
    if (connection.transport === "udp") {
      this.write(this.transport.datagramFlow(connection, endpoint), bytes, done);
      return;
    }
    const again = () => {
      this.flow(endpoint).then((other) => this.write(other, bytes, done), done);
    };
    if (connection.closed) again();
    else this.write(connection, bytes, (error) => (error === undefined ? done() : again()));
  }

  #receive(bytes: Buffer, connection: WireConnection): void {
    if (isKeepAlive(bytes)) return;
    this.#record("in", connection, bytes);
    if (this.#loses("sip.lose-received", bytes)) return;
    let message: SipMessage;
    try {
      message = parseMessage(bytes, this.#setup.limits);
    } catch (error) {
      this.fault(error, formatHostPort(connection.remote.host, connection.remote.port));
      return;
    }
    if (message instanceof SipRequest) this.#setup.onRequest(message, connection);
    else this.#setup.onResponse(message, connection);
  }

  #loses(fault: string, bytes: Buffer): boolean {
    const { faults, trace } = this.#setup;
    if (faults === undefined) return false;
    const [first = "", second = ""] = bytes.toString("latin1", 0, 100).split(" ", 2);
    const name = `${fault}:${first.startsWith("SIP/") ? second : first}`;
    const struck = [fault, name].find((each) => faults.strike(each) !== undefined);
    if (struck === undefined) return false;
    trace.record({ type: "fault", name: struck });
    return true;
  }

  #record(direction: "in" | "out", connection: WireConnection, bytes: Buffer): void {
    const { transport, local, remote } = connection;
    this.#setup.trace.record({
      type: "sip",
      direction,
      transport,
      local: formatHostPort(local.host, local.port),
      remote: formatHostPort(remote.host, remote.port),
      message: bytes.toString("utf8"),
    });
  }
}

/** Datagrams that only keep a NAT binding open: line breaks, zero bytes, STUN (RFC 5626 §8). */
function isKeepAlive(bytes: Buffer): boolean {
  const first = bytes[0] ?? 0;
  return first < 2 || (bytes.length <= 4 && (first === 10 || first === 13));
}

/** Top Via of a response about to be forwarded. */
export function topVia(response: SipResponse): Via {
  return parseVia(response.top("Via") ?? "");
}
