import { isIP } from "node:net";
import { defaultPort, type Endpoint } from "../sip/connection.ts";
import { parseNameAddr } from "../sip/fields.ts";
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

export function endpointOf(uri: SipUri, { transport }: Contact): Endpoint {
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
 * Where requests within a dialog go. The route set or remote target says so, unless it cannot be
 * true: a Contact of a browser (`.invalid`), or one whose address is not where the peer's messages
 * came from, as behind a NAT. Then it is the flow the dialog came on. A name is trusted.
 */
export function dialogHop(dialog: Dialog): SendOptions {
  const { connection, contact, routeSet, remoteTarget = "" } = dialog;
  const flow: SendOptions = {
    connection,
    target: { transport: connection.transport, ...connection.remote },
    localAddress: contact.localHost,
  };
  const [route] = routeSet;
  const uri = readSipUri(route === undefined ? remoteTarget : parseNameAddr(route).uri);
  if (uri === undefined) return flow;
  const browser = connection.transport === "ws" || connection.transport === "wss";
  if (browser || uri.host.endsWith(".invalid")) return flow;
  if (route === undefined && isIP(uri.host) !== 0 && !matches(uri, dialog)) return flow;
  const transport = asTransport(uri.parameters.get("transport")) ?? connection.transport;
  const target = endpointOf(uri, { ...contact, transport: secured(transport, uri) });
  return { target, localAddress: contact.localHost };
}

function secured(transport: Endpoint["transport"], { scheme }: SipUri): Endpoint["transport"] {
  return scheme === "sips" && transport === "tcp" ? "tls" : transport;
}

/** Does the Contact name the address the peer's messages came from? */
function matches(uri: SipUri, { connection, role }: Dialog): boolean {
  if (uri.host !== connection.remote.host) return false;
  const port = uri.port ?? defaultPort(connection.transport);
  // Only UDP sends from the port it listens on, and an answer tells nothing about that port.
  return role === "uac" || connection.transport !== "udp" || port === connection.remote.port;
}
