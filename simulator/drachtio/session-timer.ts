import type { Clock } from "../clock.ts";
import type { SipMessage, SipResponse } from "../sip/message.ts";
import type { Dialog } from "./dialog.ts";

/** Smallest session interval taken (RFC 4028 §4). */
export const MIN_SESSION_EXPIRES_S = 90;

/** Node's timers are no longer than 2^31 ms and fire at once beyond: 23 days will do for a call. */
export const LONGEST_TIMER_S = 2_000_000;

export interface SessionExpires {
  seconds: number;
  /** Who of the transaction refreshes; undefined if nobody said so. */
  refresher: "uac" | "uas" | undefined;
}

export function readSessionExpires(message: SipMessage): SessionExpires | undefined {
  const [, digits, parameters = ""] =
    /^\s*(\d{1,9})\s*(.*)$/.exec(message.get("Session-Expires") ?? "") ?? [];
  if (digits === undefined) return undefined;
  const [, refresher] = /;\s*refresher\s*=\s*(uac|uas)\b/i.exec(parameters) ?? [];
  const lower = refresher?.toLowerCase();
  return {
    seconds: Number(digits),
    refresher: lower === "uac" || lower === "uas" ? lower : undefined,
  };
}

/** What the daemon does when a session's time comes. */
export interface SessionActions {
  /** It is our turn to refresh. */
  refresh(dialog: Dialog): void;
  /** The peer did not refresh in time. */
  expire(dialog: Dialog): void;
}

/** Session timers of the dialogs (RFC 4028): refresh at half time, or hang up on silence. */
export class SessionTimers {
  readonly #clock: Clock;
  readonly #actions: SessionActions;

  constructor(clock: Clock, actions: SessionActions) {
    this.#clock = clock;
    this.#actions = actions;
  }

  /**
   * A 2xx to an INVITE or UPDATE went out (`uas`) or came in (`uac`). It sets the timer anew if it
   * says who refreshes, and ends it otherwise. A BYE may have been quicker: then there is no timer.
   */
  arm(dialog: Dialog, role: "uac" | "uas", response: SipResponse): void {
    dialog.sessionTimer?.cancel();
    const session = readSessionExpires(response);
    if (session?.refresher === undefined || !dialog.listed) return;
    const { refresher } = session;
    const seconds = Math.min(session.seconds, LONGEST_TIMER_S);
    const ours = refresher === role;
    dialog.sessionExpiresS = seconds;
    // RFC 4028 §10: the other side gives up shortly before the end.
    const silenceS = seconds - Math.min(32, seconds / 3);
    dialog.sessionTimer = this.#clock.after((ours ? seconds / 2 : silenceS) * 1_000, () => {
      if (ours) this.#actions.refresh(dialog);
      else this.#actions.expire(dialog);
    });
  }
}
