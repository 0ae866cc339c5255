import type { Address, Endpoint, SipConnection } from "./connection.ts";
import type { SipError } from "./error.ts";
import type { HeaderInput, SipRequest, SipResponse } from "./message.ts";

/** States of RFC 3261 §17 and, for the 2xx to an INVITE, RFC 6026 ("accepted"). */
export type TransactionState =
  | "calling"
  | "trying"
  | "proceeding"
  | "accepted"
  | "completed"
  | "confirmed"
  | "terminated";

/** Where a request went, or came from. */
export interface Flow {
  connection: SipConnection;
  local: Address;
  remote: Address;
}

/** A request on its way out, from the moment its target is being resolved. */
export interface ClientTransaction extends AsyncIterable<SipResponse> {
  /** Branch of our Via. */
  readonly id: string;
  /** The request; with our Via (and connection-dependent parts) once {@link sent} has resolved. */
  readonly request: SipRequest;
  readonly state: TransactionState;
  /** Resolves when the request left; rejects with the SipError that prevented it. */
  readonly sent: Promise<Flow>;
  /**
   * First final response. Rejects with {@link SipError}: SIP_TIMEOUT, SIP_TRANSPORT,
   * SIP_UNRESOLVED or SIP_ABORTED. Nobody has to await it.
   */
  readonly final: Promise<SipResponse>;
  /**
   * Provisional responses as they come, each final one once, and for an INVITE one 2xx per fork
   * (To tag). With the request option `everyResponse` also the repeated 2xx.
   * Responses that came before the listener are delivered to it at once.
   */
  onResponse(listener: (response: SipResponse, flow: Flow) => void): () => void;
  /** Called once; `undefined` after a final response, else why none came. */
  onEnd(listener: (error: SipError | undefined) => void): () => void;
  /**
   * INVITE only: sends CANCEL, now or after the first provisional response (RFC 3261 §9.1). No
   * effect after a final response. `headers` are added (Reason).
   */
  cancel(headers?: HeaderInput): void;
  /**
   * INVITE only: sends the ACK for a 2xx and remembers it; a repeated 2xx of the same fork is
   * answered with it again. `ack` is built by `Dialog.ack` and has no Via yet.
   */
  acknowledge(response: SipResponse, ack: SipRequest, options?: SendOptions): Promise<Flow>;
}

/** Why a server transaction is over. */
export type ServerEnd =
  /** A final response was sent, and acknowledged if it had to be. */
  | "done"
  /** No ACK came for a final response within 64·T1 (timer H, or the same wait for a 2xx). */
  | "ackTimeout"
  /** The application gave no final response in time; see `limits.unansweredInviteMs`. */
  | "unanswered"
  /** The connection is gone and no other could be opened. */
  | "transport"
  /** The stack was disposed. */
  | "aborted";

/** A request that came in and waits for our answer. */
export interface ServerTransaction {
  /** Unique; the branch is the peer's and need not be. */
  readonly id: string;
  readonly request: SipRequest;
  readonly state: TransactionState;
  readonly connection: SipConnection;
  /** Where the request really came from, whatever its Via says. */
  readonly source: Address;
  /** Our address that received it. */
  readonly local: Address;
  /** To tag of our responses: the request's own, else ours, fixed by the first response. */
  readonly toTag: string;
  /**
   * Sends a response. To tag, Via, From, Call-ID, CSeq (and Record-Route for dialog-creating
   * responses) are copied from the request unless `response` is a complete message.
   * Returns it as sent. Throws SipError SIP_STATE after a final response.
   */
  respond(status: number, options?: RespondOptions): SipResponse;
  /** The same for a message made with `SipResponse.to(request, …)`, or one to be forwarded. */
  send(response: SipResponse, options?: Pick<RespondOptions, "retransmit">): SipResponse;
  /** Aborted when the request is cancelled; the reason is the CANCEL request. */
  readonly cancelled: AbortSignal;
  /** INVITE: a CANCEL came. The stack has sent 200 to it and (unless told otherwise) 487. */
  onCancel(listener: (cancel: SipRequest) => void): () => void;
  /** INVITE: the ACK of our 2xx; repeated ones too. ACKs of refusals are absorbed. */
  onAck(listener: (ack: SipRequest) => void): () => void;
  onEnd(listener: (end: ServerEnd) => void): () => void;
}

export interface RespondOptions {
  reason?: string;
  headers?: HeaderInput;
  body?: Buffer | string;
  /** Chosen To tag; counts only on the first response. */
  toTag?: string;
  /**
   * 2xx to INVITE: repeat it until the ACK comes (RFC 3261 §13.3.1.4). Default true; false for a
   * proxy, whose upstream element does that.
   */
  retransmit?: boolean;
}

export interface SendOptions {
  /** Next hop; default: the top Route or the Request-URI through `resolve`. */
  target?: Endpoint;
  /** URI to take the next hop from, instead of Route or Request-URI (strict routes). */
  nextHop?: string;
  /** Send on this flow. A closed one is re-opened towards `target` if that is given. */
  connection?: SipConnection;
  /** Bind new connections (and choose the UDP socket) to this local address. */
  localAddress?: string;
  /** What our Via says (default: the listener's address). */
  sentBy?: { host: string; port?: number };
}

export interface RequestOptions extends SendOptions {
  /** Aborting an INVITE cancels it; anything else ends at once with SIP_ABORTED. */
  signal?: AbortSignal;
  /** Deliver repeated 2xx of an INVITE too (proxies). Default false. */
  everyResponse?: boolean;
  /** Send UDP requests larger than this over TCP instead, 0 = never. Default: the stack's. */
  congestionBytes?: number;
  /** Open a new connection even if a fitting one exists. */
  newConnection?: boolean;
}
