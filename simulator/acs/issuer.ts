import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { strike } from "./fault-strike.ts";
import type { IdSource } from "./ids.ts";

/** The issuer every callback token names (Microsoft: "Secure webhook endpoint"). */
const CALLBACK_ISSUER = "https://acscallautomation.communication.azure.com";
export const DISCOVERY_PATH = "/calling/.well-known/acsopenidconfiguration";
export const KEYS_PATH = "/calling/keys";

/** A callback token's life: five minutes. */
const LIFE_SECONDS = 300;

export interface IssuerOptions {
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly issuer?: string;
  /** The audience of every token: the resource's immutable id. */
  readonly audience: string;
  readonly trace: PartyTrace;
  readonly faults?: FaultPlan;
  /** Made when not given; making one takes a tenth of a second. */
  readonly signingKey?: SigningKey | undefined;
}

/** An RSA key pair for RS256. */
export type SigningKey = Awaited<ReturnType<typeof createSigningKey>>;

export function createSigningKey() {
  return generateKeyPair("RS256", { extractable: true });
}

/** The OpenID issuer whose tokens prove to an application that a callback comes from ACS. */
export interface Issuer {
  readonly issuer: string;
  readonly audience: string;
  /** `Authorization` for one delivery, or nothing when a fault took it away. */
  authorization(): Promise<Readonly<Record<string, string>>>;
  /** The discovery document, with addresses under `origin`. */
  configuration(origin: string): Record<string, unknown>;
  keys(): { keys: JWK[] };
}

/**
 * Makes the signing key. Faults: `acs.no-token`, `acs.expired-token`, `acs.wrong-audience`,
 * `acs.unknown-key` (a `kid` that is not published), `acs.forged-token` (the published `kid`, signed
 * with another key).
 */
export async function createIssuer(options: IssuerOptions): Promise<Issuer> {
  const { clock, ids, audience, issuer = CALLBACK_ISSUER } = options;
  const published = await (options.signingKey ?? createSigningKey());
  const keyId = ids.guid();
  const jwk: JWK = {
    ...(await exportJWK(published.publicKey)),
    kid: keyId,
    use: "sig",
    alg: "RS256",
  };
  let foreign: Promise<CryptoKey> | undefined;

  const foreignKey = () => {
    foreign ??= generateKeyPair("RS256").then((pair) => pair.privateKey);
    return foreign;
  };

  const token = async () => {
    const isUnknown = strike(options, "acs.unknown-key") !== undefined;
    const isForged = strike(options, "acs.forged-token") !== undefined;
    const isExpired = strike(options, "acs.expired-token") !== undefined;
    const isMisdirected = strike(options, "acs.wrong-audience") !== undefined;
    const seconds = Math.floor(clock.date().getTime() / 1000) - (isExpired ? 2 * LIFE_SECONDS : 0);
    return new SignJWT({})
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: isUnknown ? ids.guid() : keyId })
      .setIssuer(issuer)
      .setAudience(isMisdirected ? ids.guid() : audience)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + LIFE_SECONDS)
      .sign(isUnknown || isForged ? await foreignKey() : published.privateKey);
  };

  return {
    issuer,
    audience,
    async authorization(): Promise<Readonly<Record<string, string>>> {
      if (strike(options, "acs.no-token") !== undefined) return {};
      return { Authorization: `Bearer ${await token()}` };
    },
    configuration: (origin) => ({
      issuer,
      jwks_uri: `${origin}${KEYS_PATH}`,
      id_token_signing_alg_values_supported: ["RS256"],
      response_types_supported: ["token"],
      subject_types_supported: ["public"],
    }),
    keys: () => ({ keys: [jwk] }),
  };
}
