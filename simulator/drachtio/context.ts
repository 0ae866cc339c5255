import type { Clock } from "../clock.ts";
import type { Address, SipConnection } from "../sip/connection.ts";
import type { SipMessage, SipRequest } from "../sip/message.ts";
import type { SipStack } from "../sip/stack.ts";
import type { Timers } from "../sip/timers.ts";
import type { Cdrs } from "./cdr.ts";
import type { Contact } from "./contact.ts";
import type { ControlConnection } from "./control.ts";
import type { Dialogs } from "./dialog.ts";
import { type Hop, hopTokens } from "./meta.ts";
import type { Registrations } from "./registrations.ts";
import type { Routes } from "./routes.ts";
import type { SessionTimers } from "./session-timer.ts";

/** Bounds of what the daemon waits for. */
export interface DaemonLimits {
  /** An INVITE the application says nothing about is answered 480 after this long. */
  silenceTimeoutMs: number;
  /** An INVITE that only ever rings is answered 480 after this long. */
  ringTimeoutMs: number;
}

/** What the daemon's parts share. */
export interface Context {
  readonly clock: Clock;
  readonly ids: () => string;
  readonly timers: Timers;
  readonly limits: DaemonLimits;
  readonly stack: SipStack;
  readonly contacts: readonly Contact[];
  readonly dialogs: Dialogs;
  readonly routes: Routes<ControlConnection>;
  readonly registrations: Registrations;
  readonly cdrs: Cdrs;
  readonly sessions: SessionTimers;
}

export interface Notice extends Hop {
  message: SipMessage;
  transactionId: string;
  dialogId: string;
  /** Our address that received it; only requests outside a dialog tell it. */
  receivedOn?: Address;
  /** 0 for responses the daemon made up itself. */
  bytes?: number;
}

/** Hands a SIP message from the network to an application. */
export function notify(context: Context, owner: ControlConnection, notice: Notice): void {
  const { message, transactionId, dialogId, receivedOn } = notice;
  const raw = message.toBuffer();
  const hop = hopTokens(context.clock, notice.bytes ?? raw.length, notice);
  const on = receivedOn === undefined ? "" : `${receivedOn.host}|${receivedOn.port}|`;
  owner.send(`sip|network|${hop}|${transactionId}|${dialogId}|${on}`, raw);
}

/** Tells an application of a request the daemon sent by itself: a BYE that ended its dialog. */
export function notifyUnsolicited(
  context: Context,
  owner: ControlConnection,
  { message, dialogId, ...hop }: Hop & { message: SipRequest; dialogId: string },
): void {
  const raw = message.toBuffer();
  const tokens = hopTokens(context.clock, raw.length, hop);
  owner.send(`sip|application|${tokens}|unsolicited|${dialogId}|`, raw);
}

/** The listener a flow belongs to; connections we opened have a port of their own. */
export function contactOf(
  contacts: readonly Contact[],
  { transport, local }: Pick<SipConnection, "transport" | "local">,
): Contact | undefined {
  const same = contacts.filter((contact) => contact.transport === transport);
  return (
    same.find((each) => each.localHost === local.host && each.localPort === local.port) ??
    same.find((each) => each.localHost === local.host) ??
    same[0]
  );
}
