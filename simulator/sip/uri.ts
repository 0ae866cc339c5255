import { isIPv4, isIPv6 } from "node:net";
import { SipError } from "./error.ts";
import { formatParameters, type Parameters } from "./parameters.ts";

/** A `sip:` or `sips:` URI in its parts (RFC 3261 §19.1.1). Escapes (`%41`) are kept as written. */
export interface SipUri {
  kind: "sip";
  scheme: "sip" | "sips";
  user: string | undefined;
  password: string | undefined;
  /** IPv6 addresses without their brackets. */
  host: string;
  port: number | undefined;
  /** Keys in lower case. */
  parameters: Parameters;
  /** What follows `?`, unparsed. */
  headers: string | undefined;
}

/** Any other scheme: `tel:`, `urn:`, `http:`… */
interface OtherUri {
  kind: "other";
  /** In lower case. */
  scheme: string;
  /** Everything after the colon. */
  rest: string;
}

export type Uri = SipUri | OtherUri;

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;
const USER = /^(?:[\w.!~*'()&=+$,;?/#-]|%[0-9a-f]{2})+$/i;
const PASSWORD = /^(?:[\w.!~*'()&=+$,-]|%[0-9a-f]{2})*$/i;
const PARAMETER = /^(?:[\w.!~*'()[\]/:&+$-]|%[0-9a-f]{2})+$/i;
const HEADERS = /^(?:[\w.!~*'()[\]/?:+$&=-]|%[0-9a-f]{2})+$/i;
const HOSTNAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?$/i;
const OTHER = /^[\w.!~*'();/?:@&=+$,#%[\]-]+$/;

/** Throws {@link SipError} SIP_SYNTAX. */
export function parseUri(text: string): Uri {
  const scheme = SCHEME.exec(text)?.[1];
  if (scheme === undefined) throw syntax("a URI with a scheme", text);
  const lower = scheme.toLowerCase();
  const rest = text.slice(scheme.length + 1);
  if (lower === "sip" || lower === "sips") return parseSip(lower, rest, text);
  if (!OTHER.test(rest)) throw syntax(`a ${lower} URI`, text);
  return { kind: "other", scheme: lower, rest };
}

/** The same for places where only `sip:` and `sips:` make sense (Contact, Route). */
export function parseSipUri(text: string): SipUri {
  const uri = parseUri(text);
  if (uri.kind !== "sip") throw syntax("a sip or sips URI", text);
  return uri;
}

function parseSip(scheme: "sip" | "sips", rest: string, text: string): SipUri {
  // `?` and `;` may stand in the user part, so the last `@` decides first.
  const at = rest.lastIndexOf("@");
  const { user, password } = at < 0 ? NOBODY : parseUser(rest.slice(0, at), text);
  const afterUser = rest.slice(at + 1);
  const question = afterUser.indexOf("?");
  const headers = question < 0 ? undefined : afterUser.slice(question + 1);
  if (headers !== undefined && !HEADERS.test(headers)) throw syntax("URI headers", text);
  const [hostPort = "", ...parameters] = (
    question < 0 ? afterUser : afterUser.slice(0, question)
  ).split(";");
  return {
    kind: "sip",
    scheme,
    user,
    password,
    ...parseHostPort(hostPort, text),
    parameters: parseUriParameters(parameters, text),
    headers,
  };
}

const NOBODY = { user: undefined, password: undefined };

function parseUser(userInfo: string, text: string) {
  const colon = userInfo.indexOf(":");
  const user = colon < 0 ? userInfo : userInfo.slice(0, colon);
  const password = colon < 0 ? undefined : userInfo.slice(colon + 1);
  if (!USER.test(user)) throw syntax("a user part", text);
  if (password !== undefined && !PASSWORD.test(password)) throw syntax("a password", text);
  return { user, password };
}

/** `host`, `host:port`, `[::1]:port`; also used for the sent-by of a Via. */
export function parseHostPort(
  hostPort: string,
  text: string,
): { host: string; port: number | undefined } {
  const bracket = hostPort.startsWith("[") ? hostPort.indexOf("]") : -1;
  const colon = hostPort.indexOf(":", Math.max(bracket, 0));
  const host = colon < 0 ? hostPort : hostPort.slice(0, colon);
  const port = colon < 0 ? undefined : parsePort(hostPort.slice(colon + 1), text);
  return { host: parseHost(host, text), port };
}

function parseHost(host: string, text: string): string {
  if (host.startsWith("[") && host.endsWith("]") && isIPv6(host.slice(1, -1))) {
    return host.slice(1, -1);
  }
  if (isIPv4(host) || HOSTNAME.test(host)) return host;
  throw syntax("a host name or address", text);
}

function parsePort(digits: string, text: string): number {
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port > 65_535) throw syntax("a port from 0 to 65535", text);
  return port;
}

function parseUriParameters(parts: readonly string[], text: string): Parameters {
  const parameters: Parameters = new Map();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? null : part.slice(equals + 1);
    if (!PARAMETER.test(name)) throw syntax("a URI parameter", text);
    if (value !== null && !PARAMETER.test(value)) throw syntax("a URI parameter", text);
    parameters.set(name.toLowerCase(), value);
  }
  return parameters;
}

export function formatUri(uri: Uri): string {
  if (uri.kind === "other") return `${uri.scheme}:${uri.rest}`;
  const { scheme, user, password, host, port, parameters, headers } = uri;
  const secret = password === undefined ? "" : `:${password}`;
  const userInfo = user === undefined ? "" : `${user}${secret}@`;
  const query = headers === undefined ? "" : `?${headers}`;
  return `${scheme}:${userInfo}${formatHostPort(host, port)}${formatParameters(parameters)}${query}`;
}

/** Puts brackets around IPv6 addresses. */
export function formatHostPort(host: string, port?: number): string {
  const shown = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? shown : `${shown}:${port}`;
}

/** Parameters that must be in both URIs or in neither (RFC 3261 §19.1.4). */
const DECISIVE = ["user", "ttl", "method", "maddr", "transport"];

/** Are two URIs equivalent? (RFC 3261 §19.1.4; other schemes are compared as text.) */
export function sameUri(a: Uri, b: Uri): boolean {
  if (a.kind === "other" || b.kind === "other") return formatUri(a) === formatUri(b);
  return (
    a.scheme === b.scheme &&
    unescaped(a.user) === unescaped(b.user) &&
    unescaped(a.password) === unescaped(b.password) &&
    a.host.toLowerCase() === b.host.toLowerCase() &&
    a.port === b.port &&
    sameParameters(a.parameters, b.parameters) &&
    sameHeaders(a.headers, b.headers)
  );
}

function sameParameters(a: Parameters, b: Parameters): boolean {
  if (DECISIVE.some((name) => a.has(name) !== b.has(name))) return false;
  return [...a].every(
    ([name, value]) => !b.has(name) || folded(value) === folded(b.get(name) ?? null),
  );
}

function sameHeaders(a = "", b = ""): boolean {
  return sortedHeaders(a) === sortedHeaders(b);
}

function sortedHeaders(text: string): string {
  const parts = text.split("&").map((part) => unescaped(part) ?? "");
  return parts.toSorted((a, b) => (a < b ? -1 : 1)).join("&");
}

function folded(value: string | null): string | undefined {
  return unescaped(value ?? undefined)?.toLowerCase();
}

/** Undoes the escapes; one byte each is enough to compare. */
function unescaped(text: string | undefined): string | undefined {
  return text?.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function syntax(expected: string, text: string): SipError {
  return new SipError("SIP_SYNTAX", `expected ${expected}, got "${text}"`);
}
