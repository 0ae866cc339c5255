/** What a stack accepts from strangers. Every limit has a name; what passes one is traced. */
export interface Limits {
  /** Start line and headers of one message; beyond it 513 or, on a stream, the connection ends. */
  headerBytes: number;
  /** Body of one message. */
  bodyBytes: number;
  /** Header fields in one message. */
  headerFields: number;
  /** Open stream connections, both ways. The newest inbound one is refused. */
  connections: number;
  /** Open stream connections from one remote host. */
  connectionsPerHost: number;
  /** Live server transactions; beyond it new requests get 503 with Retry-After. */
  serverTransactions: number;
  /** An INVITE the application has not answered after this long gets 408. */
  unansweredInviteMs: number;
  /** A stream that carries nothing for this long is closed. */
  idleTimeoutMs: number;
  /** A message must be complete this long after its first byte (slow loris). */
  messageTimeoutMs: number;
  /** TCP connect, TLS handshake or WebSocket upgrade, either way. */
  connectTimeoutMs: number;
  /** How long a ping of ours may wait for its pong (RFC 5626 §4.4.1: 10 s). */
  pongTimeoutMs: number;
  /** Bytes waiting to be written on one connection; beyond it the connection is closed. */
  queuedBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  headerBytes: 64 * 1024,
  bodyBytes: 1024 * 1024,
  headerFields: 512,
  connections: 2_000,
  connectionsPerHost: 1_000,
  serverTransactions: 50_000,
  unansweredInviteMs: 600_000,
  idleTimeoutMs: 600_000,
  messageTimeoutMs: 10_000,
  connectTimeoutMs: 5_000,
  pongTimeoutMs: 10_000,
  queuedBytes: 16 * 1024 * 1024,
};
