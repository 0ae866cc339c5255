import type { IncomingMessage, ServerResponse } from "node:http";
import type { Admin } from "./admin.ts";
import type { Core } from "./core.ts";
import { DISCOVERY_PATH, KEYS_PATH } from "./issuer.ts";
import type { Reply } from "./operation.ts";
import type { Rest } from "./rest.ts";

/** Largest request body read. */
const BODY_LIMIT_BYTES = 1024 * 1024;

/** What answers requests on a listener. */
export interface Services {
  readonly core: Core;
  readonly rest: Rest;
  readonly admin: Admin;
  /** True for the TLS listener. */
  readonly secure: boolean;
}

/** What a listener does with each request: reads it, has it answered, traces both. */
export function requestListener(services: Services) {
  const { background } = services.core;
  return (request: IncomingMessage, response: ServerResponse) => {
    background.run("request", () => exchange(services, request, response));
  };
}

async function exchange(
  services: Services,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { core, rest, secure } = services;
  const startMs = core.clock.now();
  const { method = "GET", url: target = "/", headers } = request;
  const body = await readAll(request);
  if (body === undefined) {
    response.writeHead(413, { Connection: "close", "Content-Length": "0" }).end();
    return;
  }
  const open = await openReply(services, request, body);
  const reply = open ?? (await rest.answer({ method, target, headers, body, secure }));
  send(response, reply);
  const durationMs = core.clock.now() - startMs;
  core.trace.record(
    {
      type: "http",
      direction: "in",
      service: open === undefined ? "call-automation" : "admin",
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

/** What is served without a signature: the token issuer's documents, validation, administration. */
async function openReply(
  { core: { issuer, eventGrid }, admin, secure }: Services,
  { url: target = "/", method = "GET", headers, socket }: IncomingMessage,
  body: Buffer,
): Promise<Reply | undefined> {
  if (!URL.canParse(target, "http://service")) return { status: 400 };
  const { pathname, searchParams } = new URL(target, "http://service");
  if (pathname.startsWith("/admin/")) {
    const path = pathname.slice("/admin".length);
    const contentType = headers["content-type"];
    return admin.answer({ method, path, body, contentType, peer: socket.remoteAddress });
  }
  switch (`${method} ${pathname}`) {
    case `GET ${DISCOVERY_PATH}`:
      return {
        status: 200,
        body: issuer.configuration(`http${secure ? "s" : ""}://${headers.host ?? ""}`),
      };
    case `GET ${KEYS_PATH}`:
      return { status: 200, body: issuer.keys() };
    case "GET /eventgrid/validate":
      return eventGrid.confirm(searchParams.get("id") ?? "")
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
