import { isIP } from "node:net";
import {
  type Address,
  defaultPort,
  type Endpoint,
  isReliable,
  type TransportName,
} from "./connection.ts";
import { SipError } from "./error.ts";
import { formatVia, parseNameAddr, type Via } from "./fields.ts";
import type { SipRequest } from "./message.ts";
import { parseUri, type SipUri } from "./uri.ts";

/** Asks the name table. Undefined means unknown: the request fails with SIP_UNRESOLVED. */
export type Resolve = (
  host: string,
  port: number | undefined,
  transport: TransportName,
) => Address | undefined | Promise<Address | undefined>;

const TRANSPORTS: readonly string[] = ["udp", "tcp", "tls", "ws", "wss"];

export function isTransport(name: string): name is TransportName {
  return TRANSPORTS.includes(name);
}

/** The URI a request goes to: the top Route, else the Request-URI (RFC 3261 §8.1.2). */
export function nextHopUri(request: SipRequest): string {
  const route = request.top("Route");
  if (route === undefined) return request.uri;
  const { uri } = parseNameAddr(route);
  // Without `lr` the route's owner already stands in the Request-URI (§12.2.1.1).
  return isLoose(uri) ? uri : request.uri;
}

export function isLoose(uri: string): boolean {
  const parsed = parseUri(uri);
  return parsed.kind === "sip" && parsed.parameters.has("lr");
}

/** Where a URI says to send: `transport` parameter or scheme, `maddr` or host, port or default. */
export function uriEndpoint(
  text: string,
  usual: TransportName,
): Omit<Endpoint, "port"> & { port: number | undefined } {
  const uri = parseUri(text);
  if (uri.kind !== "sip") {
    throw new SipError("SIP_UNRESOLVED", `expected a sip URI as next hop, got "${text}"`);
  }
  const transport = uriTransport(uri, usual);
  return { transport, host: uri.parameters.get("maddr") ?? uri.host, port: uri.port };
}

function uriTransport({ scheme, parameters }: SipUri, usual: TransportName): TransportName {
  const named = parameters.get("transport")?.toLowerCase() ?? "";
  if (named !== "" && !isTransport(named)) {
    throw new SipError("SIP_TRANSPORT", `expected a known transport, got "${named}"`);
  }
  if (scheme === "sips") return named === "ws" || named === "wss" ? "wss" : "tls";
  return isTransport(named) ? named : usual;
}

/** Turns names into addresses: literals as they are, `localhost`, else the table. */
export async function resolveEndpoint(
  hop: Omit<Endpoint, "port"> & { port: number | undefined },
  resolve: Resolve | undefined,
): Promise<Endpoint> {
  const { transport, host, port } = hop;
  const usualPort = port ?? defaultPort(transport);
  if (isIP(host) !== 0) return { ...hop, port: usualPort };
  const known = await resolve?.(host, port, transport);
  const servername = hop.servername ?? host;
  if (known !== undefined) return { transport, ...known, servername };
  if (host.toLowerCase() === "localhost") {
    return { transport, host: "127.0.0.1", port: usualPort, servername };
  }
  throw new SipError("SIP_UNRESOLVED", `no address known for ${host}`);
}

/**
 * Notes in the top Via where a request really came from (RFC 3261 §18.2.1, RFC 3581 §4) and
 * returns it. Leaves the message untouched if there is nothing to note.
 */
export function stampVia(request: SipRequest, source: Address, rport: "asked" | "always"): Via {
  const { via } = request;
  const asked = via.parameters.get("rport") === null;
  const always = rport === "always" && !via.parameters.has("rport");
  if (asked || always) via.parameters.set("rport", String(source.port));
  const differs = via.host.toLowerCase() !== source.host.toLowerCase();
  if (differs || asked) via.parameters.set("received", source.host);
  if (asked || always || differs) request.replaceTop("Via", formatVia(via));
  return via;
}

/** Where a response goes when its connection cannot be used (RFC 3261 §18.2.2, RFC 3581 §4). */
export function responseEndpoint(via: Via, transport: TransportName): Endpoint {
  const { parameters, host, port } = via;
  // Some senders put the brackets of an IPv6 reference here too (RFC 5118 §4.5).
  const received = parameters.get("received")?.replace(/^\[(.*)\]$/, "$1");
  const maddr = parameters.get("maddr") ?? undefined;
  const rport = Number(parameters.get("rport") ?? 0);
  const sentByPort = port ?? defaultPort(transport);
  const useRport = rport > 0 && !isReliable(transport);
  return {
    transport,
    host: (useRport ? undefined : maddr) ?? received ?? host,
    port: useRport ? rport : sentByPort,
  };
}

/** The Via we put on top of what we send. `rport` only matters over UDP. */
export function ownVia(
  transport: TransportName,
  sentBy: { host: string; port?: number },
  branch: string,
): string {
  const parameters = new Map<string, string | null>([["branch", branch]]);
  if (transport === "udp") parameters.set("rport", null);
  const { host, port } = sentBy;
  return formatVia({ transport: transport.toUpperCase(), host, port, parameters });
}

/** Key of a request's server transaction (RFC 3261 §17.2.3); ACK shares the INVITE's. */
export function serverKey(request: SipRequest, via: Via, method = request.method): string {
  const named = method === "ACK" ? "INVITE" : method;
  const branch = via.parameters.get("branch") ?? "";
  if (branch.length > COOKIE.length && branch.slice(0, COOKIE.length).toLowerCase() === COOKIE) {
    return `${branch}|${via.host.toLowerCase()}:${via.port ?? ""}|${named}`;
  }
  // RFC 2543 peers: everything that stays the same over retransmissions.
  const { callId, fromTag, uri } = request;
  const number = /^\d+/.exec(request.get("CSeq") ?? "")?.[0];
  return `2543|${callId}|${fromTag}|${number}|${uri}|${formatVia(via)}|${named}`;
}

const COOKIE = "z9hg4bk";
