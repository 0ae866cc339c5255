import type { Socket } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";

/** Transports in the spelling of this room; the Via of a message has them in capitals. */
export type TransportName = "udp" | "tcp" | "tls" | "ws" | "wss";

/** A place to send to. `host` is an IP literal or a name that the stack's `resolve` knows. */
export interface Endpoint {
  transport: TransportName;
  host: string;
  port: number;
  /** TLS server name (SNI and certificate check) when it is not `host`. */
  servername?: string;
}

/** An IP address and a port. */
export interface Address {
  host: string;
  port: number;
}

/**
 * One flow: a TCP, TLS or WebSocket connection, or for UDP a listener's socket together with one
 * remote address. Messages are sent through the stack; this is what one may know of the flow.
 */
export interface SipConnection {
  /** `tls-3`; unique within a stack. */
  readonly id: string;
  readonly transport: TransportName;
  /** We dialled. */
  readonly outbound: boolean;
  readonly local: Address;
  readonly remote: Address;
  /** Name we dialled or the peer's SNI; TLS only. */
  readonly servername: string | undefined;
  readonly closed: boolean;
  /** TLS with a certificate shown: Node's detailed form (`raw`, `subject`, `subjectaltname`). */
  peerCertificate(): PeerCertificate | undefined;
  /** Node's verdict on the peer's certificate, such as `CERT_HAS_EXPIRED`; undefined if accepted. */
  readonly authorizationError: string | undefined;
  /** The socket, for what is not covered here (renegotiation, cipher). Undefined for UDP. */
  readonly socket: Socket | TLSSocket | undefined;
  /** Called once when the connection is gone, at once if it already is. */
  onClose(listener: (error: Error | undefined) => void): () => void;
  /** Ends the connection; waits for nothing. No effect on UDP. */
  close(): void;
}

/** Do messages arrive in order and surely? Decides which timers run (RFC 3261 §17). */
export function isReliable(transport: TransportName): boolean {
  return transport !== "udp";
}

/** Port used when a URI names none (RFC 3261 §19.1.2, RFC 7118 §5). */
export function defaultPort(transport: TransportName): number {
  if (transport === "ws") return 80;
  if (transport === "wss") return 443;
  return transport === "tls" ? 5061 : 5060;
}
