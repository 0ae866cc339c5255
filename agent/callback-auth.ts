import { createHash, timingSafeEqual } from "node:crypto";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";
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

export function createDoorkeeper(
  acs: Config["acs"],
  eventGridSecret: string | undefined,
): Doorkeeper {
  const keys = createRemoteJWKSet(new URL(acs.callbackJwksUrl), { timeoutDuration: 3000 });
  return {
    eventGrid: (url) => {
      if (eventGridSecret === undefined) return ALLOWED;
      const code = url.searchParams.get("code") ?? "";
      return sameSecret(code, eventGridSecret) ? ALLOWED : denied("the code is missing or wrong");
    },
    callAutomation: async (authorization) => {
      if (acs.callbackAudience === undefined) return ALLOWED;
      const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
      if (token === undefined) return denied("no bearer token");
      try {
        await jwtVerify(token, keys, {
          issuer: acs.callbackIssuer,
          audience: acs.callbackAudience,
          algorithms: ["RS256"],
          requiredClaims: ["exp"],
          clockTolerance: CLOCK_TOLERANCE_S,
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
