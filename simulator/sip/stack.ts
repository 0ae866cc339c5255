import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { ClientSide } from "./client-side.ts";
import { flowOf } from "./client-transaction.ts";
import type { Endpoint, SipConnection, TransportName } from "./connection.ts";
import { SipError } from "./error.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import type { ListenOptions } from "./listener.ts";
import type { SipMessage, SipRequest, SipResponse } from "./message.ts";
import type { Resolve } from "./routing.ts";
import { ServerSide } from "./server-side.ts";
import { DEFAULT_TIMERS, type Timers } from "./timers.ts";
import type {
  ClientTransaction,
  Flow,
  RequestOptions,
  SendOptions,
  ServerTransaction,
} from "./transaction.ts";
import { Wire } from "./wire.ts";

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
  /** Told of each inbound connection after its handshake; may close it. */
  onConnection?: (connection: SipConnection) => void;
  /**
   * Last look at every message before it goes out, the stack's own ones (100, 487, ACK, CANCEL)
   * included; may rewrite its headers.
   */
  beforeSend?: (message: SipMessage) => void;
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
  /** Fill `rport` in the top Via only when asked to (RFC 3581), or in every request. */
  rport?: "asked" | "always";
  /**
   * `sip.lose-sent` and `sip.lose-received` lose a message; with a method or status behind a colon
   * (`sip.lose-sent:BYE`, `sip.lose-received:200`) only such a one. It is traced all the same.
   */
  faults?: FaultPlan;
  /** Ping connections we dialled this often with CRLF CRLF (RFC 5626); 0 = never, the default. */
  keepAliveMs?: number;
  /** Unique strings for branches, tags, Call-IDs. Default: random. */
  ids?: () => string;
}

interface Listener {
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
  connect(
    target: Endpoint,
    options?: Pick<RequestOptions, "localAddress" | "newConnection">,
  ): Promise<SipConnection>;
}

/** Opens the ports and starts to serve. Rejects when a port cannot be had. */
export async function startSipStack(options: SipStackOptions): Promise<SipStack> {
  const { clock, trace, listen, resolve, onResponse } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const timers = { ...DEFAULT_TIMERS, ...options.timers };
  const ids = options.ids ?? randomIds();
  const wire: Wire = new Wire({
    clock,
    trace,
    listen,
    limits,
    keepAliveMs: options.keepAliveMs ?? 0,
    resolve,
    faults: options.faults,
    beforeSend: options.beforeSend,
    onConnection: (connection) => options.onConnection?.(connection),
    onRequest: (request, connection) => guard(() => servers.receive(request, connection)),
    onResponse: (response, connection) =>
      guard(() => {
        if (!clients.receive(response)) onResponse?.(response, flowOf(connection));
      }),
  });
  const guard = (receive: () => void) => {
    try {
      receive();
    } catch (error) {
      wire.fault(error, "a message was dropped");
    }
  };
  const { congestionBytes = 1300, trying = "immediate", cancelled = "automatic" } = options;
  const clients = new ClientSide({ wire, clock, timers, ids, congestionBytes });
  const servers = new ServerSide({
    wire,
    clock,
    timers,
    ids,
    limitTransactions: limits.serverTransactions,
    unansweredInviteMs: limits.unansweredInviteMs,
    trying,
    cancelled,
    rejectMerged: options.rejectMerged ?? true,
    rport: options.rport ?? "asked",
    onRequest: options.onRequest,
    onAck: options.onAck,
  });
  try {
    await wire.transport.open();
  } catch (error) {
    // A port cannot be had: those before it go back.
    await wire[Symbol.asyncDispose]();
    throw error;
  }
  return stackOf(wire, clients, servers);
}

function stackOf(wire: Wire, clients: ClientSide, servers: ServerSide): SipStack {
  const { transport } = wire;
  return {
    listeners: transport.listeners.map(({ open: { transport: name, local } }) => ({
      transport: name,
      ...local,
    })),
    get connections() {
      return transport.connections;
    },
    get transactions() {
      return { client: clients.size, server: servers.size };
    },
    request: (message, options) => clients.request(message, options),
    send: async (message, options) => (await clients.send(message, options)).flow,
    connect: (target, options) => wire.flow(target, options),
    async [Symbol.asyncDispose]() {
      clients.abort(new SipError("SIP_ABORTED", "the SIP stack is closed"));
      servers.abort();
      await wire[Symbol.asyncDispose]();
    },
  };
}

const ID_BYTES = 12;

/** 96 random bits as hex, drawn from a block because asking for a few bytes is what costs. */
function randomIds(): () => string {
  let block = Buffer.alloc(0);
  let used = 0;
  return () => {
    if (used === block.length) {
      block = randomBytes(256 * ID_BYTES);
      used = 0;
    }
    used += ID_BYTES;
    return block.toString("hex", used - ID_BYTES, used);
  };
}
