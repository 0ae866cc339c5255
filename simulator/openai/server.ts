import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../clock.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import {
  brokenPieces,
  type ChatFormat,
  completionBody,
  type StreamPiece,
  streamPieces,
} from "./chat.ts";
import { type ChatRequest, InvalidRequest, readChatRequest } from "./request.ts";
import type { Conversation, Failure, Reply, Script } from "./script.ts";

/** Bodies above this are refused with 413. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

export interface OpenAiOptions {
  clock: Clock;
  trace?: PartyTrace;
  faults?: FaultPlan;
  script: Script;
  /** Accepted keys, for `api-key` and for Bearer. */
  keys: readonly string[];
  /** Deployment names; any other is 404 `DeploymentNotFound`. */
  deployments: readonly string[];
  host?: string;
  /** Default 0: any free port. */
  port?: number;
  /** With a key and certificate the service speaks https. */
  tls?: { key: string; cert: string };
  /** From the request to the first token. Default 150 ms. */
  firstTokenMs?: number;
  /** Between tokens. Default 15 ms. */
  tokenMs?: number;
}

export interface OpenAi extends AsyncDisposable {
  readonly url: string;
  /** Requests that no rule answered: the last user or tool message of each. */
  readonly unmatched: readonly string[];
  /** Requests whose client went away before the answer was complete. */
  readonly aborted: number;
}

interface Route {
  readonly azure: boolean;
  readonly deployment: string | undefined;
}

/** Starts an Azure OpenAI resource (and the plain `/v1` paths) that says what the script says. */
export async function startOpenAi(options: OpenAiOptions): Promise<OpenAi> {
  const service = new ChatService(options);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void service.handle(request, response);
  };
  const server = options.tls ? createSecureServer(options.tls, listener) : createServer(listener);
  const host = options.host ?? "127.0.0.1";
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(options.port ?? 0, host, resolve);
  });
  // A server that listens on a port always has this form of address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `${options.tls ? "https" : "http"}://${host}:${port}`,
    get unmatched() {
      return service.unmatched;
    },
    get aborted() {
      return service.aborted;
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => {
        server.close(resolve);
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

class ChatService {
  readonly unmatched: string[] = [];
  aborted = 0;
  #served = 0;
  readonly #options: OpenAiOptions;
  readonly #trace: PartyTrace;
  readonly #faults: FaultPlan;

  constructor(options: OpenAiOptions) {
    this.#options = options;
    this.#trace = options.trace ?? silentTrace;
    this.#faults = options.faults ?? faultPlan();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = this.#options.clock.now();
    const traced = { request: undefined as unknown, answer: undefined as unknown };
    response.once("close", () => {
      this.#trace.record({
        type: "http",
        direction: "in",
        service: "openai",
        method: request.method ?? "",
        target: request.url ?? "",
        status: response.statusCode,
        request: traced.request,
        response: traced.answer,
        durationMs: this.#options.clock.now() - startedMs,
      });
    });
    try {
      const body = await readBody(request);
      traced.request = body;
      traced.answer = await this.#serve({ request, response, body });
    } catch (error) {
      traced.answer = sendError(response, toFailure(error));
    }
  }

  async #serve(exchange: Exchange): Promise<unknown> {
    const { request, response, body } = exchange;
    const route = this.#route(request);
    if ("status" in route) return sendError(response, route);
    const planned = this.#strike("openai.status");
    if (planned !== undefined) return sendError(response, plannedFailure(planned));
    const chat = readChatRequest(parseJson(body));
    const reply = this.#answer(chat.conversation);
    return this.#send(reply, chat, { ...exchange, route });
  }

  /** Checks credentials, path and deployment in the service's order. */
  #route(request: IncomingMessage): Route | Failure {
    const url = new URL(request.url ?? "/", "http://host");
    const azure = /^\/openai\/deployments\/([^/]+)\/chat\/completions$/.exec(url.pathname);
    const plain = /^\/(openai\/)?v1\/chat\/completions$/.exec(url.pathname);
    if (!this.#authorised(request)) return UNAUTHORISED;
    if (azure === null && plain === null) return NOT_FOUND;
    if (request.method !== "POST") return { status: 405, message: "Method Not Allowed" };
    if (azure === null) return { azure: plain?.[1] !== undefined, deployment: undefined };
    if (!url.searchParams.has("api-version")) return NOT_FOUND;
    // No name of a deployment needs an escape; one that is malformed is unknown like any other.
    const deployment = azure[1] ?? "";
    return this.#options.deployments.includes(deployment)
      ? { azure: true, deployment }
      : DEPLOYMENT_NOT_FOUND;
  }

  #authorised({ headers }: IncomingMessage): boolean {
    const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
    const key = headers["api-key"] ?? bearer;
    return typeof key === "string" && this.#options.keys.includes(key);
  }

  #answer(conversation: Conversation): Reply {
    const last = conversation.messages.at(-1);
    const reply = this.#options.script.answer(conversation);
    this.#trace.record({
      type: "model",
      kind: "prompt",
      detail: { role: last?.role, content: last?.content },
    });
    if (reply === undefined) {
      return this.#unscripted(`${last?.role}: ${last?.content}`, "no rule of the script matches");
    }
    const unknown =
      reply.kind === "tools" && reply.calls.find((call) => !conversation.tools.includes(call.name));
    if (unknown && this.#strike("openai.unknown-tool") === undefined) {
      return this.#unscripted(
        `tool ${unknown.name}`,
        `the script calls a tool that the agent did not offer (offered: ${conversation.tools.join(", ") || "none"})`,
      );
    }
    this.#trace.record({
      type: "model",
      kind: reply.kind === "tools" ? "toolCall" : "reply",
      detail: reply,
    });
    return reply;
  }

  #unscripted(what: string, why: string): Reply {
    this.unmatched.push(what);
    this.#trace.record({ type: "model", kind: "unmatched", detail: { prompt: what, why } });
    return {
      kind: "failure",
      failure: { status: 404, code: "linecheck_unscripted", message: `${why}: ${what}` },
    };
  }

  async #send(reply: Reply, chat: ChatRequest, exchange: RoutedExchange): Promise<unknown> {
    const { response, route } = exchange;
    if (reply.kind === "failure") return sendError(response, reply.failure);
    if (reply.kind === "stall" && reply.at === "headers") return "stalled before the headers";
    const format = this.#format(chat, route);
    if (reply.kind === "stall" || reply.kind === "drop") {
      await this.#stream(response, brokenPieces(reply.afterText ?? "", format));
      if (reply.kind === "drop") response.destroy();
      return `${reply.kind} after ${JSON.stringify(reply.afterText)}`;
    }
    if (!chat.stream) {
      await this.#options.clock.sleep(this.#firstTokenMs);
      return sendJson(response, 200, completionBody(reply, format));
    }
    const complete = await this.#stream(response, streamPieces(reply, format));
    if (complete) response.end("data: [DONE]\n\n");
    return complete ? reply : `client left during ${JSON.stringify(reply)}`;
  }

  /** Sends the pieces at the model's cadence; false when the client went away meanwhile. */
  async #stream(response: ServerResponse, pieces: readonly StreamPiece[]): Promise<boolean> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-ms-region": "Lab",
    });
    response.flushHeaders();
    const pauses = { now: 0, firstToken: this.#firstTokenMs, token: this.#options.tokenMs ?? 15 };
    try {
      for (const { chunk, pace } of pieces) {
        if (pauses[pace] > 0)
          await this.#options.clock.sleep(pauses[pace], { signal: gone.signal });
        await written(response, `data: ${JSON.stringify(chunk)}\n\n`);
      }
      return !gone.signal.aborted;
    } catch (error) {
      if (!gone.signal.aborted) throw error;
      this.aborted += 1;
      this.#trace.record({ type: "model", kind: "abort", detail: "the client closed the stream" });
      return false;
    }
  }

  get #firstTokenMs(): number {
    const { firstTokenMs = 150 } = this.#options;
    return Number(this.#strike("openai.slow")?.["firstTokenMs"] ?? firstTokenMs);
  }

  /** The fault's parameters if it strikes now; the trace says so. */
  #strike(name: string): ReturnType<FaultPlan["strike"]> {
    const detail = this.#faults.strike(name);
    if (detail !== undefined) this.#trace.record({ type: "fault", name, detail });
    return detail;
  }

  #format(chat: ChatRequest, route: Route): ChatFormat {
    const serial = String(++this.#served).padStart(6, "0");
    return {
      id: `chatcmpl-lab${serial}`,
      model: route.deployment ?? chat.model,
      created: Math.floor(this.#options.clock.date().getTime() / 1000),
      azure: route.azure,
      includeUsage: chat.includeUsage,
      promptTokens: chat.conversation.messages.reduce(
        (sum, message) => sum + Math.ceil(message.content.length / 4),
        0,
      ),
    };
  }
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: string;
}

