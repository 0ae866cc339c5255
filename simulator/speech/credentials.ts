import type { IncomingMessage } from "node:http";
import type { Clock } from "../clock.ts";

/** Tokens of `issueToken` are good for ten minutes. */
const TOKEN_LIFE_MS = 600_000;
const LIMIT_TOKENS = 1000;

export interface Credentials {
  /**
   * A key or a token that was issued, in the query (native WebSocket of the Speech SDK) or in the
   * headers (`ws`, REST).
   */
  admits(request: IncomingMessage, url: URL): boolean;
  /** A token for whoever shows a key; `undefined` for everyone else. */
  issue(request: IncomingMessage, url: URL): string | undefined;
}

export function credentials(options: {
  clock: Clock;
  keys: readonly string[];
  newId: () => string;
}): Credentials {
  const { clock, keys, newId } = options;
  const tokens = new Map<string, number>();

  const hasKey = (request: IncomingMessage, url: URL) => {
    const key = shown(request, url, "Ocp-Apim-Subscription-Key");
    return key !== undefined && keys.includes(key);
  };

  return {
    admits(request, url) {
      if (hasKey(request, url)) return true;
      const bearer = shown(request, url, "Authorization")?.replace(/^Bearer\s+/i, "");
      const expiry = bearer === undefined ? undefined : tokens.get(bearer);
      return expiry !== undefined && clock.now() < expiry;
    },
    issue(request, url) {
      if (!hasKey(request, url)) return undefined;
      const token = `${newId()}${newId()}`;
      tokens.set(token, clock.now() + TOKEN_LIFE_MS);
      const [oldest] = tokens.keys();
      if (tokens.size > LIMIT_TOKENS && oldest !== undefined) tokens.delete(oldest);
      return token;
    },
  };
}

function shown(request: IncomingMessage, url: URL, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const inQuery = Array.from(url.searchParams).find(([key]) => key.toLowerCase() === wanted);
  const header = request.headers[wanted];
  return inQuery?.[1] ?? (typeof header === "string" ? header : undefined);
}
