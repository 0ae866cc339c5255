import type { Clock } from "../clock.ts";
import type { SipResponse } from "../sip/message.ts";
import { readSessionExpires, SessionTimer } from "../sip/session-timer.ts";
import type { Dialog } from "./dialog.ts";

/** Smallest session interval taken (RFC 4028 §4). */
export const MIN_SESSION_EXPIRES_S = 90;

/** What the daemon does when a session's time comes. */
export interface SessionActions {
  /** It is our turn to refresh. */
  refresh(dialog: Dialog): void;
  /** The session was not refreshed in time. */
  expire(dialog: Dialog): void;
}

/** Session timers of the dialogs (RFC 4028): refresh at half time, hang up at the end. */
export class SessionTimers {
  readonly #clock: Clock;
  readonly #actions: SessionActions;

  constructor(clock: Clock, actions: SessionActions) {
    this.#clock = clock;
    this.#actions = actions;
  }

  /**
   * A 2xx to an INVITE or UPDATE went out (`uas`) or came in (`uac`). It sets the timer anew, or
   * ends it; without a word on who refreshes it is the caller, as with the real daemon. A BYE may
   * have been quicker: then there is no timer.
   */
  arm(dialog: Dialog, role: "uac" | "uas", response: SipResponse): void {
    dialog.sessionTimer?.cancel();
    const session = readSessionExpires(response);
    if (session === undefined || !dialog.listed) return;
    const { refresher = "uac" } = session;
    const seconds = Math.max(MIN_SESSION_EXPIRES_S, session.seconds);
    dialog.sessionExpiresS = seconds;
    dialog.sessionTimer = new SessionTimer({
      clock: this.#clock,
      seconds,
      isRefresher: refresher === role,
      refresh: () => this.#actions.refresh(dialog),
      expire: () => this.#actions.expire(dialog),
    });
  }
}
