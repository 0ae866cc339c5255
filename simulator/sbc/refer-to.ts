/** The target of a REFER, taken apart as RFC 3261 §19.1.5 asks before it becomes a request. */
export interface ReferTarget {
  /** The new INVITE's Request-URI: the URI as it came, without its `?headers`. */
  readonly uri: string;
  readonly host: string;
  /** User part, decoded; absent in Microsoft's Refer-To for users and bots. */
  readonly user?: string;
  /** Headers that the URI asks for, decoded. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Undefined when the header holds no SIP URI. */
export function parseReferTo(header: string): ReferTarget | undefined {
  const whole = (/<([^>]*)>/.exec(header)?.[1] ?? header).trim();
  const [uri = "", query = ""] = whole.split("?", 2);
  const match = /^sips?:(?:([^@]*)@)?(\[[^\]]+\]|[^:;@]+)(?::\d+)?(?:;.*)?$/i.exec(uri);
  const host = match?.[2];
  if (host === undefined) return undefined;
  const user = match?.[1];
  const headers = Object.fromEntries(query.split("&").filter(Boolean).map(decodePair));
  return { uri, host, headers, ...(user === undefined ? {} : { user: decode(user) }) };
}

function decodePair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at < 0 ? [decode(pair), ""] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
}

/** Bad escapes stay as they came: the target is opaque to an SBC. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
