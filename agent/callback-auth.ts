import { createHash, timingSafeEqual } from "node:crypto";
import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { Config } from "./config.ts";

/** Why a sender was turned away, for the log; the answer on the wire says no more than 401. */
export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly why: string };

/** Who may post events and open media sockets. */
export interface Doorkeeper {
  /** Event Grid: the shared secret in the webhook URL's `code`. Open when none is configured. */
  eventGrid(url: URL): Verdict;
  /** Callbacks and media sockets: the service's signed token. Open when no audience is configured. */
  callAutomation(authorization: string | undefined): Promise<Verdict>;
}

const ALLOWED: Verdict = { allowed: true };

/** Tokens live five minutes; clocks differ a little. */
const CLOCK_TOLERANCE_S = 30;
const KEYS_TIMEOUT_MS = 3000;
const KEYS_RENEWAL_MS = 3_600_000;

export function createDoorkeeper(
  acs: Config["acs"],
  eventGridSecret: string | undefined,
  date: () => Date,
): Doorkeeper {
  const keys = acs.callbackAudience === undefined ? undefined : keepKeys(acs.callbackJwksUrl, date);
  return {
    eventGrid: (url) => {
      if (eventGridSecret === undefined) return ALLOWED;
      const code = url.searchParams.get("code") ?? "";
      return sameSecret(code, eventGridSecret) ? ALLOWED : denied("the code is missing or wrong");
    },
    callAutomation: async (authorization) => {
      if (keys === undefined || acs.callbackAudience === undefined) return ALLOWED;
      const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
      if (token === undefined) return denied("no bearer token");
      try {
        await jwtVerify(token, keys, {
          issuer: acs.callbackIssuer,
          audience: acs.callbackAudience,
          algorithms: ["RS256"],
          requiredClaims: ["exp"],
          clockTolerance: CLOCK_TOLERANCE_S,
          currentDate: date(),
        });
        return ALLOWED;
      } catch (error) {
        return denied(
          error instanceof errors.JOSEError ? error.code : "the keys are not available",
        );
      }
    },
  };
}

/**
 * The service's keys: fetched before the first call needs them, again every hour and for a key that
 * is unknown. When they cannot be fetched those at hand go on: no call is lost to it.
 */
function keepKeys(url: string, date: () => Date): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), {
    timeoutDuration: KEYS_TIMEOUT_MS,
    cacheMaxAge: Number.POSITIVE_INFINITY,
  });
  let renewedAtMs = 0;
  const renew = () => {
    renewedAtMs = date().getTime();
    // Whoever needs a key that is not there asks again, and is told.
    remote.reload().catch(() => undefined);
  };
  renew();
  return (header, token) => {
    if (date().getTime() - renewedAtMs > KEYS_RENEWAL_MS) renew();
    return remote(header, token);
  };
}

function denied(why: string): Verdict {
  return { allowed: false, why };
}

/** Digests have one length, so neither length nor content leaks through timing. */
function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
