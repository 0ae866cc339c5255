import type { IncomingMessage, ServerResponse } from "node:http";
import type { Doorkeeper, Verdict } from "./callback-auth.ts";
import type { Calls, Reception } from "./calls.ts";
import { type EventGridMessage, parseEventGrid, parseMidCallEvents } from "./events.ts";
import type { Forwarding } from "./takeover.ts";
import { describeError, type Logger } from "./telemetry.ts";

export interface WebhookOptions {
  readonly calls: Calls;
  readonly doorkeeper: Doorkeeper;
  readonly logger: Logger;
  /** Throws what keeps the agent from taking calls. */
  readonly checkReady: () => void | Promise<void>;
}

/** What a request is answered with; no body means an empty one. */
interface Reply {
  readonly status: number;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Event Grid delivers at most one megabyte. */
const BODY_LIMIT_BYTES = 1_048_576;

type Handler = (
  request: IncomingMessage,
  url: URL,
  options: WebhookOptions,
) => Promise<Reply> | Reply;

interface Route {
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
}

const ROUTES: readonly Route[] = [
  { path: /^\/events$/, methods: { POST: receiveEvents, OPTIONS: allowWebhook } },
  { path: /^\/callbacks\/[\w-]{1,64}$/, methods: { POST: receiveCallback } },
  { path: /^\/healthz$/, methods: { GET: () => ({ status: 200, body: { status: "ok" } }) } },
  { path: /^\/readyz$/, methods: { GET: reportReady } },
];

/** Answers every request, whatever happens inside. */
export async function answerRequest(
  request: IncomingMessage,
  response: ServerResponse,
  options: WebhookOptions,
): Promise<void> {
  let reply: Reply = { status: 500 };
  try {
    reply = await route(request, options);
  } catch (error) {
    if (error instanceof Refusal) reply = { status: error.status };
    else options.logger.error({ err: describeError(error) }, "request failed");
  }
  const body = reply.body === undefined ? "" : JSON.stringify(reply.body);
  const type = { "Content-Type": "application/json; charset=utf-8" };
  // What is left of a refused body is not worth reading.
  const close = reply.status === 413 ? { Connection: "close" } : {};
  response.writeHead(reply.status, {
    ...(body !== "" && type),
    ...close,
    ...reply.headers,
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

function route(request: IncomingMessage, options: WebhookOptions): Promise<Reply> | Reply {
  const url = URL.parse(request.url ?? "/", "http://agent");
  const found = ROUTES.find(({ path }) => path.test(url?.pathname ?? ""));
  if (url === null || found === undefined) return { status: 404 };
  const handler = found.methods[request.method ?? ""];
  if (handler !== undefined) return handler(request, url, options);
  return { status: 405, headers: { Allow: Object.keys(found.methods).join(", ") } };
}

async function receiveEvents(
  request: IncomingMessage,
  url: URL,
  options: WebhookOptions,
): Promise<Reply> {
  admit(options.doorkeeper.eventGrid(url), options.logger, "event grid");
  const messages = parseEventGrid(await readJson(request));
  if (messages === undefined) throw new Refusal(400);
  const validation = messages.find((message) => message.type === "validation");
  // Event Grid accepts 200 and this body only; a chunked answer has failed validation before.
  if (validation !== undefined)
    return { status: 200, body: { validationResponse: validation.code } };
  const receptions = await Promise.all(messages.map((message) => receiveMessage(message, options)));
  // Event Grid tries again later, when another replica or a free line may take the call.
  return { status: receptions.includes("draining") ? 503 : 200 };
}

async function receiveMessage(
  message: EventGridMessage,
  { calls, logger }: WebhookOptions,
): Promise<Reception | undefined> {
  if (message.type !== "incoming") return undefined;
  if (message.call.incomingCallContext === "") throw new Refusal(400);
  const reception = await calls.receive(message.call);
  logger.debug({ reception }, "IncomingCall");
  return reception;
}

/** The handshake of CloudEvents subscriptions (CloudEvents HTTP 1.1 Web Hooks, §4). */
function allowWebhook(request: IncomingMessage, url: URL, options: WebhookOptions): Reply {
  admit(options.doorkeeper.eventGrid(url), options.logger, "event grid");
  const origin = request.headers["webhook-request-origin"];
  if (typeof origin !== "string") return { status: 400 };
  return {
    status: 200,
    headers: { "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*" },
  };
}

async function receiveCallback(
  request: IncomingMessage,
  url: URL,
  options: WebhookOptions,
): Promise<Reply> {
  const { calls, doorkeeper, logger } = options;
  admit(await doorkeeper.callAutomation(request.headers.authorization), logger, "callback");
  const events = parseMidCallEvents(await readJson(request));
  if (events === undefined) throw new Refusal(400);
  const callId = url.pathname.slice("/callbacks/".length);
  return { status: STATUS_OF[await calls.deliver(callId, events)] };
}

const STATUS_OF: Readonly<Record<Forwarding, number>> = {
  delivered: 200,
  unknown: 404,
  unavailable: 503,
};

async function reportReady(
  _request: IncomingMessage,
  _url: URL,
  options: WebhookOptions,
): Promise<Reply> {
  const { calls, checkReady, logger } = options;
  if (calls.draining) return { status: 503, body: { status: "draining" } };
  try {
    await checkReady();
    return { status: 200, body: { status: "ready" } };
  } catch (error) {
    logger.warn({ err: describeError(error) }, "not ready");
    return { status: 503, body: { status: "not ready" } };
  }
}

/** A request that ends here with this status. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

function admit(verdict: Verdict, logger: Logger, sender: string): void {
  if (verdict.allowed) return;
  logger.warn({ sender, why: verdict.why }, "sender was turned away");
  throw new Refusal(401);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  if (Number(request.headers["content-length"] ?? 0) > BODY_LIMIT_BYTES) throw new Refusal(413);
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of request) {
    lengthBytes += chunk.length;
    if (lengthBytes > BODY_LIMIT_BYTES) throw new Refusal(413);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    // Not JSON: the sender's fault, and answered as such.
    throw new Refusal(400);
  }
}
