/** What a {@link SipError} can mean; callers branch on this, never on the text. */
export type SipErrorCode =
  /** The bytes are not a SIP message, or a header or URI in it cannot be read. */
  | "SIP_SYNTAX"
  /** A named limit was passed. */
  | "SIP_LIMIT"
  /** A host name that the `resolve` option does not know. */
  | "SIP_UNRESOLVED"
  /** No listener for the transport, or the connection could not be opened or broke. */
  | "SIP_TRANSPORT"
  /** No final response within 64·T1 (timers B and F). */
  | "SIP_TIMEOUT"
  /** The caller's AbortSignal fired, or the stack was disposed. */
  | "SIP_ABORTED"
  /** The call makes no sense in this state: a second final response, an ACK without a 2xx. */
  | "SIP_STATE";

export class SipError extends Error {
  override readonly name = "SipError";
  readonly code: SipErrorCode;

  constructor(code: SipErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
