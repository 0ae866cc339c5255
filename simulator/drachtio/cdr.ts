import type { Clock } from "../clock.ts";
import type { SipMessage } from "../sip/message.ts";
import type { ControlConnection } from "./control.ts";
import { timeToken } from "./meta.ts";
import type { Routes } from "./routes.ts";

/** Who sent the message an event is about. */
export type CdrSource = "network" | "application";

export type CdrRole = "uas" | "uac" | "proxy-uas" | "proxy-uac";

export type CdrReason =
  | "call-rejected"
  | "call-canceled"
  | "normal-release"
  | "session-expired"
  | "system-initiated-termination";

/**
 * Call detail records: one event when a call is attempted, one when it is answered, one when it
 * ends, each with its SIP message. They go, in turn, to the applications that asked for them.
 */
export class Cdrs {
  readonly #clock: Clock;
  readonly #routes: Routes<ControlConnection>;

  constructor(clock: Clock, routes: Routes<ControlConnection>) {
    this.#clock = clock;
    this.#routes = routes;
  }

  attempt(source: CdrSource, message: SipMessage): void {
    this.#send("cdr:attempt", source, "", message);
  }

  start(source: CdrSource, role: CdrRole, message: SipMessage): void {
    this.#send("cdr:start", source, `|${role}`, message);
  }

  stop(source: CdrSource, reason: CdrReason, message: SipMessage): void {
    this.#send("cdr:stop", source, `|${reason}`, message);
  }

  #send(kind: string, source: CdrSource, more: string, message: SipMessage): void {
    const application = this.#routes.next(kind);
    application?.send(`${kind}|${source}|${timeToken(this.#clock)}${more}`, message.toBuffer());
  }
}

/** How a refused INVITE ended. */
export function refusalReason(status: number): CdrReason {
  return status === 487 ? "call-canceled" : "call-rejected";
}
