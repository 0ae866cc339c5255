import { createHash, randomInt, randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";

/** Where ids and free choices come from; a seeded source makes a run repeatable. */
export interface IdSource {
  /** A new GUID, lower case with hyphens. */
  guid(): string;
  /** A number in [0, 1). */
  random(): number;
}

/** Ids nobody can guess: the default. */
export const freshIds: IdSource = {
  guid: randomUUID,
  random: () => randomInt(2 ** 47) / 2 ** 47,
};

/** The same ids and choices for the same seed. */
export function seededIds(seed: number | string): IdSource {
  let serial = 0;
  const digest = () => createHash("sha256").update(`${seed}/${serial++}`).digest();
  return {
    guid() {
      const hex = digest().toString("hex");
      const parts = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`];
      return [...parts, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-");
    },
    random: () => digest().readUIntBE(0, 6) / 2 ** 48,
  };
}

/**
 * A serverCallId has the service's shape: base64 of a conversation URL. Applications must treat it
 * as opaque; its length and its `=`, `/` and `+` are what breaks those that do not.
 */
export function serverCallId(ids: IdSource, date: Date): string {
  const conversation = ids.guid().replaceAll("-", "").slice(0, 22);
  const ticks = BigInt(date.getTime()) * 10_000n + 621_355_968_000_000_000n;
  const url = `https://api.flightproxy.skype.com/api/v2/cp/conv-uswe-02-prod-aks.conv.skype.com/conv/${conversation}?i=10-128-4-${conversation.slice(0, 2)}&e=${ticks}`;
  return Buffer.from(url).toString("base64");
}

/** Unpadded base64 of the JSON the service uses. */
export function recordingId(ids: IdSource): string {
  const content = { PlatformEndpointId: ids.guid(), ResourceSpecificId: ids.guid() };
  return Buffer.from(JSON.stringify(content)).toString("base64").replace(/=+$/, "");
}

/** Opaque, 6-9 kB, in the form of a JWT without signature (`alg: none`, trailing dot). */
export function incomingCallContext(ids: IdSource, about: Record<string, unknown>): string {
  const filler = createHash("shake256", { outputLength: 2 * FILLER_BYTES }).update(ids.guid());
  const bytes = filler.digest();
  const state = bytes.subarray(0, FILLER_BYTES).toString("base64");
  const cc = gzipSync(JSON.stringify({ ...about, state }), { level: 1 });
  const token = bytes.subarray(FILLER_BYTES).toString("base64url");
  const shrToken = `${part({ alg: "RS256", typ: "pop" })}.${token}.${token.slice(0, 342)}`;
  return `${part({ alg: "none", typ: "JWT" })}.${part({ cc: cc.toString("base64"), shrToken })}.`;
}

/** Of each of the two halves of an incomingCallContext, before it is encoded. */
const FILLER_BYTES = 1536;

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
