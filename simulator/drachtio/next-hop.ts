import { isIP } from "node:net";
import { defaultPort, type Endpoint, type TransportName } from "../sip/connection.ts";
import type { SendOptions } from "../sip/transaction.ts";
import { parseUri, type SipUri } from "../sip/uri.ts";
import { asTransport, type Contact, chooseContact } from "./contact.ts";
import type { Dialog } from "./dialog.ts";

/** A `sip:` URI, or undefined for anything else. */
export function readSipUri(text: string): SipUri | undefined {
  try {
    const uri = parseUri(text);
    return uri.kind === "sip" ? uri : undefined;
  } catch {
    return undefined;
  }
}

/** The listener to use for a destination; undefined if none speaks its transport. */
export function contactFor(contacts: readonly Contact[], uri: SipUri): Contact | undefined {
  return chooseContact(contacts, {
    host: uri.host,
    transport: asTransport(uri.parameters.get("transport")),
    secure: uri.scheme === "sips",
  });
}

export function endpointOf(uri: SipUri, transport: TransportName): Endpoint {
  const host = uri.parameters.get("maddr") ?? uri.host;
  return { transport, host, port: uri.port ?? defaultPort(transport) };
}

/** Would the request come straight back to this listener? */
export function isOurs(contacts: readonly Contact[], { transport, host, port }: Endpoint): boolean {
  return contacts.some(
    (contact) =>
      contact.transport === transport &&
      ((contact.localHost === host && contact.localPort === port) ||
        (contact.host === host && contact.port === port)),
  );
}

/**
 * Where a request within a dialog goes. Route set and remote target say so (`nextHop`), unless it
 * cannot be true: a Contact of a browser (`.invalid`), or one whose address is not where the peer's
 * messages came from, as behind a NAT. Then it is the flow the dialog came on. A name is trusted.
 */
export function dialogHop(dialog: Dialog, nextHop: string): SendOptions {
  const { connection, contact } = dialog;
  const { routeSet } = dialog.sip.state;
  const { localHost: localAddress } = contact;
  const target = { transport: connection.transport, ...connection.remote };
  const flow: SendOptions = { connection, target, localAddress };
  const uri = readSipUri(nextHop);
  if (uri === undefined) return flow;
  const browser = connection.transport === "ws" || connection.transport === "wss";
  if (browser || uri.host.endsWith(".invalid")) return flow;
  if (routeSet.length === 0 && isIP(uri.host) !== 0 && !isSource(uri, dialog)) return flow;
  const transport = asTransport(uri.parameters.get("transport")) ?? connection.transport;
  return { target: endpointOf(uri, secured(transport, uri)), localAddress };
}

function secured(transport: TransportName, { scheme }: SipUri): TransportName {
  return scheme === "sips" && transport === "tcp" ? "tls" : transport;
}

/** Does the Contact name the address the peer's messages came from? */
function isSource(uri: SipUri, { connection, sip }: Dialog): boolean {
  if (uri.host !== connection.remote.host) return false;
  const port = uri.port ?? defaultPort(connection.transport);
  // Only UDP sends from the port it listens on, and an answer tells nothing about that port.
  const { role } = sip.state;
  return role === "uac" || connection.transport !== "udp" || port === connection.remote.port;
}
