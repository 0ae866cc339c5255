import type { SipResponse } from "../sip/message.ts";

/** Refusals that tell the caller what to do, and so beat others of their class (RFC 3261 §16.7.6). */
const HELPFUL = new Set([401, 407, 415, 420, 484]);

/** The one refusal of a forked request that its sender gets; undefined if nobody answered. */
export function bestResponse(finals: readonly SipResponse[]): SipResponse | undefined {
  return finals.toSorted((a, b) => rank(a.status) - rank(b.status))[0];
}

function rank(status: number): number {
  if (status >= 600) return 0;
  if (status < 400) return 2;
  if (HELPFUL.has(status)) return 1;
  return status < 500 ? 3 : 4;
}
