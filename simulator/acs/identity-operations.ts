import type { Operation, Reply } from "./operation.ts";
import { refusal } from "./service-error.ts";
import type { Switchboard } from "./switchboard.ts";

/** A token's life where the request names none; Azure's default is 24 hours. */
const TOKEN_MINUTES = 1440;
/** `TokenScope` of `@azure/communication-identity`. */
const SCOPES: readonly string[] = ["chat", "voip", "chat.join", "chat.join.limited", "voip.join"];

/** `POST /identities`: a communication user for tests, with a token if scopes are asked for. */
export function identityOperations(board: Switchboard): Operation[] {
  return [
    {
      name: "CreateIdentity",
      method: "POST",
      path: /^\/identities$/,
      isUnversioned: true,
      isRepeatable: true,
      handle: ({ body }): Reply => {
        const scopes = body.list("createTokenWithScopes");
        if (!scopes.every(isScope)) throw refusal.invalidField("createTokenWithScopes");
        const minutes = body.count("expiresInMinutes", [60, TOKEN_MINUTES]) ?? TOKEN_MINUTES;
        const identity = { id: board.newIdentity().rawId };
        if (scopes.length === 0) return { status: 201, body: { identity } };
        return { status: 201, body: { identity, accessToken: issueToken(board, minutes) } };
      },
    },
  ];
}

function isScope(value: unknown): boolean {
  return typeof value === "string" && SCOPES.includes(value);
}

/** Opaque to everybody here: nothing in the lab takes it as a credential. */
function issueToken({ core }: Switchboard, minutes: number) {
  const expires = new Date(core.clock.date().getTime() + minutes * 60_000);
  const claims = { skypeid: core.ids.guid(), exp: Math.floor(expires.getTime() / 1000) };
  const token = `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.${core.ids.guid()}`;
  return { token, expiresOn: expires.toISOString() };
}

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
