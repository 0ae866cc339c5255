import type { Clock } from "../clock.ts";
import { ClientMachine, flowOf } from "./client-transaction.ts";
import type { SipConnection } from "./connection.ts";
import { SipError } from "./error.ts";
import { SipRequest, type SipResponse } from "./message.ts";
import { isTransport, nextHopUri, responseEndpoint, uriEndpoint } from "./routing.ts";
import type { WireConnection } from "./stream-connection.ts";
import type { Timers } from "./timers.ts";
import type { ClientTransaction, Flow, RequestOptions, SendOptions } from "./transaction.ts";
import { topVia, type Wire } from "./wire.ts";

export interface ClientSideSetup {
  wire: Wire;
  clock: Clock;
  timers: Timers;
  ids: () => string;
  congestionBytes: number;
}

const COOKIE = "z9hG4bK";

/** Requests on their way out, and the responses that come back. */
export class ClientSide {
  readonly #setup: ClientSideSetup;
  readonly #transactions = new Map<string, ClientMachine>();

  constructor(setup: ClientSideSetup) {
    this.#setup = setup;
  }

  get size(): number {
    return this.#transactions.size;
  }

  request(request: SipRequest, options: RequestOptions = {}): ClientTransaction {
    const transaction = this.#create(request, `${COOKIE}${this.#setup.ids()}`, options);
    this.#obey(transaction, options.signal);
    this.#launch(transaction, options).catch((error: unknown) => transaction.fail(sipError(error)));
    return transaction;
  }

