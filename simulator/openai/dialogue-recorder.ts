import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import {
  type AskedRequest,
  askedOf,
  type Exchange,
  type RecordedAnswer,
  writeDialogue,
} from "./dialogue.ts";
import { Mask } from "./dialogue-mask.ts";
import { type Backing, contentOf, type Served } from "./dialogue-player.ts";
import { readEvents } from "./event-stream.ts";
import { breakOff } from "./exchange.ts";

/** A real service for chat completions. */
export interface ModelEndpoint {
  /**
   * `https://RESOURCE.openai.azure.com/openai/deployments/NAME/chat/completions?api-version=…`,
   * `https://api.openai.com/v1`, or whatever speaks the same; `/chat/completions` may be left out.
   */
  readonly url: string;
  /** Sent as `api-key` where the path begins with `/openai/`, as a bearer token elsewhere. */
  readonly key: string;
  /** Replaces the model's name in requests. Default: what the client asks for. */
  readonly model?: string;
}

export interface RecorderOptions {
  readonly clock: Clock;
  readonly trace?: PartyTrace;
  readonly endpoint: ModelEndpoint;
  /** Where the dialogue is written when the recorder is closed. */
  readonly file: string;
  /** Names of people that are hidden in the recording. */
  readonly names: readonly string[];
  /** For a whole answer. Default 120,000. */
  readonly timeoutMs?: number;
}

const ANSWER_TIMEOUT_MS = 120_000;
const LIMIT_EXCHANGES = 1000;
const LEAST_KEY_CHARACTERS = 8;
const LIMIT_ANSWER_BYTES = 4 * 1024 * 1024;
/** Headers a client of the service acts on. */
const HEADERS = ["content-type", "retry-after", "retry-after-ms", "x-should-retry"];
/** These say that the endpoint or its key is wrong; a dialogue has no use for them. */
const MISDIRECTED = new Set([401, 403, 404]);

/**
 * Forwards each request to a real model and its answer to the client, unchanged and as it comes; what
 * passed is written down without keys and personal data. An answer whose client goes away is
 * recorded to its end all the same.
 */
export function recordDialogue(options: RecorderOptions): Backing {
  return new Recorder(options);
}

class Recorder implements Backing {
  readonly #options: RecorderOptions;
  readonly #exchanges: (Exchange | undefined)[] = [];
  readonly #reading = new Set<Promise<Served>>();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  serve(body: Readonly<Record<string, unknown>>, response: ServerResponse): Promise<Served> {
    const served = this.#serve(body, response);
    this.#reading.add(served);
    return served.finally(() => this.#reading.delete(served));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#reading);
    const exchanges = this.#exchanges.filter((each) => each !== undefined);
    this.#exchanges.length = 0;
    if (exchanges.length === 0) return;
    const recorded = this.#options.clock.date().toISOString().slice(0, 10);
    writeDialogue(this.#options.file, { v: 1, recorded, exchanges });
  }

  async #serve(body: Readonly<Record<string, unknown>>, response: ServerResponse): Promise<Served> {
    if (this.#exchanges.length >= LIMIT_EXCHANGES) {
      return { kind: "unknown", why: `a dialogue has at most ${LIMIT_EXCHANGES} exchanges` };
    }
    const place = this.#exchanges.push(undefined) - 1;
    try {
      const answer = await this.#forward(body, response);
      if (MISDIRECTED.has(answer.status)) this.#refused(answer);
      else this.#exchanges[place] = this.#hidden(body, answer);
      return { kind: "answered", answer: contentOf(answer) };
    } catch (error) {
      return this.#failed(error, response);
    }
  }

