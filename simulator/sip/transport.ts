import type { Clock } from "../clock.ts";
import type { Address, Endpoint, SipConnection, TransportName } from "./connection.ts";
import { dial } from "./dial.ts";
import { SipError } from "./error.ts";
import type { Limits } from "./limits.ts";
import { type ListenOptions, type OpenListener, openListener } from "./listener.ts";
import {
  type ConnectionSetup,
  plainHost,
  StreamConnection,
  type StreamLike,
  type WireConnection,
} from "./stream-connection.ts";
import { UdpFlow } from "./udp-flow.ts";
import { WebSocketConnection } from "./websocket-connection.ts";

export interface TransportSetup {
  clock: Clock;
  listen: readonly ListenOptions[];
  limits: Limits;
  keepAliveMs: number;
  onMessage: (bytes: Buffer, connection: WireConnection) => void;
  onConnection: (connection: SipConnection) => void;
  onFault: (error: Error, where: string) => void;
}

/** A listener together with how it was asked for. */
export interface BoundListener {
  options: ListenOptions;
  open: OpenListener;
}

export interface FlowOptions {
  localAddress?: string;
  newConnection?: boolean;
}

/** All ports and connections of one stack. Connections are reused by transport and remote address. */
export class TransportLayer implements AsyncDisposable {
  readonly listeners: BoundListener[] = [];
  readonly #setup: TransportSetup;
  readonly #connections = new Map<string, WireConnection>();
  readonly #dialling = new Map<string, Promise<WireConnection>>();
  readonly #perHost = new Map<string, number>();
  /** Connections that were asked to start at a certain address; nobody else gets them. */
  readonly #bound = new WeakMap<SipConnection, string>();
  readonly #stop = new AbortController();
  #serial = 0;

  constructor(setup: TransportSetup) {
    this.#setup = setup;
  }

