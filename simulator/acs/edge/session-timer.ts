import type { SipRequest, SipResponse } from "../../sip/message.ts";
import { readSessionExpires } from "../../sip/session-timer.ts";
import type { EdgePolicy } from "./policy.ts";

/** What both sides agreed on for a session's life (RFC 4028). */
export interface SessionAgreement {
  readonly intervalS: number;
  /** Who sends the refreshing re-INVITE. */
  readonly refresher: "us" | "peer";
}

type SessionPolicy = Pick<EdgePolicy, "sessionExpiresS" | "minSessionExpiresS">;

/** We called: what the 2xx says. Undefined: it set no timer. */
export function agreedAsCaller(response: SipResponse): SessionAgreement | undefined {
  const asked = readSessionExpires(response);
  if (asked === undefined) return undefined;
  return { intervalS: asked.seconds, refresher: asked.refresher === "uas" ? "peer" : "us" };
}

/**
 * We are called: the timer for our 2xx. Microsoft always wants one, but without `Supported: timer`
 * the border controller cannot be asked for it.
 */
export function agreedAsCallee(
  request: SipRequest,
  { sessionExpiresS }: SessionPolicy,
): SessionAgreement | undefined {
  const asked = readSessionExpires(request);
  if (asked !== undefined) {
    return { intervalS: asked.seconds, refresher: asked.refresher === "uac" ? "peer" : "us" };
  }
  const supported = request.list("Supported").some((option) => option.toLowerCase() === "timer");
  if (!supported || sessionExpiresS === 0) return undefined;
  return { intervalS: sessionExpiresS, refresher: "us" };
}

/** Headers of our 2xx that state the agreement. */
export function agreementHeaders(
  agreement: SessionAgreement | undefined,
): Readonly<Record<string, string>> {
  if (agreement === undefined) return {};
  const refresher = agreement.refresher === "us" ? "uas" : "uac";
  const value = `${agreement.intervalS};refresher=${refresher}`;
  // The border controller refreshes only if it knows that it must (RFC 4028 §9).
  const headers = { "Session-Expires": value, Supported: "timer" };
  return agreement.refresher === "peer" ? { ...headers, Require: "timer" } : headers;
}

/** Headers of our INVITEs and refreshes: we offer to be the one that refreshes. */
export function offerHeaders(
  { sessionExpiresS, minSessionExpiresS }: SessionPolicy,
  agreement?: SessionAgreement,
): Readonly<Record<string, string>> {
  const intervalS = agreement?.intervalS ?? sessionExpiresS;
  if (intervalS === 0) return { Supported: "timer" };
  const refresher = agreement?.refresher === "peer" ? "uas" : "uac";
  return {
    Supported: "timer",
    "Session-Expires": `${intervalS};refresher=${refresher}`,
    "Min-SE": String(minSessionExpiresS),
  };
}
