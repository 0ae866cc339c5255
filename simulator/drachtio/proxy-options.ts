/** What `proxy|…` asks for. */
export interface ProxyOptions {
  transactionId: string;
  /** Stay in the path of the dialog: Record-Route, or Path for REGISTER. */
  remainInDialog: boolean;
  /** Tell the application each final response. */
  fullResponse: boolean;
  followRedirects: boolean;
  simultaneous: boolean;
  /** Without a provisional response for this long the next destination is tried. */
  provisionalTimeoutMs: number | undefined;
  /** Without a final response for this long a destination is given up (timer C). */
  finalTimeoutMs: number;
  destinations: readonly string[];
}

/** Timer C has to be more than three minutes (RFC 3261 §16.6 step 11). */
const TIMER_C_MS = 185_000;

/**
 * `proxy|<transactionId>|remainInDialog|fullResponse|followRedirects|simultaneous or serial|
 * <provisionalTimeout>|<finalTimeout>|<destination>|…`, an empty token where a flag is off.
 */
export function parseProxyOptions(tokens: readonly string[]): ProxyOptions {
  const [, , transactionId = "", remain, full, redirects, forking, ...rest] = tokens;
  const [provisional = "", final = "", ...destinations] = rest;
  return {
    transactionId,
    remainInDialog: remain === "remainInDialog",
    fullResponse: full === "fullResponse",
    followRedirects: redirects === "followRedirects",
    simultaneous: forking === "simultaneous",
    provisionalTimeoutMs: parseDuration(provisional),
    finalTimeoutMs: parseDuration(final) ?? TIMER_C_MS,
    destinations,
  };
}

/** `1500ms`, `2s`; anything else is no limit. */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit] = /^(\d+)(ms|s)$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return Number(digits) * (unit === "s" ? 1_000 : 1);
}
