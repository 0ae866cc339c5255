import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import {
  brokenPieces,
  type ChatFormat,
  completionBody,
  type StreamPiece,
  streamPieces,
} from "./chat.ts";
import {
  DEPLOYMENT_NOT_FOUND,
  NOT_FOUND,
  parseJson,
  plannedFailure,
  presentedKey,
  readBody,
  sendError,
  sendJson,
  toFailure,
  UNAUTHORISED,
  written,
} from "./exchange.ts";
import { ScriptedModel } from "./model.ts";
import { RealtimeEndpoint, type RealtimeOptions } from "./realtime/endpoint.ts";
import { type ChatRequest, readChatRequest } from "./request.ts";
import type { Failure, Reply, Script } from "./script.ts";

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
  /** Left out: no Realtime interface. */
  realtime?: RealtimeOptions;
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
  const model = new ScriptedModel(options);
  const service = new ChatService(options, model);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void service.handle(request, response);
  };
  const server = options.tls ? createSecureServer(options.tls, listener) : createServer(listener);
  const realtime = attachRealtime(server, options, model);
  const host = options.host ?? "127.0.0.1";
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(options.port ?? 0, host, resolve);
  });
  // A server that listens on a port always has this form of address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `${options.tls ? "https" : "http"}://${host}:${port}`,
    get unmatched() {
      return model.unmatched;
    },
    get aborted() {
      return service.aborted;
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => {
        server.close(resolve);
      });
      realtime?.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function attachRealtime(
  server: Server,
  { realtime, trace = silentTrace, clock, keys, deployments }: OpenAiOptions,
  model: ScriptedModel,
): RealtimeEndpoint | undefined {
  if (realtime === undefined) return undefined;
  const otherDeployments = deployments;
  const endpoint = new RealtimeEndpoint({
    ...realtime,
    clock,
    trace,
    model,
    keys,
    otherDeployments,
  });
  server.on("upgrade", (request, socket, head) => endpoint.upgrade(request, socket, head));
  return endpoint;
}

class ChatService {
  aborted = 0;
  #served = 0;
  readonly #options: OpenAiOptions;
  readonly #model: ScriptedModel;
  readonly #trace: PartyTrace;

  constructor(options: OpenAiOptions, model: ScriptedModel) {
    this.#options = options;
    this.#model = model;
    this.#trace = options.trace ?? silentTrace;
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
    const planned = this.#model.strike("openai.status");
    if (planned !== undefined) return sendError(response, plannedFailure(planned));
    const chat = readChatRequest(parseJson(body));
    const reply = this.#model.answer(chat.conversation);
    return this.#send(reply, chat, { ...exchange, route });
  }

  /** Checks credentials, path and deployment in the service's order. */
  #route(request: IncomingMessage): Route | Failure {
    const url = new URL(request.url ?? "/", "http://host");
    const azure = /^\/openai\/deployments\/([^/]+)\/chat\/completions$/.exec(url.pathname);
    const plain = /^\/(openai\/)?v1\/chat\/completions$/.exec(url.pathname);
    if (!this.#options.keys.includes(presentedKey(request) ?? "")) return UNAUTHORISED;
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
    return Number(this.#model.strike("openai.slow")?.["firstTokenMs"] ?? firstTokenMs);
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