  /** Passes the answer on while it comes; resolves with all of it. */
  async #forward(
    body: Readonly<Record<string, unknown>>,
    client: ServerResponse,
  ): Promise<RecordedAnswer> {
    const { clock, endpoint, timeoutMs = ANSWER_TIMEOUT_MS } = this.#options;
    const overdue = new AbortController();
    using _deadline = clock.after(timeoutMs, () =>
      overdue.abort(new Error(`no complete answer within ${timeoutMs} ms`)),
    );
    const startedMs = clock.now();
    const answer = await fetch(addressOf(endpoint), {
      method: "POST",
      headers: { "content-type": "application/json", ...credentialsOf(endpoint) },
      body: JSON.stringify(
        endpoint.model === undefined ? body : { ...body, model: endpoint.model },
      ),
      signal: overdue.signal,
    });
    const { status } = answer;
    const headers = Object.fromEntries(
      HEADERS.flatMap((name) => {
        const value = answer.headers.get(name);
        return value === null ? [] : [[name, value]];
      }),
    );
    client.writeHead(status, headers);
    client.flushHeaders();
    const bytes = limited(answer.body ?? [], client);
    const isStream = headers["content-type"]?.startsWith("text/event-stream") ?? false;
    if (!isStream) {
      const text = await textOf(bytes);
      client.end();
      return { status, headers, afterMs: Math.round(clock.now() - startedMs), body: jsonOf(text) };
    }
    const pieces: [number, unknown][] = [];
    for await (const data of readEvents(bytes)) {
      pieces.push([Math.round(clock.now() - startedMs), jsonOf(data)]);
    }
    client.end();
    return { status, headers, pieces };
  }

  #hidden(body: Readonly<Record<string, unknown>>, answer: RecordedAnswer): Exchange {
    const { names, endpoint } = this.#options;
    return hidden(body, answer, new Mask(names, secretsOf(endpoint)));
  }

  #refused({ status, body }: RecordedAnswer): void {
    const message = `${this.#options.endpoint.url} answers ${status}: ${JSON.stringify(body)}`;
    this.#trace("MODEL_ENDPOINT_REFUSED", message);
  }

  /** The endpoint cannot be reached, or broke off: the client sees that too, and nothing is recorded. */
  #failed(error: unknown, client: ServerResponse): Served {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#trace("MODEL_ENDPOINT_FAILED", `${this.#options.endpoint.url}: ${reason}`);
    if (client.headersSent) {
      breakOff(client);
      return { kind: "answered", answer: `broken off: ${reason}` };
    }
    return { kind: "unknown", why: `the model's endpoint gave no answer: ${reason}` };
  }

  #trace(code: string, message: string): void {
    (this.#options.trace ?? silentTrace).record({ type: "error", code, message });
  }
}

function addressOf({ url }: ModelEndpoint): URL {
  const address = new URL(url);
  if (!address.pathname.endsWith("/chat/completions")) {
    address.pathname = `${address.pathname.replace(/\/$/, "")}/chat/completions`;
  }
  return address;
}

function credentialsOf(endpoint: ModelEndpoint): Record<string, string> {
  return addressOf(endpoint).pathname.startsWith("/openai/")
    ? { "api-key": endpoint.key }
    : { authorization: `Bearer ${endpoint.key}` };
}

/**
 * What an answer may echo of the endpoint. A name without a dot may be any word, and what a local
 * service takes for a key is often none.
 */
function secretsOf(endpoint: ModelEndpoint): string[] {
  const { host, hostname } = addressOf(endpoint);
  const addresses = [host, hostname].filter((name) => /[.:]/.test(name));
  return endpoint.key.length < LEAST_KEY_CHARACTERS ? addresses : [endpoint.key, ...addresses];
}

/** The bytes of an answer, passed on to the client on the way. */
async function* limited(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  client: ServerResponse,
): AsyncGenerator<Uint8Array> {
  let lengthBytes = 0;
  for await (const part of bytes) {
    lengthBytes += part.length;
    if (lengthBytes > LIMIT_ANSWER_BYTES) {
      throw new Error(`answer above ${LIMIT_ANSWER_BYTES} bytes`);
    }
    if (!client.destroyed) client.write(part);
    yield part;
  }
}

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(bytes)).toString("utf8");
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // `[DONE]`, and what a proxy on the way says in plain words.
    return text;
  }
}

/** The answer continues the request's numbers, as it continues the conversation. */
function hidden(
  body: Readonly<Record<string, unknown>>,
  answer: RecordedAnswer,
  mask: Mask,
): Exchange {
  // Only texts change.
  const request = mask.hideAll(askedOf(body)) as AskedRequest;
  if (answer.pieces === undefined) {
    return { request, answer: { ...answer, body: mask.hideAll(answer.body) } };
  }
  const data = mask.hideStream(answer.pieces.map(([, piece]) => piece));
  const pieces = answer.pieces.map(([atMs], index): [number, unknown] => [atMs, data[index]]);
  return { request, answer: { ...answer, pieces } };
}
