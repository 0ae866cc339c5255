import { isIP } from "node:net";

/** Why a session description cannot be used; the SIP side answers 488 (or 400) with it. */
export type MediaRefusal =
  | "CannotSupportAnyMedia"
  | "SrtpEncryptionRequired"
  | "BlackholeMedia"
  | "InvalidSdp";

/** An offer or an answer that cannot be used. `code` is stable; the message says which line. */
export class MediaRefused extends Error {
  override readonly name = "MediaRefused";
  readonly code: MediaRefusal;

  constructor(code: MediaRefusal, message: string) {
    super(message);
    this.code = code;
  }
}

export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

/** One `a=` line: `a=name` or `a=name:value`. */
export interface Attribute {
  readonly name: string;
  readonly value?: string;
}

/** One `m=` section. */
export interface MediaDescription {
  readonly kind: string;
  readonly port: number;
  readonly profile: string;
  /** Payload types for RTP profiles, in order of preference. */
  readonly formats: readonly string[];
  /** The section's own `c=` address, if it has one. */
  readonly host?: string;
  readonly attributes: readonly Attribute[];
}

/** A session description (RFC 8866), reduced to what a telephone leg uses. */
export interface SessionDescription {
  readonly origin: {
    readonly username: string;
    readonly id: string;
    readonly version: string;
    readonly host: string;
  };
  readonly name: string;
  /** The session's `c=` address, if it has one. */
  readonly host?: string;
  /** The session's `b=` line, such as `CT:10000000`. */
  readonly bandwidth?: string;
  readonly attributes: readonly Attribute[];
  readonly media: readonly MediaDescription[];
}

const LIMIT_OCTETS = 65_536;
const LIMIT_LINES = 1_000;
const DIRECTIONS: readonly string[] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/**
 * Reads a session description. Line ends may be CRLF or LF; unknown line types are skipped.
 * Throws {@link MediaRefused} `InvalidSdp` that names the offending line.
 */
