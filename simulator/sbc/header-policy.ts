/** Which headers of an INVITE or REFER go on to the other side. */
export interface HeaderPolicy {
  /** A header passes when one of these matches its whole name. */
  pass: readonly RegExp[];
}

/**
 * Custom headers and the call's history pass. `X-MS-*` other than `X-MS-Custom-*` is reserved by
 * Microsoft and stops here, as does P-Asserted-Identity: with `Privacy: id` it must not leak.
 */
export const DEFAULT_POLICY: HeaderPolicy = {
  pass: [
    /^X-MS-Custom-.+$/i,
    /^X-(?!MS-).+$/i,
    /^User-to-User$/i,
    /^History-Info$/i,
    /^Diversion$/i,
  ],
};

/** What passes; names keep the spelling in which they came. Anything with a line break is left out. */
export function passHeaders(
  headers: Readonly<Record<string, string>>,
  { pass }: HeaderPolicy,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name, value]) => !/[\r\n]/.test(value) && pass.some((pattern) => pattern.test(name)),
    ),
  );
}

/** What a SIP server consumes hop by hop anyway; its absence on the other side means nothing. */
const HOP_BY_HOP =
  /^(?:accept.*|allow.*|call-id|contact|content-.*|cseq|expires|from|max-forwards|mime-version|min-se|record-route|refer.*|require|route|rseq|server|session-expires|supported|timestamp|to|user-agent|via)$/i;

/** Names of end-to-end headers that the policy keeps back. */
export function strippedHeaders(
  headers: Readonly<Record<string, string>>,
  policy: HeaderPolicy,
): string[] {
  const passed = passHeaders(headers, policy);
  return Object.keys(headers).filter((name) => !(name in passed) && !HOP_BY_HOP.test(name));
}

/** Takes out one header, whatever its spelling. */
export function withoutHeader(
  headers: Readonly<Record<string, string>>,
  name: string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([key]) => key.toLowerCase() !== name.toLowerCase()),
  );
}
