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
  const tokens = new Tokens({ issuer, audience, keyId, key: published.privateKey });

  const token = () => {
    const now = Math.floor(clock.date().getTime() / 1000);
    const isUnknown = strike(options, "acs.unknown-key") !== undefined;
    const isForged = strike(options, "acs.forged-token") !== undefined;
    const isExpired = strike(options, "acs.expired-token") !== undefined;
    const isMisdirected = strike(options, "acs.wrong-audience") !== undefined;
    if (!isUnknown && !isForged && !isExpired && !isMisdirected) return tokens.genuine(now);
    return tokens.sign({
      issuedAt: now - (isExpired ? 2 * LIFE_SECONDS : 0),
      audience: isMisdirected ? ids.guid() : audience,
      keyId: isUnknown ? ids.guid() : keyId,
      isForeign: isUnknown || isForged,
    });
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

/** What a token says and who signs it; times in seconds since the epoch. */
interface TokenContent {
  readonly issuedAt: number;
  readonly audience: string;
  readonly keyId: string;
  /** Signed with a key that nobody publishes. */
  readonly isForeign: boolean;
}

class Tokens {
  readonly #options: { issuer: string; audience: string; keyId: string; key: CryptoKey };
  #latest: { issuedAt: number; token: Promise<string> } | undefined;
  #foreign: Promise<CryptoKey> | undefined;

  constructor(options: { issuer: string; audience: string; keyId: string; key: CryptoKey }) {
    this.#options = options;
  }

  /**
   * RS256 signs the same claims the same way, so every token of one second is the same text: made
   * once, a hundred calls that start together do not keep the processors busy with signatures.
   */
  genuine(issuedAt: number): Promise<string> {
    if (this.#latest?.issuedAt !== issuedAt) {
      const { audience, keyId } = this.#options;
      const token = this.sign({ issuedAt, audience, keyId, isForeign: false });
      this.#latest = { issuedAt, token };
    }
    return this.#latest.token;
  }

  async sign({ issuedAt, audience, keyId, isForeign }: TokenContent): Promise<string> {
    return new SignJWT({})
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: keyId })
      .setIssuer(this.#options.issuer)
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(issuedAt + LIFE_SECONDS)
      .sign(isForeign ? await this.#foreignKey() : this.#options.key);
  }

  #foreignKey(): Promise<CryptoKey> {
    this.#foreign ??= generateKeyPair("RS256").then((pair) => pair.privateKey);
    return this.#foreign;
  }
}
