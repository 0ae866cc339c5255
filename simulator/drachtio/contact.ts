import { isIP } from "node:net";
import type { TransportName } from "../sip/connection.ts";
import { formatHostPort } from "../sip/uri.ts";

/** A listener of the daemon, as the world is told about it. */
export interface Contact {
  transport: TransportName;
  /** What goes into Contact, From and Record-Route: the advertised address, else the bound one. */
  host: string;
  port: number;
  /** The address it is bound to. */
  localHost: string;
  localPort: number;
  /** `host:port`, brackets around IPv6. */
  hostPort: string;
  /** `sip:127.0.0.1:5060`, `sip:127.0.0.1:5060;transport=tcp`, `sips:127.0.0.1:5061;transport=tls`. */
  uri: string;
}

export interface ContactParts {
  transport: TransportName;
  host: string;
  port: number;
  advertise?: { host: string; port?: number };
}

export function makeContact({ transport, host, port, advertise }: ContactParts): Contact {
  const shownHost = advertise?.host ?? host;
  const shownPort = advertise?.port ?? port;
  const hostPort = formatHostPort(shownHost, shownPort);
  const scheme = transport === "tls" || transport === "wss" ? "sips" : "sip";
  const parameter = transport === "udp" ? "" : `;transport=${transport}`;
  return {
    transport,
    host: shownHost,
    port: shownPort,
    localHost: host,
    localPort: port,
    hostPort,
    uri: `${scheme}:${hostPort}${parameter}`,
  };
}

export interface Destination {
  host: string;
  /** The URI's `transport` parameter. */
  transport?: TransportName | undefined;
  secure: boolean;
}

/**
 * The listener to send from: the transport asked for (else UDP before TCP before the rest), then
 * the address that shares most octets with the destination, then one that is not loopback.
 */
export function chooseContact(
  contacts: readonly Contact[],
  destination: Destination,
): Contact | undefined {
  const usable = contacts.filter((contact) => fits(contact.transport, destination));
  const [best] = usable.toSorted(
    (a, b) =>
      rank(a.transport) - rank(b.transport) ||
      commonOctets(b, destination.host) - commonOctets(a, destination.host) ||
      Number(isLoopback(a)) - Number(isLoopback(b)),
  );
  return best;
}

const ORDER: readonly TransportName[] = ["udp", "tcp", "tls", "ws", "wss"];

const rank = (transport: TransportName) => ORDER.indexOf(transport);

function fits(transport: TransportName, { transport: wanted, secure }: Destination): boolean {
  if (wanted === undefined) return secure ? transport === "tls" || transport === "wss" : true;
  // `sips:…;transport=tcp` means TLS (RFC 3261 §26.2.2), and `transport=ws` on sips WSS.
  if (secure && wanted === "tcp") return transport === "tls";
  if (secure && wanted === "ws") return transport === "wss";
  return transport === wanted;
}

function commonOctets({ localHost }: Contact, host: string): number {
  if (isIP(host) !== 4) return 0;
  const ours = localHost.split(".");
  const different = host.split(".").findIndex((octet, at) => octet !== ours[at]);
  return different === -1 ? 4 : different;
}

const isLoopback = ({ localHost }: Contact) => localHost.startsWith("127.") || localHost === "::1";

const TRANSPORTS: ReadonlySet<string> = new Set(ORDER);

export function asTransport(text: string | null | undefined): TransportName | undefined {
  const lower = text?.toLowerCase();
  return lower !== undefined && TRANSPORTS.has(lower) ? (lower as TransportName) : undefined;
}