  /** Sends without a transaction and says what went where. */
  async send(
    message: SipRequest | SipResponse,
    options: SendOptions = {},
  ): Promise<{ flow: Flow; bytes: Buffer; connection: WireConnection }> {
    const connection = await this.#connectionFor(message, options);
    if (message instanceof SipRequest) {
      const branch = `${COOKIE}${this.#setup.ids()}`;
      message.prepend("Via", this.#setup.wire.via(connection, branch, options.sentBy));
    }
    const bytes = this.#setup.wire.serialise(message);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#setup.wire.write(connection, bytes, (error) => {
      if (error === undefined) resolve();
      else reject(sipError(error));
    });
    await promise;
    return { flow: flowOf(connection), bytes, connection };
  }

  /** Was the response for one of our transactions? Throws SIP_SYNTAX when it cannot be read. */
  receive(response: SipResponse): boolean {
    const transaction = this.#transactions.get(`${response.branch}|${response.cseq.method}`);
    transaction?.receive(response);
    return transaction !== undefined;
  }

  abort(error: SipError): void {
    for (const transaction of this.#transactions.values()) transaction.fail(error);
  }

  #create(request: SipRequest, branch: string, options: RequestOptions): ClientMachine {
    const { wire, clock, timers } = this.#setup;
    const key = `${branch}|${request.method}`;
    const transaction = new ClientMachine({
      id: branch,
      request,
      clock,
      timers,
      everyResponse: options.everyResponse ?? false,
      serialise: (message) => wire.serialise(message),
      write: (connection, bytes, done) => wire.write(connection, bytes, done),
      sendAck: (ack, ackOptions) => this.send(ack, ackOptions),
      sendCancel: (cancel, invite) => this.#sendCancel(cancel, invite),
      onTerminated: () => void this.#transactions.delete(key),
      fault: (error) => wire.fault(error, `a listener of ${request.method} failed`),
    });
    this.#transactions.set(key, transaction);
    return transaction;
  }

  #obey(transaction: ClientMachine, signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = () => {
      if (transaction.request.method === "INVITE" && transaction.connection !== undefined) {
        transaction.cancel();
      } else {
        const text = `${transaction.request.method} was aborted`;
        transaction.fail(new SipError("SIP_ABORTED", text, { cause: signal.reason }));
      }
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    transaction.onEnd(() => signal.removeEventListener("abort", abort));
  }

  async #launch(transaction: ClientMachine, options: RequestOptions): Promise<void> {
    const { request } = transaction;
    let connection = await this.#connectionFor(request, options);
    this.#putVia(transaction, connection, options);
    const larger = await this.#largerFlow(request, connection, options);
    if (larger !== undefined) {
      connection = larger;
      request.removeTop("Via");
      this.#putVia(transaction, connection, options);
    }
    transaction.start(connection);
    this.#watch(transaction, connection, options);
  }

  /** A connection that breaks before any response is replaced once, if there is a way to. */
  #watch(transaction: ClientMachine, connection: WireConnection, options: RequestOptions): void {
    const stop = connection.onClose((cause) => {
      if (!transaction.unanswered) return;
      this.#replace(transaction, connection, options).catch((error: unknown) =>
        transaction.fail(sipError(cause ?? error)),
      );
    });
    transaction.onEnd(stop);
  }

  async #replace(
    transaction: ClientMachine,
    { transport, remote, servername, outbound, id }: WireConnection,
    options: RequestOptions,
  ): Promise<void> {
    if (!outbound && options.target === undefined) {
      throw new SipError("SIP_TRANSPORT", `connection ${id} was closed by the peer`);
    }
    const target = options.target ?? { transport, ...remote, servername };
    const connection = await this.#setup.wire.flow(target, options);
    const stop = connection.onClose((cause) => {
      const text = `connection ${connection.id} was closed before any response`;
      if (transaction.unanswered) transaction.fail(sipError(cause ?? new Error(text)));
    });
    transaction.onEnd(stop);
    if (transaction.unanswered) transaction.restart(connection);
  }

  #putVia({ request, id }: ClientMachine, connection: WireConnection, options: SendOptions): void {
    request.prepend("Via", this.#setup.wire.via(connection, id, options.sentBy));
  }

  /**
   * TCP for a request that is near the MTU (RFC 3261 §18.1.1). A peer that takes no TCP gets it
   * by UDP after all; that is what the RFC allows for RFC 2543 elements.
   */
  async #largerFlow(
    request: SipRequest,
    connection: WireConnection,
    options: RequestOptions,
  ): Promise<WireConnection | undefined> {
    const { wire, congestionBytes } = this.#setup;
    const limit = options.congestionBytes ?? congestionBytes;
    if (connection.transport !== "udp" || limit === 0) return undefined;
    if (wire.transport.listener("tcp") === undefined) return undefined;
    if (request.toBuffer().length <= limit) return undefined;
    const { host, port } = connection.remote;
    try {
      return await wire.flow({ transport: "tcp", host, port }, options);
    } catch (error) {
      wire.fault(error, "a large request stays on UDP");
      return undefined;
    }
  }

  async #connectionFor(
    message: SipRequest | SipResponse,
    options: RequestOptions,
  ): Promise<WireConnection> {
    const { wire } = this.#setup;
    const { connection, target } = options;
    if (connection !== undefined && isWire(connection) && !connection.closed) return connection;
    if (target !== undefined) return wire.flow(target, options);
    if (message instanceof SipRequest) {
      const uri = options.nextHop ?? nextHopUri(message);
      return wire.flow(uriEndpoint(uri, wire.usualTransport), options);
    }
    return wire.flow(responseHop(message), options);
  }

  #sendCancel(cancel: SipRequest, invite: ClientMachine): void {
    if (invite.connection === undefined) return;
    this.#create(cancel, invite.id, {}).start(invite.connection);
  }
}

function responseHop(response: SipResponse) {
  const via = topVia(response);
  const transport = via.transport.toLowerCase();
  if (!isTransport(transport)) {
    throw new SipError("SIP_TRANSPORT", `expected a known transport in Via, got ${via.transport}`);
  }
  return responseEndpoint(via, transport);
}

function isWire(connection: SipConnection): connection is WireConnection {
  return "write" in connection;
}

function sipError(error: unknown): SipError {
  if (error instanceof SipError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new SipError("SIP_TRANSPORT", text, { cause: error });
}
