import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parseArgs } from "node:util";
import type { Address } from "../sip/connection.ts";
import type { ListenOptions } from "../sip/listener.ts";
import { parseSipUri } from "../sip/uri.ts";
import { asTransport } from "./contact.ts";
import type { RequestHandler } from "./outbound.ts";

/** What the command line of the stand-alone daemon says. */
export interface DaemonFlags {
  contacts: ListenOptions[];
  control: { host: string; port: number; tls?: { port: number; key: string; cert: string } };
  secret: string;
  handlers: RequestHandler[];
  /** Names and their addresses; a name without port keeps the one that was asked for. */
  hosts: ReadonlyMap<string, { host: string; port: number | undefined }>;
}

export class FlagError extends Error {
  override readonly name = "FlagError";
  readonly code = "FLAG_INVALID";
}

/** drachtio-server's own names, as far as they mean something here, and `--host`. */
const FLAGS = {
  contact: { type: "string", multiple: true },
  "external-ip": { type: "string", multiple: true },
  address: { type: "string" },
  port: { type: "string" },
  "tls-port": { type: "string" },
  "key-file": { type: "string" },
  "cert-file": { type: "string" },
  secret: { type: "string" },
  "http-handler": { type: "string" },
  "http-method": { type: "string" },
  loglevel: { type: "string" },
  "sofia-loglevel": { type: "string" },
  host: { type: "string", multiple: true },
} as const;

/**
 * Reads drachtio-server's flags: `--contact "sip:127.0.0.1:5060;transport=udp,tcp"` (repeatable,
 * each followed by its `--external-ip`), `--address`, `--port` 9022, `--tls-port`, `--key-file`,
 * `--cert-file`, `--secret` cymru, `--http-handler`, `--http-method`; and our
 * `--host name=address[:port]` for the name table. Log levels are taken and mean nothing here.
 */
export function parseFlags(args: string[]): DaemonFlags {
  const { values, tokens } = parseArgs({ args, options: FLAGS, tokens: true });
  const contacts: ContactFlag[] = [];
  for (const token of tokens) {
    if (token.kind === "option" && token.value !== undefined) {
      takeContact(contacts, token.name, token.value);
    }
  }
  const certificate = readCertificate(values["key-file"], values["cert-file"]);
  const tls = tlsOf(values["tls-port"], certificate);
  const { address: host = "127.0.0.1", port = "9022", secret = "cymru" } = values;
  return {
    contacts: contacts.flatMap((contact) => toListeners(contact, certificate)),
    control: { host, port: toPort(port), ...(tls === undefined ? {} : { tls }) },
    secret,
    handlers: handlersOf(values["http-handler"], values["http-method"]),
    hosts: new Map((values.host ?? []).map(toHost)),
  };
}

function handlersOf(url: string | undefined, method = "GET"): RequestHandler[] {
  if (url === undefined) return [];
  const httpMethod = method.toUpperCase();
  if (httpMethod === "GET" || httpMethod === "POST") return [{ method: "*", url, httpMethod }];
  throw new FlagError(`--http-method ${method}: expected GET or POST`);
}

interface ContactFlag {
  uri: string;
  externalIp?: string;
}

function takeContact(contacts: ContactFlag[], name: string, value: string): void {
  const last = contacts.at(-1);
  if (name === "contact") contacts.push({ uri: value });
  else if (name === "external-ip" && last !== undefined) last.externalIp = value;
}

function tlsOf(port: string | undefined, certificate: Certificate | undefined) {
  if (port === undefined) return undefined;
  if (certificate !== undefined) return { port: toPort(port), ...certificate };
  throw new FlagError("--tls-port needs --key-file and --cert-file");
}

interface Certificate {
  key: string;
  cert: string;
}

function readCertificate(keyFile?: string, certFile?: string): Certificate | undefined {
  if (keyFile === undefined || certFile === undefined) return undefined;
  return { key: readFileSync(keyFile, "utf8"), cert: readFileSync(certFile, "utf8") };
}

function toListeners(
  { uri: text, externalIp }: ContactFlag,
  certificate: Certificate | undefined,
): ListenOptions[] {
  // `sip:*;transport=udp` means every address; `transport=udp,tcp` is no legal URI parameter.
  const [, names = ""] = /;transport=([\w,]+)/i.exec(text) ?? [];
  const uri = parseSipUri(text.replace(/;.*$/, "").replace("*", "0.0.0.0"));
  const usual = uri.scheme === "sips" ? "tls" : "udp,tcp";
  return (names === "" ? usual : names).split(",").map((name) => {
    const transport = asTransport(name);
    if (transport === undefined) throw new FlagError(`--contact ${text}: no transport ${name}`);
    return {
      transport,
      host: uri.host,
      port: uri.port ?? (transport === "tls" ? 5061 : 5060),
      ...(externalIp === undefined ? {} : { advertise: { host: externalIp } }),
      ...(certificate === undefined ? {} : { tls: certificate, clientTls: certificate }),
    };
  });
}

function toHost(entry: string): [string, { host: string; port: number | undefined }] {
  const [, name, host, port] = /^([^=]+)=([^=:]+|\[[^\]]+\])(?::(\d+))?$/.exec(entry) ?? [];
  const address = host?.replaceAll(/[[\]]/g, "");
  if (name === undefined || address === undefined || isIP(address) === 0) {
    throw new FlagError(`--host ${entry}: expected name=address[:port]`);
  }
  return [
    name.toLowerCase(),
    { host: address, port: port === undefined ? undefined : toPort(port) },
  ];
}

function toPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new FlagError(`expected a port, got "${text}"`);
  return port;
}

/** The name table for `startDrachtioDaemon`. */
export function tableOf(hosts: DaemonFlags["hosts"]) {
  return (name: string, port: number | undefined): Address | undefined => {
    const known = hosts.get(name.toLowerCase());
    return known === undefined ? undefined : { host: known.host, port: known.port ?? port ?? 5060 };
  };
}