type RoutedExchange = Exchange & { readonly route: Route };

const UNAUTHORISED: Failure = {
  status: 401,
  code: "401",
  message:
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
};
const NOT_FOUND: Failure = { status: 404, code: "404", message: "Resource not found" };
const DEPLOYMENT_NOT_FOUND: Failure = {
  status: 404,
  code: "DeploymentNotFound",
  message:
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.",
};

/** Resolves when the text is with the kernel, or the client is gone: a reset loses nothing before it. */
function written(response: ServerResponse, text: string): Promise<void> {
  return new Promise((resolve) => {
    response.write(text, () => resolve());
  });
}

class BodyTooLarge extends Error {
  readonly code = "BODY_TOO_LARGE";
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    lengthBytes += part.length;
    if (lengthBytes > BODY_LIMIT_BYTES)
      throw new BodyTooLarge(`body above ${BODY_LIMIT_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidRequest(
      "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)",
      "body",
    );
  }
}

function toFailure(error: unknown): Failure {
  if (error instanceof InvalidRequest)
    return { status: 400, code: error.code, message: error.message, param: error.param };
  if (error instanceof BodyTooLarge) return { status: 413, code: "413", message: error.message };
  return { status: 500, code: "internal_error", message: String(error) };
}

function plannedFailure(planned: Readonly<Record<string, string | number | boolean>>): Failure {
  const { status = 500, code, message, retryAfterMs } = planned;
  return {
    status: Number(status),
    ...(code === undefined ? {} : { code: String(code) }),
    ...(message === undefined ? {} : { message: String(message) }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs: Number(retryAfterMs) }),
  };
}

function sendError(response: ServerResponse, failure: Failure): unknown {
  if (response.headersSent || response.destroyed) return failure;
  const { status, code = String(status), message = `status ${status}` } = failure;
  const headers: Record<string, string> = {};
  if (failure.retryAfterS !== undefined) headers["retry-after"] = String(failure.retryAfterS);
  if (failure.retryAfterMs !== undefined) headers["retry-after-ms"] = String(failure.retryAfterMs);
  const invalid =
    code === "invalid_request_error" ? { type: code, param: failure.param ?? null } : {};
  return sendJson(response, status, { error: { code, message, ...invalid } }, headers);
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): unknown {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
  return body;
}