export function parseSdp(text: string): SessionDescription {
  const lines = splitLines(text);
  const firstMedia = lines.findIndex((line) => line.startsWith("m="));
  const head = firstMedia < 0 ? lines : lines.slice(0, firstMedia);
  const sections = firstMedia < 0 ? [] : splitSections(lines.slice(firstMedia));
  if (head[0] !== "v=0") throw invalid(`expected v=0, got ${quote(head[0])}`);
  const host = connectionOf(head);
  const bandwidth = valueOf(head, "b");
  return {
    origin: parseOrigin(valueOf(head, "o")),
    name: valueOf(head, "s") ?? "-",
    ...(host === undefined ? {} : { host }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    attributes: attributesOf(head),
    media: sections.map(parseMedia),
  };
}

export function formatSdp(description: SessionDescription): string {
  const { origin, name, host, bandwidth, attributes, media } = description;
  const lines = [
    "v=0",
    `o=${origin.username} ${origin.id} ${origin.version} IN ${addressOf(origin.host)}`,
    `s=${name}`,
    ...(host === undefined ? [] : [`c=IN ${addressOf(host)}`]),
    ...(bandwidth === undefined ? [] : [`b=${bandwidth}`]),
    "t=0 0",
    ...attributes.map(formatAttribute),
    ...media.flatMap(formatMedia),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

/** The first attribute of that name; `""` for one without a value. */
export function attribute(
  { attributes }: { readonly attributes: readonly Attribute[] },
  name: string,
): string | undefined {
  const found = attributes.find((entry) => entry.name === name);
  return found === undefined ? undefined : (found.value ?? "");
}

/** The section's direction; the session's counts where the section has none (RFC 8866 §6.7). */
export function directionOf(session: SessionDescription, media: MediaDescription): Direction {
  const named = [...media.attributes, ...session.attributes].find(({ name }) => isDirection(name));
  return named !== undefined && isDirection(named.name) ? named.name : "sendrecv";
}

/** The address media goes to: the section's `c=`, else the session's. */
export function hostOf(session: SessionDescription, media: MediaDescription): string {
  const host = media.host ?? session.host;
  if (host === undefined) throw invalid(`m=${media.kind} has no c= line`);
  return host;
}

/** `rtpmap` of a payload type, in upper case (`PCMU/8000`); static types need no line (RFC 3551). */
export function encodingOf(media: MediaDescription, payloadType: string): string | undefined {
  const mapped = media.attributes.find(
    ({ name, value }) => name === "rtpmap" && value?.startsWith(`${payloadType} `),
  );
  if (mapped?.value === undefined) return STATIC_ENCODINGS[payloadType];
  return mapped.value
    .slice(payloadType.length + 1)
    .trim()
    .toUpperCase()
    .replace(/\/1$/, "");
}

const STATIC_ENCODINGS: Readonly<Record<string, string>> = {
  "0": "PCMU/8000",
  "8": "PCMA/8000",
  "9": "G722/8000",
  "13": "CN/8000",
  "18": "G729/8000",
};

function splitLines(text: string): string[] {
  if (Buffer.byteLength(text) > LIMIT_OCTETS) throw invalid(`more than ${LIMIT_OCTETS} octets`);
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line !== "");
  if (lines.length > LIMIT_LINES) throw invalid(`more than ${LIMIT_LINES} lines`);
  const broken = lines.find((line) => !/^[a-z]=/.test(line));
  if (broken !== undefined) throw invalid(`expected <letter>=<value>, got ${quote(broken)}`);
  return lines;
}

function splitSections(lines: readonly string[]): string[][] {
  const sections: string[][] = [];
  for (const line of lines) {
    if (line.startsWith("m=")) sections.push([]);
    sections.at(-1)?.push(line);
  }
  return sections;
}

function parseOrigin(value: string | undefined): SessionDescription["origin"] {
  const [username, id, version, net, type, host] = value?.split(/\s+/) ?? [];
  if (!username || !id || !version || net !== "IN" || !type || !host) {
    throw invalid(`expected o=<user> <id> <version> IN <type> <address>, got ${quote(value)}`);
  }
  return { username, id, version, host };
}

function parseMedia(lines: readonly string[]): MediaDescription {
  const value = valueOf(lines, "m");
  const [kind, portText, profile, ...formats] = value?.split(/\s+/).filter(Boolean) ?? [];
  const port = Number(/^\d{1,5}(?=\/\d+$|$)/.exec(portText ?? "")?.[0] ?? Number.NaN);
  if (!kind || !profile || formats.length === 0 || !(port <= 65_535)) {
    throw invalid(`expected m=<kind> <port> <profile> <format…>, got ${quote(value)}`);
  }
  const host = connectionOf(lines);
  return {
    kind,
    port,
    profile,
    formats,
    ...(host === undefined ? {} : { host }),
    attributes: attributesOf(lines),
  };
}

/** Host names are refused: the lab resolves names by its own table, and media by address only. */
function connectionOf(lines: readonly string[]): string | undefined {
  const value = valueOf(lines, "c");
  if (value === undefined) return undefined;
  const [net, type, address] = value.split(/\s+/);
  const host = address?.split("/")[0] ?? "";
  const family = type === "IP4" ? 4 : type === "IP6" ? 6 : -1;
  if (net !== "IN" || isIP(host) !== family) {
    throw invalid(`expected c=IN IP4|IP6 <address>, got ${quote(value)}`);
  }
  return host;
}

function attributesOf(lines: readonly string[]): Attribute[] {
  return lines
    .filter((line) => line.startsWith("a="))
    .map((line) => {
      const colon = line.indexOf(":");
      if (colon < 0) return { name: line.slice(2).trim() };
      return { name: line.slice(2, colon).trim(), value: line.slice(colon + 1).trim() };
    });
}

function formatMedia({ kind, port, profile, formats, host, attributes }: MediaDescription) {
  return [
    `m=${kind} ${port} ${profile} ${formats.join(" ")}`,
    ...(host === undefined ? [] : [`c=IN ${addressOf(host)}`]),
    ...attributes.map(formatAttribute),
  ];
}

function formatAttribute({ name, value }: Attribute): string {
  return value === undefined ? `a=${name}` : `a=${name}:${value}`;
}

function valueOf(lines: readonly string[], letter: string): string | undefined {
  return lines
    .find((line) => line.startsWith(`${letter}=`))
    ?.slice(2)
    .trim();
}

function addressOf(host: string): string {
  return `${isIP(host) === 6 ? "IP6" : "IP4"} ${host}`;
}

function isDirection(name: string): name is Direction {
  return DIRECTIONS.includes(name);
}

function invalid(message: string): MediaRefused {
  return new MediaRefused("InvalidSdp", `session description: ${message}`);
}

function quote(text: string | undefined): string {
  return text === undefined ? "nothing" : JSON.stringify(text.slice(0, 80));
}
