import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Clock } from "../clock.ts";
import type { ListenOptions } from "../sip/listener.ts";
import { parseHostPort } from "../sip/uri.ts";
import { connectDrachtio, type DrachtioAddress } from "./application.ts";
import { asTransport, type Contact, makeContact } from "./contact.ts";
import { type DrachtioDaemonOptions, startDrachtioDaemon } from "./daemon.ts";

/** A daemon of either kind: embedded, a container, or one that runs somewhere. */
export interface DrachtioServer extends AsyncDisposable {
  readonly control: DrachtioAddress;
  /** Where it speaks SIP. */
  readonly contacts: readonly Contact[];
}

/** Which daemon the applications get. */
export type DrachtioChoice =
  | { kind: "embedded" }
  | { kind: "docker"; image: string }
  | { kind: "address"; addresses: readonly DrachtioAddress[] };

/** drachtio-srf 5 wants a server of 0.9 or later. */
export const DRACHTIO_IMAGE = "drachtio/drachtio-server:0.9.11";
const DEFAULT_SECRET = "cymru";
const DEFAULT_PORT = 9_022;

export class DrachtioUnavailable extends Error {
  override readonly name = "DrachtioUnavailable";
  readonly code = "DRACHTIO_UNAVAILABLE";
}

/**
 * Reads `LINECHECK_DRACHTIO`: nothing or `embedded`; `docker` or `docker=<image>`; or running
 * daemons as `[secret@]host[:port]`, separated by commas, one for each party that needs one.
 */
export function parseDrachtioChoice(text: string | undefined): DrachtioChoice {
  if (text === undefined || text === "" || text === "embedded") return { kind: "embedded" };
  const [, image] = /^docker(?:=(.+))?$/.exec(text) ?? [undefined, undefined];
  if (text === "docker" || image !== undefined) {
    return { kind: "docker", image: image ?? DRACHTIO_IMAGE };
  }
  return { kind: "address", addresses: text.split(",").map(parseAddress) };
}

function parseAddress(text: string): DrachtioAddress {
  const at = text.lastIndexOf("@");
  const secret = at === -1 ? DEFAULT_SECRET : text.slice(0, at);
  const { host, port = DEFAULT_PORT } = parseHostPort(text.slice(at + 1).trim(), text);
  return { host, port, secret };
}

/** Runs a container; what `testcontainers` does, so that tests need no engine. */
export type RunContainer = (container: ContainerWish) => Promise<{ stop(): Promise<unknown> }>;

export interface ContainerWish {
  image: string;
  command: string[];
  files: readonly { content: string; target: string }[];
}

export interface StarterOptions {
  run?: RunContainer;
  /** Gives up waiting for a daemon after this long. Default 60 s: an image may have to be pulled. */
  timeoutMs?: number;
}

/**
 * Starts daemons of the chosen kind, one for each call, under one interface. Running daemons are
 * handed out in the order of the list; they have their own contacts, so those asked for are only
 * checked to be there. Of the options a real daemon takes contacts, certificates and secret;
 * name table, timers and limits are its own.
 */
export function drachtioStarter(
  choice: DrachtioChoice,
  { run = runWithTestcontainers, timeoutMs = 60_000 }: StarterOptions = {},
): (options: DrachtioDaemonOptions) => Promise<DrachtioServer> {
  if (choice.kind === "embedded") return startDrachtioDaemon;
  if (choice.kind === "docker") {
    return (options) => startContainer(options, { image: choice.image, run, timeoutMs });
  }
  const left = [...choice.addresses];
  return (options) => {
    const address = left.shift();
    const had = choice.addresses.length;
    if (address !== undefined) return useRunning(address, options);
    return Promise.reject(
      new DrachtioUnavailable(`the list names ${had} daemons, one more is needed`),
    );
  };
}

async function useRunning(
  address: DrachtioAddress,
  { contacts: wanted, clock }: DrachtioDaemonOptions,
): Promise<DrachtioServer> {
  const contacts = await askContacts(address, { clock, timeoutMs: 5_000 });
  const missing = wanted.filter(
    ({ transport }) => !contacts.some((has) => has.transport === transport),
  );
  if (missing.length > 0) {
    const names = missing.map(({ transport }) => transport).join(", ");
    throw new DrachtioUnavailable(`${address.host}:${address.port} does not listen on ${names}`);
  }
  return { control: address, contacts, async [Symbol.asyncDispose]() {} };
}

