import type { SecureContextOptions, TlsOptions } from "node:tls";
import type { Clock } from "../clock.ts";
import type { PartyTrace } from "../trace.ts";
import type { Address, Endpoint, SipConnection, TransportName } from "./connection.ts";
import type { Limits } from "./limits.ts";
import type { SipRequest, SipResponse } from "./message.ts";
import type { Timers } from "./timers.ts";
import type {
  ClientTransaction,
  Flow,
  RequestOptions,
  SendOptions,
  ServerTransaction,
} from "./transaction.ts";

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
    servername?: string;
  };
}

/** Asks the name table. Undefined means unknown: the request fails with SIP_UNRESOLVED. */
export type Resolve = (
  host: string,
  port: number | undefined,
  transport: TransportName,
) => Address | undefined | Promise<Address | undefined>;

export interface SipStackOptions {
  clock: Clock;
  trace: PartyTrace;
  listen: readonly ListenOptions[];
  /** Every new request outside and inside dialogs except ACK and CANCEL. */
  onRequest: (transaction: ServerTransaction) => void;
  /** An ACK that belongs to no 2xx of ours (proxied dialogs, or a stranger). */
  onAck?: (ack: SipRequest, flow: Flow) => void;
  /** A response that belongs to no transaction. Default: dropped. */
  onResponse?: (response: SipResponse, flow: Flow) => void;
  /** Accepts or refuses an inbound connection once it is established (after the handshake). */
  onConnection?: (connection: SipConnection) => void;
  resolve?: Resolve;
  timers?: Partial<Timers>;
  limits?: Partial<Limits>;
  /** 100 to INVITE: at once, after 200 ms without another response, or left to the application. */
  trying?: "immediate" | "delayed" | "manual";
  /** 487 to a cancelled INVITE: by the stack, or by the application. Default automatic. */
  cancelled?: "automatic" | "manual";
  /** Answer merged requests with 482 (RFC 3261 §8.2.2.2). Default true. */
  rejectMerged?: boolean;
  /** UDP requests larger than this go over TCP if the target accepts it; 0 = never. Default 1300. */
  congestionBytes?: number;
  /** Unique strings for branches, tags, Call-IDs. Default: random. */
  ids?: () => string;
}

export interface Listener {
  transport: TransportName;
  host: string;
  port: number;
}

export interface SipStack extends AsyncDisposable {
  readonly listeners: readonly Listener[];
  /** Open stream connections. */
  readonly connections: readonly SipConnection[];
  /** Live transactions; a leak check. */
  readonly transactions: { client: number; server: number };
  /** Sends a request in a new transaction. Our Via is put on top; nothing else is added. */
  request(message: SipRequest, options?: RequestOptions): ClientTransaction;
  /** Sends without a transaction: an ACK to a 2xx (gets our Via), a forwarded response. */
  send(message: SipRequest | SipResponse, options?: SendOptions): Promise<Flow>;
  /** Opens (or finds) a connection without sending. */
  connect(target: Endpoint, options?: { localAddress?: string }): Promise<SipConnection>;
}
