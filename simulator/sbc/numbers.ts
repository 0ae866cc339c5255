/** How numbers without `+` are read. Without a plan only E.164 with `+` is accepted. */
export interface NumberPlan {
  /** `1`, `49`. */
  countryCode: string;
  /** `011` or `00`: what stands for `+`. */
  internationalPrefix: string;
  /** `0` or `1`: what stands before a national number, and is dropped. Default none. */
  nationalPrefix?: string;
}

/** ITU-T E.164: at most 15 digits, the first not 0. Fewer than 7 is no subscriber number. */
const E164 = /^\+[1-9]\d{6,14}$/;

/** The number with `+`; undefined when it cannot be a telephone number. Separators are dropped. */
export function toE164(number: string, plan?: NumberPlan): string | undefined {
  const digits = number.replaceAll(/[-. ()]/g, "");
  const full = digits.startsWith("+") || plan === undefined ? digits : expand(digits, plan);
  return E164.test(full) ? full : undefined;
}

function expand(digits: string, plan: NumberPlan): string {
  const { countryCode, internationalPrefix, nationalPrefix = "" } = plan;
  if (digits.startsWith(internationalPrefix)) return `+${digits.slice(internationalPrefix.length)}`;
  const national = digits.startsWith(nationalPrefix) ? digits.slice(nationalPrefix.length) : digits;
  return `+${countryCode}${national}`;
}

/** Where calls to a number go: to Microsoft over TLS, or to a SIP server of the trunk side. */
export interface SbcRoute {
  number: string | RegExp;
  /**
   * `microsoft`, or `sip:host:port` with an optional `;transport=tcp`; several are tried in order
   * (least cost first) when one is out of service.
   */
  to: string | readonly string[];
}

/** The first route for a number. Microsoft is no target for what Microsoft sent: that would loop. */
export function routeFor(
  routes: readonly SbcRoute[],
  number: string,
  from: "trunk" | "domain",
): SbcRoute | undefined {
  return routes.find((route) => {
    const matches =
      typeof route.number === "string" ? route.number === number : route.number.test(number);
    return matches && !(from === "domain" && route.to === "microsoft");
  });
}
