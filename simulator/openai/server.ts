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
import type { Backing } from "./dialogue-player.ts";
import {
  BAD_REQUEST,
  breakOff,
  clientLeft,
  DEPLOYMENT_NOT_FOUND,
  errorBody,
  leftDuring,
  NOT_FOUND,
  parseJson,
  plannedFailure,
  presentedKey,
  readBody,
  sendError,
  sendJson,
  targetOf,
  toFailure,
  UNAUTHORISED,
} from "./exchange.ts";
import { ScriptedModel } from "./model.ts";
import { RealtimeEndpoint, type RealtimeOptions } from "./realtime/endpoint.ts";
import { type ChatRequest, readChatRequest } from "./request.ts";
import { ResponsesService } from "./responses-service.ts";
import type { Broken, Failure, Reply, Script } from "./script.ts";
import { TokenStream } from "./token-stream.ts";

export interface OpenAiOptions {
  clock: Clock;
  trace?: PartyTrace;
  faults?: FaultPlan;
  script: Script;
  /** Answers chat completions that no rule of the script matches. */
  backing?: Backing;
  /** Answers what is left. Default: 404 `linecheck_unscripted`. */
  fallback?: Script;
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
  /** So many tokens come at once, after as many pauses: Azure's filter sends what it has looked at. Default 1. */
  burstTokens?: number;
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
  readonly api: "chat" | "responses";
  readonly azure: boolean;
  /** Whether the query has to name an `api-version`. */
  readonly versioned: boolean;
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
      service.close();
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
  /** Requests whose client went away before the answer was complete. */
  aborted = 0;
  #served = 0;
  #closing = false;
  readonly #options: OpenAiOptions;
  readonly #model: ScriptedModel;
  readonly #trace: PartyTrace;
  readonly #tokens: TokenStream;
  readonly #responses: ResponsesService;

  constructor(options: OpenAiOptions, model: ScriptedModel) {
    this.#options = options;
    this.#model = model;
    this.#trace = options.trace ?? silentTrace;
    this.#tokens = new TokenStream(options, model);
    this.#responses = new ResponsesService({ ...options, model, stream: this.#tokens });
  }

  /** From now on it is the service that ends connections. */
  close(): void {
    this.#closing = true;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = this.#options.clock.now();
    const traced = { request: undefined as unknown, answer: undefined as unknown };
    response.once("close", () => {
      const left = clientLeft(response) && !this.#closing;
      if (left) this.#left();
      const error = left ? "the client went away" : "broken off";
      this.#trace.record({
        type: "http",
        direction: "in",
        service: "openai",
        method: request.method ?? "",
        target: request.url ?? "",
        ...(response.headersSent ? { status: response.statusCode } : { status: 0, error }),
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

  #left(): void {
    this.aborted += 1;
    this.#trace.record({
      type: "model",
      kind: "abort",
      detail: "the client closed the connection",
    });
  }

  async #serve(exchange: Exchange): Promise<unknown> {
    const { request, response, body } = exchange;
    const route = this.#route(request);
    if ("status" in route) return sendError(response, route);
    const planned = this.#model.strike("openai.status");
    if (planned !== undefined) return sendError(response, plannedFailure(planned));
    const json = parseJson(body);
    if (route.api === "responses") return this.#responses.serve(response, json, route.azure);
    const chat = readChatRequest(json, route.deployment);
    if (route.azure && !this.#options.deployments.includes(chat.model))
      return sendError(response, DEPLOYMENT_NOT_FOUND);
    const routed = { ...exchange, route };
    const reply = this.#model.scripted(chat.conversation);
    if (reply !== undefined) return this.#send(reply, chat, routed);
    const served = await this.#options.backing?.serve(chat.body, response);
    return served === undefined || served.kind === "unknown"
      ? this.#send(this.#model.otherwise(chat.conversation, served?.why), chat, routed)
      : this.#model.said(served.answer);
  }

  /** Checks credentials, path and deployment in the service's order. */
  #route(request: IncomingMessage): Route | Failure {
    const { keys, deployments } = this.#options;
    const url = targetOf(request);
    if (url === undefined) return BAD_REQUEST;
    const route = routeOf(url.pathname);
    if (!keys.includes(presentedKey(request) ?? "")) return UNAUTHORISED;
    if (route === undefined) return NOT_FOUND;
    if (request.method !== "POST") return { status: 405, message: "Method Not Allowed" };
    if (route.versioned && !url.searchParams.has("api-version")) return NOT_FOUND;
    const { deployment } = route;
    return deployment === undefined || deployments.includes(deployment)
      ? route
      : DEPLOYMENT_NOT_FOUND;
  }

  async #send(reply: Reply, chat: ChatRequest, exchange: RoutedExchange): Promise<unknown> {
    const { response, route } = exchange;
    if (reply.kind === "failure") return sendError(response, reply.failure);
    if (reply.kind === "stall" && reply.at === "headers") return "stalled before the headers";
    const format = this.#format(chat, route);
    if (reply.kind === "error" || reply.kind === "stall" || reply.kind === "drop")
      return this.#breakOff(reply, chat.stream, { response, format });
    if (!chat.stream) {
      const waited = await this.#tokens.think(response);
      if (!waited) return leftDuring(reply);
      return sendJson(response, 200, completionBody(reply, format));
    }
    const complete = await this.#stream(response, streamPieces(reply, format));
    if (complete) response.end("data: [DONE]\n\n");
    return complete ? reply : leftDuring(reply);
  }

  /** An error is one more event of the stream; there is no `[DONE]` behind it. */
  async #breakOff(
    reply: Broken,
    stream: boolean,
    { response, format }: { response: ServerResponse; format: ChatFormat },
  ): Promise<unknown> {
    const { kind, afterText = "" } = reply;
    if (kind === "error" && !stream) return sendError(response, reply.failure);
    const pieces = brokenPieces(afterText, format);
    if (kind === "error") pieces.push({ chunk: { ...errorBody(reply.failure) }, pace: "now" });
    const complete = await this.#stream(response, pieces);
    if (kind === "drop") breakOff(response);
    if (kind === "error" && complete) response.end();
    return `${kind} after ${JSON.stringify(afterText)}`;
  }

  #stream(response: ServerResponse, pieces: readonly StreamPiece[]): Promise<boolean> {
    const events = pieces.map(({ chunk, pace }) => ({
      pace,
      text: `data: ${JSON.stringify(chunk)}\n\n`,
    }));
    return this.#tokens.send(response, events);
  }

  #format(chat: ChatRequest, route: Route): ChatFormat {
    const serial = String(++this.#served).padStart(6, "0");
    return {
      id: `chatcmpl-lab${serial}`,
      model: chat.model,
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

/** Azure's older paths carry a version, and for chat the deployment; the others are OpenAI's own. */
function routeOf(path: string): Route | undefined {
  const api = path.endsWith("/responses") ? "responses" : "chat";
  const older = /^\/openai\/(?:deployments\/([^/]+)\/chat\/completions|responses)$/.exec(path);
  // No name of a deployment needs an escape; one that is malformed is unknown like any other.
  if (older !== null) return { api, azure: true, versioned: true, deployment: older[1] };
  const current = /^\/(openai\/)?v1\/(?:chat\/completions|responses)$/.exec(path);
  if (current === null) return undefined;
  return { api, azure: current[1] !== undefined, versioned: false, deployment: undefined };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: string;
}

type RoutedExchange = Exchange & { readonly route: Route };
