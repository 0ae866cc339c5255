/**
 * Base values of the SIP timers in milliseconds (RFC 3261 table 4, RFC 3262 for the reliable
 * provisional responses). The timers by letter follow from them; see {@link timerTable}.
 */
export interface Timers {
  /** Round-trip estimate. */
  t1Ms: number;
  /** Longest interval between retransmissions. */
  t2Ms: number;
  /** How long a message can stay in the network. */
  t4Ms: number;
  /** Time-out of a transaction; timers B, F, H, J, L, M and the wait for the ACK of a 2xx. */
  timeoutMs: number;
  /** Timer D: wait for retransmitted finals after a refused INVITE over UDP. */
  dMs: number;
}

export const DEFAULT_TIMERS: Timers = {
  t1Ms: 500,
  t2Ms: 4_000,
  t4Ms: 5_000,
  timeoutMs: 32_000,
  dMs: 32_000,
};

export type TimerLetter = "A" | "B" | "D" | "E" | "F" | "G" | "H" | "I" | "J" | "K" | "L" | "M";

/**
 * Durations by letter. On a reliable transport nothing is retransmitted (A, E, G) and nothing has
 * to be absorbed (D, I, J, K are 0); `undefined` means "never set".
 */
export function timerTable(
  timers: Timers,
  reliable: boolean,
): Record<TimerLetter, number | undefined> {
  const { t1Ms, t4Ms, timeoutMs, dMs } = timers;
  return {
    A: reliable ? undefined : t1Ms,
    B: timeoutMs,
    D: reliable ? 0 : dMs,
    E: reliable ? undefined : t1Ms,
    F: timeoutMs,
    G: reliable ? undefined : t1Ms,
    H: timeoutMs,
    I: reliable ? 0 : t4Ms,
    J: reliable ? 0 : timeoutMs,
    K: reliable ? 0 : t4Ms,
    L: timeoutMs,
    M: timeoutMs,
  };
}
