import type { ApplicationMessage } from "./application-message.ts";
import type { Contact } from "./contact.ts";

/** What an application's headers become on the wire, after drachtio-server's `src/sip-dialog…`. */
const DISCARDED = new Set(["via", "route", "record-route", "rseq", "content-length"]);
const MENTIONS_US = new Set(["from", "to", "contact", "p-asserted-identity"]);

/** drachtio-srf writes every name in lower case that does not start with X- or P-. */
const CANONICAL = new Map(
  [
    "Accept",
    "Accept-Contact",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "Call-ID",
    "Call-Info",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Error-Info",
    "Event",
    "Expires",
    "From",
    "In-Reply-To",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "Organization",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Path",
    "Priority",
    "Privacy",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Reason",
    "Refer-Sub",
    "Refer-To",
    "Referred-By",
    "Reject-Contact",
    "Remote-Party-ID",
    "Replaces",
    "Reply-To",
    "Request-Disposition",
    "Require",
    "Retry-After",
    "Server",
    "Service-Route",
    "Session-Expires",
    "SIP-ETag",
    "SIP-If-Match",
    "Subject",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Warning",
    "WWW-Authenticate",
  ].map((name) => [name.toLowerCase(), name]),
);

/**
 * The spelling of an application's header: known names as their RFC writes them, `X-` names and
 * names with capitals as given, others with capitals after each dash.
 */
export function spellHeader(name: string): string {
  const known = CANONICAL.get(name.toLowerCase());
  if (known !== undefined) return known;
  if (/^x-/i.test(name) || name !== name.toLowerCase()) return name;
  return name.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

/**
 * The headers an application may set, spelled for the wire and with `localhost` replaced by the
 * daemon's address. `owned` are the names (lower case) that the caller writes itself.
 */
export function wireHeaders(
  message: ApplicationMessage,
  contact: Contact,
  owned: ReadonlySet<string>,
): [name: string, value: string][] {
  const headers: [string, string][] = [];
  for (const [name, value] of message.headers) {
    const key = name.toLowerCase();
    if (DISCARDED.has(key) || owned.has(key)) continue;
    const text = MENTIONS_US.has(key) ? replaceLocalhost(value, contact) : value;
    headers.push([spellHeader(name), text]);
  }
  const type = contentType(message);
  if (type !== undefined && !message.headers.some(([name]) => isContentType(name))) {
    headers.push(["Content-Type", type]);
  }
  return headers;
}

const isContentType = (name: string) => /^(?:content-type|c)$/i.test(name);

/** `undefined` for a body whose type nobody said; SDP tells itself. */
export function contentType(message: ApplicationMessage): string | undefined {
  const given = message.headers.find(([name]) => isContentType(name))?.[1];
  if (given !== undefined) return given;
  return message.body.subarray(0, 3).toString("latin1") === "v=0" ? "application/sdp" : undefined;
}

const BARE = /^(sips?:)((?:[^@<>;]+@)?)localhost(?![\w.:@-])([^;]*)(.*)$/i;
const BRACKETED = /<(sips?:)((?:[^@<>]+@)?)localhost(?![\w.:@-])/gi;

/**
 * Applications write `localhost` where they do not know their daemon's address. The real daemon
 * replaces it only behind a user part, which broke transfers (drachtio-server issue 149).
 */
export function replaceLocalhost(value: string, { hostPort }: Contact): string {
  const bare = BARE.exec(value.trim());
  if (bare === null) return value.replaceAll(BRACKETED, `<$1$2${hostPort}`);
  const [, scheme = "", user = "", , parameters = ""] = bare;
  return `<${scheme}${user}${hostPort}>${parameters}`;
}
