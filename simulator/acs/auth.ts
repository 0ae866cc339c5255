import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { refusal } from "./service-error.ts";

export interface SignedRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** True when it came over TLS. */
  readonly secure: boolean;
}

export interface AuthOptions {
  /** The resource's base64 access keys; any of them signs. */
  readonly accessKeys: readonly string[];
  readonly now: () => Date;
  readonly clockSkewMs?: number | undefined;
}

const HMAC = /^HMAC-SHA256 SignedHeaders=([^&]*)&Signature=(.*)$/;

/**
 * Throws 401 unless the request is signed with an access key (HMAC-SHA256 over method, target,
 * date, host and content hash, as `@azure/communication-common` does it) or, on TLS only, carries a
 * bearer token. The token's content is not judged: the lab has no tenant.
 */
export function authenticate(request: SignedRequest, options: AuthOptions): void {
  const authorization = request.headers.authorization;
  if (authorization === undefined) throw refusal.unauthorized("7501", "No credential was sent.");
  if (/^Bearer\s+\S/i.test(authorization)) {
    if (request.secure) return;
    throw refusal.unauthorized("7501", "A bearer token is not accepted without TLS.");
  }
  const [, signedHeaders, signature] = HMAC.exec(authorization) ?? [];
  if (signedHeaders === undefined || signature === undefined) {
    throw refusal.unauthorized("7501", "The Authorization header is not understood.");
  }
  checkSignature(request, signature, options);
}

function checkSignature(request: SignedRequest, signature: string, options: AuthOptions): void {
  const { headers } = request;
  const date = text(headers["x-ms-date"]) ?? text(headers.date);
  const hash = contentHash(request.body);
  if (date === undefined) throw invalid("x-ms-date is missing");
  if (text(headers["x-ms-content-sha256"]) !== hash) throw invalid("content hash differs");
  checkAge(date, options);
  const parts = signedParts(request);
  const expected = options.accessKeys.map((key) => sign(key, { ...parts, date, hash }));
  if (!expected.some((candidate) => equal(candidate, signature)))
    throw invalid("signature differs");
}

function signedParts({ method, target, headers }: SignedRequest) {
  const original = text(headers["x-ms-host"]);
  // Recording downloads go to a storage host but are signed for the endpoint, without the query.
  if (original !== undefined)
    return { method, target: target.split("?", 1)[0] ?? "", host: original };
  return { method, target, host: headers.host ?? "" };
}

function checkAge(date: string, { now, clockSkewMs }: AuthOptions): void {
  if (clockSkewMs === undefined) return;
  const ageMs = Math.abs(now().getTime() - Date.parse(date));
  if (!(ageMs <= clockSkewMs)) throw invalid(`x-ms-date is more than ${clockSkewMs} ms off`);
}

/** base64 of SHA-256; what `x-ms-content-sha256` carries. */
export function contentHash(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("base64");
}

export function sign(
  accessKey: string,
  parts: { method: string; target: string; date: string; host: string; hash: string },
): string {
  const { method, target, date, host, hash } = parts;
  return createHmac("sha256", Buffer.from(accessKey, "base64"))
    .update(`${method}\n${target}\n${date};${host};${hash}`)
    .digest("base64");
}

function invalid(why: string) {
  return refusal.unauthorized("7509", `HMAC validation error: ${why}.`);
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
