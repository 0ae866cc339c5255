import type { SipRequest } from "../sip/message.ts";
import { readSessionExpires } from "../sip/session-timer.ts";
import { type ApplicationMessage, headerOf, type StatusLine } from "./application-message.ts";
import { MIN_SESSION_EXPIRES_S } from "./session-timer.ts";

/** 2xx answers that carry the place of later requests (RFC 3261 §12.1.1, §12.2.2, RFC 3311 §5.2). */
const WANTS_CONTACT = new Set(["INVITE", "SUBSCRIBE", "REFER", "UPDATE"]);
/** Methods that refresh a session (RFC 4028 §7). */
const REFRESHES = new Set(["INVITE", "UPDATE"]);

export const refreshesSession = ({ method }: SipRequest) => REFRESHES.has(method);

/** An interval so short that it has to be refused (RFC 4028 §9). */
export function asksTooMuch(request: SipRequest): boolean {
  const session = refreshesSession(request) ? readSessionExpires(request) : undefined;
  return session !== undefined && session.seconds < MIN_SESSION_EXPIRES_S;
}

/** A caller who says who refreshes gets it confirmed, unless the application says otherwise. */
export function sessionHeaders(
  request: SipRequest,
  given: readonly (readonly [string, string])[],
): [string, string][] {
  const session = refreshesSession(request) ? readSessionExpires(request) : undefined;
  if (session?.refresher === undefined) return [];
  if (given.some(([name]) => name === "Session-Expires")) return [];
  const seconds = Math.max(MIN_SESSION_EXPIRES_S, session.seconds);
  const confirmed: [string, string][] = [
    ["Session-Expires", `${seconds};refresher=${session.refresher}`],
  ];
  if (session.refresher === "uac") confirmed.push(["Require", "timer"]);
  return confirmed;
}

export function needsContact({ method }: SipRequest, status: number): boolean {
  if (status <= 100 || status >= 300) return false;
  return method === "INVITE" || (status >= 200 && WANTS_CONTACT.has(method));
}

/** Does the application want this provisional response to be reliable (RFC 3262 §3)? */
export function wantsReliable({ status }: StatusLine, message: ApplicationMessage): boolean {
  const required = headerOf(message, "Require") ?? "";
  return status > 100 && status < 200 && /\b100rel\b/i.test(required);
}

export function supportsReliable(request: SipRequest): boolean {
  const options = [...request.list("Supported"), ...request.list("Require")];
  return options.some((option) => option.toLowerCase() === "100rel");
}
