import type { Clock } from "../../clock.ts";
import type { TransportName } from "../connection.ts";
import type { SipMessage } from "../message.ts";
import { parseMessage } from "../parser.ts";
import type { WireConnection } from "../stream-connection.ts";

/** What was written, and when. */
export interface Written {
  atMs: number;
  message: SipMessage;
}

/** A connection without a network, for the timer tables' tests: it notes what is written. */
export class RecordingConnection implements WireConnection {
  readonly id = "recording-1";
  readonly outbound = true;
  readonly local = { host: "192.0.2.1", port: 5060 };
  readonly remote = { host: "192.0.2.2", port: 5060 };
  readonly servername = undefined;
  readonly authorizationError = undefined;
  readonly socket = undefined;
  readonly closed = false;
  readonly transport: TransportName;
  readonly written: Written[] = [];
  /** Set to make every write fail. */
  failure: Error | undefined;
  readonly #clock: Clock;

  constructor(transport: TransportName, clock: Clock) {
    this.transport = transport;
    this.#clock = clock;
  }

  /** Times of what was written, in milliseconds. */
  get times(): number[] {
    return this.written.map(({ atMs }) => atMs);
  }

  get startLines(): string[] {
    return this.written.map(({ message }) => message.startLine);
  }

  write(bytes: Buffer, done: (error: Error | undefined) => void): void {
    this.written.push({ atMs: this.#clock.now(), message: parseMessage(bytes) });
    done(this.failure);
  }

  peerCertificate(): undefined {
    return undefined;
  }

  onClose(): () => void {
    return () => {};
  }

  close(): void {}
}