  get connections(): WireConnection[] {
    return [...this.#connections.values()];
  }

  async open(): Promise<void> {
    for (const options of this.#setup.listen) {
      this.listeners.push({ options, open: await this.#listen(options) });
    }
  }

  /** Chooses the listener for a transport: bound to `localAddress` if any is, else the first. */
  listener(transport: TransportName, localAddress?: string): BoundListener | undefined {
    const fitting = this.listeners.filter(({ open }) => open.transport === transport);
    return fitting.find(({ open }) => open.local.host === localAddress) ?? fitting[0];
  }

  /** A flow towards `target` (whose host is an address): an open connection or a new one. */
  async flow(target: Endpoint, options: FlowOptions = {}): Promise<WireConnection> {
    if (this.#stop.signal.aborted) throw new SipError("SIP_ABORTED", "the SIP stack is closed");
    const bound = this.listener(target.transport, options.localAddress);
    if (bound === undefined) {
      throw new SipError("SIP_TRANSPORT", `no ${target.transport} listener to send from`);
    }
    if (bound.open.datagrams !== undefined) {
      return this.#datagramFlow(bound.open, { host: target.host, port: target.port });
    }
    const open = options.newConnection === true ? undefined : this.#reusable(target, options);
    return open ?? (await this.#dialOnce(target, options, bound));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const connection of this.#connections.values()) connection.close();
    await Promise.all(this.listeners.map(({ open }) => open[Symbol.asyncDispose]()));
    await Promise.allSettled(this.#dialling.values());
    for (const connection of this.#connections.values()) connection.socket?.destroy();
    const closing = [...this.#connections.values()].map(closedConnection);
    await Promise.all(closing);
  }

  #listen(options: ListenOptions): Promise<OpenListener> {
    const { transport, host, port, tls } = options;
    const { limits, onMessage, onFault } = this.#setup;
    const opening: Promise<OpenListener> = openListener({
      transport,
      host,
      port,
      tls,
      limits,
      onSocket: (socket) =>
        this.#accept(socket.remoteAddress, () => socket.destroy()) &&
        this.#add(new StreamConnection(socket, this.#connectionSetup({ transport })), true),
      onWebSocket: (webSocket, socket) =>
        this.#accept(socket.remoteAddress, () => webSocket.terminate()) &&
        this.#add(
          new WebSocketConnection(webSocket, socket, this.#connectionSetup({ transport })),
          true,
        ),
      onDatagram: (bytes, remote) => {
        const bound = this.listeners.find((listener) => listener.options === options);
        if (bound !== undefined) onMessage(bytes, this.#datagramFlow(bound.open, remote));
      },
      onFault: (error) => onFault(error, `${transport} ${host}:${port}`),
    });
    return opening;
  }

  /** From the UDP socket that `from` belongs to, to another place. */
  datagramFlow(from: SipConnection, remote: Address): WireConnection {
    const { host, port } = from.local;
    const bound = this.listeners.find(
      ({ open: { datagrams, local } }) =>
        datagrams !== undefined && local.host === host && local.port === port,
    );
    if (bound === undefined) throw new SipError("SIP_TRANSPORT", `no UDP socket ${host}:${port}`);
    return this.#datagramFlow(bound.open, remote);
  }

  #datagramFlow(open: OpenListener, remote: Address): WireConnection {
    if (open.datagrams === undefined) throw new SipError("SIP_TRANSPORT", "not a UDP listener");
    const addresses = { local: open.local, remote };
    return new UdpFlow(open.datagrams, addresses, () => !this.#stop.signal.aborted);
  }

  /** Room for one more inbound connection? If not, it is dropped and the trace told. */
  #accept(remoteAddress: string | undefined, drop: () => void): boolean {
    const { connections, connectionsPerHost } = this.#setup.limits;
    const host = plainHost(remoteAddress);
    const full = this.#connections.size >= connections && "connections";
    const crowded = (this.#perHost.get(host) ?? 0) >= connectionsPerHost && "connectionsPerHost";
    const limit = full || crowded;
    if (limit === false) return true;
    drop();
    const text = `connection from ${host} refused: limit ${limit} of ${this.#setup.limits[limit]}`;
    this.#setup.onFault(new SipError("SIP_LIMIT", text), host);
    return false;
  }

  #add(connection: StreamLike, inbound: boolean): void {
    const { host } = connection.remote;
    this.#connections.set(connection.id, connection);
    this.#perHost.set(host, (this.#perHost.get(host) ?? 0) + 1);
    connection.onClose(() => {
      this.#connections.delete(connection.id);
      const left = (this.#perHost.get(host) ?? 1) - 1;
      if (left === 0) this.#perHost.delete(host);
      else this.#perHost.set(host, left);
    });
    if (inbound) this.#setup.onConnection(connection);
  }

  #reusable(target: Endpoint, { localAddress }: FlowOptions): WireConnection | undefined {
    return this.#connections
      .values()
      .find(
        (connection) =>
          !connection.closed &&
          connection.transport === target.transport &&
          connection.remote.port === target.port &&
          connection.remote.host === target.host &&
          this.#mayServe(connection, target.servername, localAddress),
      );
  }

  #mayServe(
    connection: WireConnection,
    servername: string | undefined,
    localAddress: string | undefined,
  ): boolean {
    if (!connection.outbound) {
      return localAddress === undefined || connection.local.host === localAddress;
    }
    // A connection proven for one name does not stand for another (RFC 5922 §7.3).
    const provenName = connection.servername;
    return (
      this.#bound.get(connection) === localAddress && (servername ?? provenName) === provenName
    );
  }

  #dialOnce(target: Endpoint, options: FlowOptions, bound: BoundListener): Promise<WireConnection> {
    const { transport, host, port, servername } = target;
    const key = [transport, host, port, servername, options.localAddress].join("|");
    const underway = options.newConnection === true ? undefined : this.#dialling.get(key);
    if (underway !== undefined) return underway;
    const dialling = this.#dial(target, options, bound);
    this.#dialling.set(key, dialling);
    const forget = () => {
      if (this.#dialling.get(key) === dialling) this.#dialling.delete(key);
    };
    dialling.then(forget, forget);
    return dialling;
  }

  async #dial(
    target: Endpoint,
    options: FlowOptions,
    { options: { clientTls } }: BoundListener,
  ): Promise<WireConnection> {
    if (this.#connections.size >= this.#setup.limits.connections) {
      const { connections } = this.#setup.limits;
      throw new SipError("SIP_LIMIT", `limit connections of ${connections} reached`);
    }
    const { transport, servername } = target;
    const connection = await dial({
      target,
      localAddress: options.localAddress ?? clientTls?.localAddress,
      clientTls,
      signal: this.#stop.signal,
      setup: this.#connectionSetup({ transport, servername, outbound: true }),
    });
    if (options.localAddress !== undefined) this.#bound.set(connection, options.localAddress);
    this.#add(connection, false);
    if (this.#stop.signal.aborted) connection.socket?.destroy();
    return connection;
  }

  #connectionSetup(parts: {
    transport: TransportName;
    servername?: string;
    outbound?: boolean;
  }): ConnectionSetup {
    const { clock, limits, keepAliveMs, onMessage, onFault } = this.#setup;
    this.#serial++;
    return {
      id: `${parts.transport}-${this.#serial}`,
      outbound: false,
      ...parts,
      clock,
      limits,
      keepAliveMs,
      onMessage,
      onFault: (error, connection) =>
        onFault(error, `${connection.id} ${connection.remote.host}:${connection.remote.port}`),
    };
  }
}

function closedConnection(connection: WireConnection): Promise<void> {
  return new Promise((resolve) => {
    connection.onClose(() => resolve());
  });
}
