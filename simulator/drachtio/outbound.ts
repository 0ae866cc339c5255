import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../clock.ts";
import type { ServerTransaction } from "../sip/transaction.ts";
import type { ControlConnection } from "./control.ts";
import { readSipUri } from "./next-hop.ts";

/**
 * Where new requests go instead of to connected applications, by method (`*`: any). An `http(s)`
 * URL is asked what to do; `tcp://host:port` and `tls://host:port` are applications that listen
 * (`srf.listen`) and get one connection per request.
 */
export interface RequestHandler {
  method: string;
  url: string;
  /** How to ask: GET with the parameters alone, or POST with the SIP message too. Default GET. */
  httpMethod?: "GET" | "POST";
}

/** What becomes of a request. */
export type Verdict =
  | { action: "reject"; status: number; reason?: string }
  | { action: "redirect"; contacts: readonly string[] }
  | { action: "proxy"; proxy: ProxyWish }
  | { action: "offer"; connection: ControlConnection };

export interface ProxyWish {
  destinations: readonly string[];
  recordRoute: boolean;
  followRedirects: boolean;
  simultaneous: boolean;
  provisionalTimeout: string;
  finalTimeout: string;
}

export interface OutboundOptions {
  clock: Clock;
  handlers: readonly RequestHandler[];
  /** Takes a connection the daemon opened; the application authenticates on it. */
  adopt: (socket: Socket) => ControlConnection;
  /** The application with this tag whose turn it is. */
  findTag: (tag: string) => ControlConnection | undefined;
}

/** The handler has this long to answer, an application to accept and authenticate. */
const HANDLER_TIMEOUT_MS = 3_000;
const CONNECT_TIMEOUT_MS = 2_000;

/** Asks outside handlers about new requests, and opens connections to applications that listen. */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #authenticating = new Map<ControlConnection, () => void>();

  constructor(options: OutboundOptions) {
    this.#options = options;
  }

  handlerFor(method: string): RequestHandler | undefined {
    const { handlers } = this.#options;
    const wanted = method.toLowerCase();
    return (
      handlers.find((handler) => handler.method.toLowerCase() === wanted) ??
      handlers.find((handler) => handler.method === "*")
    );
  }

  /** An adopted connection has said the secret. */
  onAuthenticated(connection: ControlConnection): void {
    this.#authenticating.get(connection)?.();
  }

  async ask(handler: RequestHandler, transaction: ServerTransaction): Promise<Verdict> {
    const { protocol } = new URL(handler.url);
    if (protocol === "tcp:" || protocol === "tls:") return this.#connect(handler.url);
    let instruction: unknown;
    try {
      instruction = await this.#askHttp(handler, transaction);
    } catch {
      // No answer, or one that is not JSON: the real daemon says 500 as well.
      return { action: "reject", status: 500 };
    }
    return this.#obey(instruction);
  }

  async #askHttp(handler: RequestHandler, transaction: ServerTransaction): Promise<unknown> {
    const { httpMethod = "GET" } = handler;
    const url = new URL(handler.url);
    for (const [name, value] of parametersOf(transaction)) url.searchParams.append(name, value);
    const post = {
      body: transaction.request.toString(),
      headers: { "Content-Type": "text/plain" },
    };
    const aborter = new AbortController();
    using _deadline = this.#options.clock.after(HANDLER_TIMEOUT_MS, () => aborter.abort());
    const response = await fetch(url, {
      method: httpMethod,
      signal: aborter.signal,
      ...(httpMethod === "POST" ? post : {}),
    });
    return await response.json();
  }

  async #obey(instruction: unknown): Promise<Verdict> {
    const { action, data } = instruction as { action?: string; data?: Record<string, unknown> };
    switch (action) {
      case "reject":
        return {
          action,
          status: Number(data?.["status"] ?? 500),
          ...(typeof data?.["reason"] === "string" ? { reason: data["reason"] } : {}),
        };
      case "redirect":
        return { action, contacts: texts(data?.["contact"]) };
      case "proxy":
        return { action, proxy: proxyWish(data ?? {}) };
      case "route":
        return this.#route(data ?? {});
      default:
        return { action: "reject", status: 500 };
    }
  }

  async #route({ uri, tag }: Record<string, unknown>): Promise<Verdict> {
    if (typeof uri === "string") return this.#connect(uri);
    const connection = typeof tag === "string" ? this.#options.findTag(tag) : undefined;
    if (connection === undefined) return { action: "reject", status: 480 };
    return { action: "offer", connection };
  }

  /** `host:port;transport=tcp|tls` or `tcp://host:port`. Nobody there, or no secret said: 480. */
  async #connect(place: string): Promise<Verdict> {
    const [, scheme, host = "", port, transport] =
      /^(?:(tcp|tls):\/\/)?([^:;/]+):(\d+)\/?(?:;transport=(tcp|tls))?$/.exec(place) ?? [];
    const secure = (scheme ?? transport) === "tls";
    const address = { host, port: Number(port ?? 0) };
    const socket = secure
      ? connectTls({ ...address, rejectUnauthorized: false })
      : connect(address);
    const connection = this.#options.adopt(socket);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#authenticating.set(connection, () => resolve(true));
    socket.once("close", () => resolve(false));
    using _deadline = this.#options.clock.after(CONNECT_TIMEOUT_MS, () => resolve(false));
    const authenticated = await promise;
    this.#authenticating.delete(connection);
    if (authenticated) return { action: "offer", connection };
    connection.close();
    return { action: "reject", status: 480 };
  }
}

/** What the handler is told of a request. */
function parametersOf({ request, connection, source }: ServerTransaction): [string, string][] {
  const uri = readSipUri(request.uri);
  const parameters: [string, string | undefined][] = [
    ["method", request.method],
    ["domain", uri?.host],
    ["protocol", connection.transport],
    ["source_address", source.host],
    ["fromUser", userOf(request.from.uri)],
    ["toUser", userOf(request.to.uri)],
    ["uriUser", uri?.user],
    ["contentType", request.get("Content-Type")],
    ["uri", request.uri],
    ...[...(uri?.parameters ?? [])].map(([name, value]): [string, string] => [name, value ?? ""]),
  ];
  return parameters.map(([name, value]) => [name, value ?? ""]);
}

const userOf = (uri: string) => readSipUri(uri)?.user;

function texts(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((each) => typeof each === "string");
}

function proxyWish(data: Record<string, unknown>): ProxyWish {
  return {
    destinations: texts(data["destination"]),
    recordRoute: data["recordRoute"] === true,
    followRedirects: data["followRedirects"] !== false,
    simultaneous: data["simultaneous"] === true,
    provisionalTimeout: texts(data["provisionalTimeout"])[0] ?? "5s",
    finalTimeout: texts(data["finalTimeout"])[0] ?? "60s",
  };
}

/** The answer to a redirected request. */
export function redirectHeaders(contacts: readonly string[]): Record<string, string> {
  const bracketed = contacts.map((each) => (each.includes("<") ? each : `<${each}>`));
  return { Contact: bracketed.join(", ") };
}
