import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { buffer } from "node:stream/consumers";
import { rootCertificates } from "node:tls";
import { WebSocket } from "ws";
import type { Clock } from "../clock.ts";

export interface OutboundOptions {
  readonly clock: Clock;
  /** Further certificate authorities (PEM) to trust in the application's servers. */
  readonly ca?: readonly string[];
  /**
   * Stands in for a tunnel: `{ "https://app.example.test": "http://127.0.0.1:8080" }` sends what is
   * meant for the public name to the local port.
   */
  readonly ingress?: Readonly<Record<string, string>>;
}

export interface PostOptions {
  /** Default: POST. */
  readonly method?: "POST" | "OPTIONS" | "GET";
  /** Largest answer taken; default 64 KiB. */
  readonly limitBytes?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface PostAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly bytes: Buffer;
  readonly body: string;
}

const ANSWER_LIMIT_BYTES = 64 * 1024;

/** How the service reaches the application: HTTP posts and WebSockets, over one pool. */
export class Outbound implements Disposable {
  readonly #options: OutboundOptions;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 256 });
  readonly #https: HttpsAgent;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#https = new HttpsAgent({ keepAlive: true, maxSockets: 256, ...this.#trust() });
  }

  /** Where a URL really goes, after the ingress map. Throws a TypeError for what is no URL. */
  resolve(url: string): URL {
    const wanted = new URL(url);
    const key = `${wanted.protocol.replace("ws", "http")}//${wanted.host}`;
    const target = this.#options.ingress?.[key] ?? this.#options.ingress?.[wanted.origin];
    if (target === undefined) return wanted;
    const local = new URL(target);
    return new URL(`${local.origin}${wanted.pathname}${wanted.search}`);
  }

  isMapped(url: string): boolean {
    return this.resolve(url).href !== new URL(url).href;
  }

  /** Sends a request and reads the answer. Rejects on network errors, time-out and abort. */
  async post(url: string, options: PostOptions): Promise<PostAnswer> {
    const ending = new AbortController();
    const abort = () => ending.abort(options.signal.reason);
    options.signal.throwIfAborted();
    // A signal of signals would be remembered by the one that lives as long as the emulator.
    options.signal.addEventListener("abort", abort, { once: true });
    using _timer = this.#options.clock.after(options.timeoutMs, () =>
      ending.abort(new Error(`no answer from ${url} within ${options.timeoutMs} ms`)),
    );
    try {
      const response = await this.#send(url, options, ending.signal);
      const bytes = await buffer(limited(response, options.limitBytes ?? ANSWER_LIMIT_BYTES));
      const { statusCode = 0, headers } = response;
      return { status: statusCode, headers, bytes, body: bytes.toString() };
    } finally {
      options.signal.removeEventListener("abort", abort);
    }
  }

  /** Dials a WebSocket; http and https URLs are taken as ws and wss. */
  webSocket(url: string, headers: Readonly<Record<string, string>>): WebSocket {
    const target = this.resolve(url);
    target.protocol = target.protocol.replace("http", "ws");
    return new WebSocket(target, {
      headers,
      perMessageDeflate: false,
      maxPayload: 16 * 1024 * 1024,
      handshakeTimeout: 10_000,
      ...this.#trust(),
    });
  }

  [Symbol.dispose](): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /** An idle connection may close just as it is used again; then the request goes out anew. */
  async #send(url: string, options: PostOptions, signal: AbortSignal): Promise<IncomingMessage> {
    const target = this.resolve(url);
    const pool = target.protocol === "https:" ? this.#https : this.#http;
    const first = this.#request(target, options, { agent: pool, signal });
    try {
      return await first.response;
    } catch (error) {
      if (signal.aborted || !first.request.reusedSocket || !isReset(error)) throw error;
      return this.#request(target, options, { agent: false, signal }).response;
    }
  }

  #request(
    target: URL,
    options: PostOptions,
    { agent, signal }: { agent: HttpAgent | HttpsAgent | false; signal: AbortSignal },
  ): { request: ClientRequest; response: Promise<IncomingMessage> } {
    const body = Buffer.from(options.body ?? "");
    const headers = { ...options.headers, "Content-Length": String(body.length) };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const isSecure = target.protocol === "https:";
    const request = (isSecure ? httpsRequest : httpRequest)(target, {
      method: options.method ?? "POST",
      agent,
      headers,
      signal,
      ...(isSecure ? this.#trust() : {}),
    });
    request.on("response", resolve);
    request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    // A 101 that nobody asked for ends a request without an error and without a response.
    request.on("close", () => reject(new Error(`${target.origin} gave no HTTP answer`)));
    request.end(body);
    return { request, response: promise };
  }

  #trust() {
    const { ca } = this.#options;
    return ca === undefined ? {} : { ca: [...rootCertificates, ...ca] };
  }
}

function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNRESET";
}

async function* limited(response: IncomingMessage, limitBytes: number): AsyncGenerator<Buffer> {
  let lengthBytes = 0;
  for await (const chunk of response) {
    const piece: Buffer = chunk;
    lengthBytes += piece.length;
    if (lengthBytes > limitBytes) throw new Error(`the answer is longer than ${limitBytes} bytes`);
    yield piece;
  }
}
