import type { IncomingMessage, ServerResponse } from "node:http";
import type { Core } from "./core.ts";
import { DISCOVERY_PATH, KEYS_PATH } from "./issuer.ts";
import type { Reply } from "./operation.ts";
import type { Rest } from "./rest.ts";

/** Largest request body read. */
const BODY_LIMIT_BYTES = 1024 * 1024;

/** What a listener does with each request: reads it, has it answered, traces both. */
export function requestListener(core: Core, rest: Rest, secure: boolean) {
  return (request: IncomingMessage, response: ServerResponse) => {
    core.background.run("request", () => exchange({ core, rest, secure }, request, response));
  };
}

async function exchange(
  { core, rest, secure }: { core: Core; rest: Rest; secure: boolean },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startMs = core.clock.now();
  const { method = "GET", url: target = "/", headers } = request;
  const body = await readAll(request);
  if (body === undefined) {
    response.writeHead(413, { Connection: "close" }).end();
    return;
  }
  const open = openReply(core, {
    target,
    method,
    origin: `http${secure ? "s" : ""}://${headers.host}`,
  });
  const reply = open ?? (await rest.answer({ method, target, headers, body, secure }));
  send(response, reply);
  const isOpen = open !== undefined;
  const durationMs = core.clock.now() - startMs;
  core.trace.record(
    {
      type: "http",
      direction: "in",
      service: isOpen ? "admin" : "call-automation",
      method,
      target,
      status: reply.status,
      ...(body.length === 0 ? {} : { request: readable(body) }),
      ...(reply.body === undefined ? {} : { response: reply.body }),
      durationMs,
    },
    reply.call?.id,
  );
}

/** What is served without authentication: the token issuer's documents, the manual validation. */
function openReply(
  { issuer, eventGrid }: Core,
  { target, method, origin }: { target: string; method: string; origin: string },
): Reply | undefined {
  if (method !== "GET") return undefined;
  const url = new URL(target, "http://service");
  switch (url.pathname) {
    case DISCOVERY_PATH:
      return { status: 200, body: issuer.configuration(origin) };
    case KEYS_PATH:
      return { status: 200, body: issuer.keys() };
    case "/eventgrid/validate":
      return eventGrid.confirm(url.searchParams.get("id") ?? "")
        ? { status: 200, body: "Webhook successfully validated as a subscription endpoint." }
        : { status: 404, body: "The validation code is unknown or has expired." };
    default:
      return undefined;
  }
}

function send(response: ServerResponse, { status, body, bytes, headers }: Reply): void {
  const hasJson = bytes === undefined && body !== undefined;
  const content = bytes ?? Buffer.from(hasJson ? JSON.stringify(body) : "");
  response.writeHead(status, {
    ...(hasJson ? { "Content-Type": "application/json; charset=utf-8" } : {}),
    ...(status === 204 ? {} : { "Content-Length": String(content.length) }),
    ...headers,
  });
  response.end(content);
}

/** The whole body; undefined when it is too large or the client went away. */
async function readAll(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  try {
    for await (const chunk of request) {
      const piece: Buffer = chunk;
      lengthBytes += piece.length;
      if (lengthBytes > BODY_LIMIT_BYTES) return undefined;
      chunks.push(piece);
    }
    return Buffer.concat(chunks);
  } catch {
    return undefined; // The connection broke; nobody is there to be answered.
  }
}

function readable(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return body.toString();
  }
}
