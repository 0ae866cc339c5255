import { SipError } from "./error.ts";
import { findOutside } from "./list.ts";
import {
  formatParameters,
  type Parameters,
  parseParameters,
  quote,
  unquote,
} from "./parameters.ts";
import { formatHostPort, parseHostPort } from "./uri.ts";

/** One element of From, To, Contact, Route, Record-Route, Refer-To… */
export interface NameAddr {
  /** Without quotes and backslashes. */
  displayName: string | undefined;
  /** As written; see `parseUri`. `*` for `Contact: *`. */
  uri: string;
  /** The header's parameters (`tag`, `q`, `expires`), not the URI's. Keys in lower case. */
  parameters: Parameters;
}

const DISPLAY_TOKENS = /^(?:[\w!%'*+.`~-]|[^\0-\x7f]|[ \t])*$/;

/** name-addr or addr-spec with parameters (RFC 3261 §20.10). Throws SIP_SYNTAX. */
export function parseNameAddr(text: string): NameAddr {
  const open = openingBracket(text);
  if (open < 0) return parseAddrSpec(text);
  const close = text.indexOf(">", open);
  if (close < 0) throw syntax("a closing >", text);
  const uri = text.slice(open + 1, close);
  if (uri === "" || /[<>"\s]/.test(uri)) throw syntax("a URI between < and >", text);
  return {
    displayName: parseDisplayName(text.slice(0, open).trim(), text),
    uri,
    parameters: parseParameters(text.slice(close + 1).trim(), "an address"),
  };
}

function openingBracket(text: string): number {
  if (!text.startsWith('"')) return text.indexOf("<");
  const end = quotedEnd(text);
  if (end < 0) throw syntax("a closing quote", text);
  return text.indexOf("<", end);
}

function quotedEnd(text: string): number {
  for (let at = 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  return -1;
}

function parseDisplayName(name: string, text: string): string | undefined {
  if (name === "") return undefined;
  if (name.startsWith('"')) {
    if (quotedEnd(name) !== name.length - 1) throw syntax("one quoted display name", text);
    return unquote(name);
  }
  if (!DISPLAY_TOKENS.test(name)) throw syntax("a display name of tokens", text);
  return name;
}

/** Without brackets everything from the first semicolon on belongs to the header (§20.10). */
function parseAddrSpec(text: string): NameAddr {
  const end = findOutside(text, ";", 0);
  const uri = text.slice(0, end).trim();
  // A comma or question mark would need the brackets.
  if (uri === "" || /[>"\s,?]/.test(uri)) throw syntax("a URI", text);
  return {
    displayName: undefined,
    uri,
    parameters: parseParameters(text.slice(end), "an address"),
  };
}

export function formatNameAddr({ displayName, uri, parameters }: NameAddr): string {
  const name = displayName === undefined ? "" : `${quote(displayName)} `;
  return `${name}${uri === "*" ? uri : `<${uri}>`}${formatParameters(parameters)}`;
}

/** The `tag` of a From or To value, without parsing the rest. */
export function tagOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const close = value.lastIndexOf(">");
  const text = close < 0 ? value : value.slice(close + 1);
  return /;[ \t]*tag[ \t]*=[ \t]*([^;,\s"]+)/i.exec(text)?.[1];
}

export interface Via {
  /** As written, usually capitals: `UDP`, `TLS`, `WSS`. */
  transport: string;
  host: string;
  port: number | undefined;
  /** `branch`, `received`, `rport`… Keys in lower case. */
  parameters: Parameters;
}

const VIA = /^SIP[ \t]*\/[ \t]*2\.0[ \t]*\/[ \t]*([\w!%'*+.`~-]+)[ \t]+([^;]+)([^]*)$/i;

/** One Via element (RFC 3261 §20.42). Throws SIP_SYNTAX. */
export function parseVia(text: string): Via {
  const [, transport, sentBy, rest = ""] = VIA.exec(text) ?? [];
  if (transport === undefined || sentBy === undefined) throw syntax("SIP/2.0/TRANSPORT host", text);
  // RFC 3261 allows white space around the colon: "first.example.com: 4000".
  const colon = sentBy.lastIndexOf(":");
  const tidy = `${sentBy.slice(0, Math.max(colon, 0)).trim()}:${sentBy.slice(colon + 1).trim()}`;
  const { host, port } = parseHostPort(colon < 0 ? sentBy.trim() : tidy, text);
  return { transport, host, port, parameters: parseParameters(rest.trim(), "Via") };
}

export function formatVia({ transport, host, port, parameters }: Via): string {
  return `SIP/2.0/${transport} ${formatHostPort(host, port)}${formatParameters(parameters)}`;
}

export interface CSeq {
  number: number;
  method: string;
}

/** Throws SIP_SYNTAX; the number must be below 2**31 (RFC 3261 §8.1.1.5). */
export function parseCSeq(text: string): CSeq {
  const [, digits, method] = /^(\d{1,10})[ \t]+([\w!%'*+.`~-]+)$/.exec(text) ?? [];
  const number = Number(digits);
  if (method === undefined || !(number < 2 ** 31)) {
    throw syntax("a number below 2^31 and a method", text);
  }
  return { number, method };
}

function syntax(expected: string, text: string): SipError {
  return new SipError("SIP_SYNTAX", `expected ${expected}, got "${text}"`);
}
