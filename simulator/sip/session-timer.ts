import type { Clock, Timer } from "../clock.ts";
import type { SipMessage, SipResponse } from "./message.ts";

/** What a message says of its session's life (RFC 4028 §4). */
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

/**
 * Whether a refused refresh ends the session at once: the peer is gone, or knows nothing of it.
 * After any other refusal the session lasts until it expires (RFC 4028 §10).
 */
export function endsSession({ status }: SipResponse): boolean {
  return status === 408 || status === 481;
}

export interface SessionTimerOptions {
  readonly clock: Clock;
  readonly seconds: number;
  readonly isRefresher: boolean;
  /** Half the interval is over and it is on us. */
  readonly refresh: () => void;
  /** Nobody refreshed the session: time for the BYE. */
  readonly expire: () => void;
}

/** The life of a session from one refresh to the next (RFC 4028 §10). */
export class SessionTimer implements Disposable {
  readonly #options: SessionTimerOptions;
  readonly #startedMs: number;
  readonly #expiry: Timer;
  #refresh: Timer | undefined;
  #isRetried = false;

  constructor(options: SessionTimerOptions) {
    const { clock, seconds, isRefresher, refresh, expire } = options;
    this.#options = options;
    this.#startedMs = clock.now();
    // The side that waits gives up shortly before the end, so that its BYE still gets through.
    this.#expiry = clock.after(isRefresher ? seconds * 1_000 : this.#patienceMs, expire);
    if (isRefresher) this.#refresh = clock.after(seconds * 500, refresh);
  }

  /** A refresh came to nothing: one more before the peer loses its patience, and no third. */
  refreshLater(): void {
    if (this.#isRetried) return;
    this.#isRetried = true;
    const { clock, refresh } = this.#options;
    const leftMs = this.#patienceMs - (clock.now() - this.#startedMs);
    if (leftMs > 0) this.#refresh = clock.after(leftMs / 2, refresh);
  }

  cancel(): void {
    this.#expiry.cancel();
    this.#refresh?.cancel();
    // What is still under way when the session is over must not start it again.
    this.#isRetried = true;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** How long the side that does not refresh waits. */
  get #patienceMs(): number {
    const { seconds } = this.#options;
    return (seconds - Math.min(32, seconds / 3)) * 1_000;
  }
}