/** Learns a daemon's contacts by connecting to it as an application would. */
async function askContacts(
  address: DrachtioAddress,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<Contact[]> {
  const aborter = new AbortController();
  const where = `${address.host}:${address.port}`;
  using _deadline = clock.after(timeoutMs, () =>
    aborter.abort(new DrachtioUnavailable(`no answer of ${where} within ${timeoutMs} ms`)),
  );
  await using srf = await connectDrachtio({ ...address, signal: aborter.signal });
  return srf.hostPorts.flatMap(readHostPort);
}

/** `udp/127.0.0.1:5060` */
function readHostPort(text: string): Contact[] {
  const [name = "", place = ""] = text.split("/");
  const transport = asTransport(name);
  if (transport === undefined) return [];
  const { host, port = 5060 } = parseHostPort(place, text);
  return [makeContact({ transport, host, port })];
}

const KEY_FILE = "/tmp/linecheck.key";
const CERT_FILE = "/tmp/linecheck.crt";

async function startContainer(
  options: DrachtioDaemonOptions,
  { image, run, timeoutMs }: { image: string; run: RunContainer; timeoutMs: number },
): Promise<DrachtioServer> {
  const { clock, secret = DEFAULT_SECRET } = options;
  const host = options.control?.host ?? "127.0.0.1";
  const port = await freePort();
  const contacts = await Promise.all(options.contacts.map(givePort));
  const command = commandOf(contacts, { host, port, secret });
  let container: Awaited<ReturnType<RunContainer>>;
  try {
    container = await run({ image, command, files: certificateFiles(options.contacts) });
  } catch (cause) {
    const [why] = String(cause instanceof Error ? cause.message : cause).split("\n");
    throw new DrachtioUnavailable(`cannot run ${image}: ${why}`, { cause });
  }
  const address = { host, port, secret };
  try {
    await untilReady(address, { clock, timeoutMs });
  } catch (error) {
    await container.stop();
    throw error;
  }
  let stopping: Promise<unknown> | undefined;
  return {
    control: address,
    contacts,
    async [Symbol.asyncDispose]() {
      stopping ??= container.stop();
      await stopping;
    },
  };
}

function commandOf(
  contacts: readonly Contact[],
  { host, port, secret }: DrachtioAddress,
): string[] {
  const secure = contacts.some(({ transport }) => transport === "tls" || transport === "wss");
  const files = ["--key-file", KEY_FILE, "--cert-file", CERT_FILE];
  return [
    "drachtio",
    ...contacts.flatMap((contact) => ["--contact", contactFlag(contact)]),
    "--address",
    host,
    "--port",
    String(port),
    "--secret",
    secret,
    // The image's own configuration writes every message down twice.
    "--loglevel",
    "notice",
    "--sofia-loglevel",
    "0",
    ...(secure ? files : []),
  ];
}

function contactFlag({ uri, transport }: Contact): string {
  return transport === "udp" ? `${uri};transport=udp` : uri;
}

/** The container shares this machine's network, so the lab's loopback addresses mean the same. */
async function givePort({ transport, host, port, advertise }: ListenOptions): Promise<Contact> {
  const bound = port === 0 ? await freePort(host) : port;
  return makeContact({ transport, host, port: bound, ...(advertise ? { advertise } : {}) });
}

/** A port that is free for TCP and UDP now; nobody keeps it until the container takes it. */
async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    const bound = once(socket, "listening");
    socket.bind(port, host);
    await bound;
    return port;
  } finally {
    socket.close();
    server.close();
  }
}

function certificateFiles(contacts: readonly ListenOptions[]): ContainerWish["files"] {
  for (const { tls } of contacts) {
    const { key, cert } = tls ?? {};
    if (typeof key === "string" && typeof cert === "string") {
      return [
        { content: key, target: KEY_FILE },
        { content: cert, target: CERT_FILE },
      ];
    }
  }
  return [];
}

const RETRY_MS = 100;

async function untilReady(
  address: DrachtioAddress,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<void> {
  const startedAt = clock.now();
  for (;;) {
    const leftMs = timeoutMs - (clock.now() - startedAt);
    try {
      await askContacts(address, { clock, timeoutMs: leftMs });
      return;
    } catch (cause) {
      if (leftMs <= RETRY_MS) {
        const where = `${address.host}:${address.port}`;
        throw new DrachtioUnavailable(`no daemon at ${where} within ${timeoutMs} ms`, { cause });
      }
    }
    await clock.sleep(RETRY_MS);
  }
}

const runWithTestcontainers: RunContainer = async ({ image, command, files }) => {
  // Loading it takes longer than starting the embedded daemon: only who asks for Docker pays.
  const { GenericContainer } = await import("testcontainers");
  return await new GenericContainer(image)
    .withNetworkMode("host")
    .withCommand(command)
    .withCopyContentToContainer([...files])
    .start();
};
