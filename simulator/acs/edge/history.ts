import type { SipRequest } from "../../sip/message.ts";
import { type EdgeRefusal, REFUSALS } from "./refusal.ts";

/** A call that an application has sent on to another number. */
export interface Redirection {
  /** The number that was called first, E.164. */
  readonly number: string;
  /** History-Info that came with the call, kept so that a loop is noticed. */
  readonly historyInfo?: string;
}

/** Value of the URI parameter `cause` on the Request-URI of a redirected call (RFC 4458). */
export const REDIRECTED = 302;

/**
 * History-Info of a redirected call in the documented form: every number it went through, oldest
 * first, the one it leaves with the reason, the one it goes to at the end (RFC 7044).
 */
export function historyInfo(
  { number, historyInfo: before }: Redirection,
  to: string,
  host: string,
) {
  const reason = encodeURIComponent(`SIP;cause=${REDIRECTED};text="Moved temporarily"`);
  const depth = before === undefined ? 0 : entriesOf(before);
  const index = Array.from({ length: depth + 1 }, () => "1").join(".");
  const left = `<sip:${number}@${host};user=phone?Reason=${reason}>;index=${index}`;
  const right = `<sip:${to}@${host};user=phone>;index=${index}.1`;
  return [...(before === undefined ? [] : [before]), left, right].join(", ");
}

/** A call that has been sent on this often, or has used up its hops, goes in circles. */
export function loopFault(request: SipRequest, limit: number): EdgeRefusal | undefined {
  if (request.get("Max-Forwards")?.trim() === "0") {
    return { status: 483, subCode: 540_483, text: "Max-Forwards is used up" };
  }
  const entries = request.list("History-Info").length;
  if (entries <= limit) return undefined;
  const text = `${REFUSALS.loop.text}: History-Info has ${entries} entries`;
  return { ...REFUSALS.loop, text };
}

function entriesOf(history: string): number {
  return history.split(/;\s*index\s*=/i).length - 1;
}
