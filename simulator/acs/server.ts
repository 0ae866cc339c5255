import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { Background } from "./background.ts";
import type { Call } from "./call.ts";
import { callOperations } from "./call-operations.ts";
import { Callbacks } from "./callbacks.ts";
import type { Core, ResourceIdentity } from "./core.ts";
import {
  type DeadLetter,
  type DeliveryPolicy,
  EventGrid,
  type SubscribeOptions,
  type Subscription,
} from "./event-grid.ts";
import { freshIds, type IdSource } from "./ids.ts";
import { createIssuer, DISCOVERY_PATH, type Issuer, KEYS_PATH } from "./issuer.ts";
import { UrlJudge } from "./media-options.ts";
import type { Reply } from "./operation.ts";
import { Outbound } from "./outbound.ts";
import { outgoingOperations } from "./outgoing-operations.ts";
import { joiningOperations } from "./participant-changes.ts";
import { participantOperations } from "./participant-operations.ts";
import { playOperations } from "./play-operations.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { PromptCache } from "./prompt.ts";
import type { PstnGateway } from "./pstn.ts";
import { recognizeOperations } from "./recognize-operations.ts";
import { Rest } from "./rest.ts";
import type { SpeechServices } from "./speech.ts";
import { streamingOperations } from "./streaming-operations.ts";
import { type IncomingCallData, Switchboard } from "./switchboard.ts";
import { toneOperations } from "./tone-operations.ts";
import { transferOperations } from "./transfer.ts";

export interface AcsOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly resource: ResourceIdentity;
  /** The telephone side. */
  readonly pstn: PstnGateway;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly securePort?: number;
  /** Certificate for the https listener; without it there is none. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Certificate authorities (PEM) that the application's own servers may be signed by. */
  readonly ca?: readonly string[];
  /** `iss` of callback tokens; default: Microsoft's. */
  readonly issuer?: string;
  /** Public https names that stand for local ports, in place of a tunnel. */
  readonly ingress?: Readonly<Record<string, string>>;
  readonly policy?: Partial<Policy>;
  readonly delivery?: Partial<DeliveryPolicy>;
  readonly faults?: FaultPlan;
  readonly ids?: IdSource;
  /** Text to audio, for play and prompts; without it they fail with 500/8565. */
  readonly synthesise?: SpeechServices["synthesise"];
  /** Audio to text, for speech recognition and transcription. */
  readonly recognise?: SpeechServices["recognise"];
}

/** Azure Communication Services, as far as Call Automation and Event Grid go. */
export interface Acs extends AsyncDisposable {
  readonly url: string;
  readonly secureUrl: string | undefined;
  readonly connectionString: string;
  readonly secureConnectionString: string | undefined;
  /** Issuer, audience and keys of the callback tokens. */
  readonly issuer: Issuer;
  /** Subscribes a webhook to the resource's events, with the validation handshake. */
  subscribe(webhookUrl: string, options?: SubscribeOptions): Promise<Subscription>;
  /** Removes the subscriptions of that name; false when there was none. */
  unsubscribe(name: string): boolean;
  /** `data` of every IncomingCall event, as sent. */
  readonly incomingCalls: readonly IncomingCallData[];
  /** Every call connection so far, ended ones included. */
  readonly calls: readonly Call[];
  readonly deadLetters: readonly DeadLetter[];
}

/** Largest request body read. */
const BODY_LIMIT_BYTES = 1024 * 1024;

export async function startAcs(options: AcsOptions): Promise<Acs> {
  await using started = new AsyncDisposableStack();
  const { clock, ca, ingress } = options;
  const outbound = started.use(
    new Outbound({
      clock,
      ...(ca === undefined ? {} : { ca }),
      ...(ingress === undefined ? {} : { ingress }),
    }),
  );
  const background = started.use(new Background(options.trace));
  const addresses = { url: "" };
  const core = await createCore(options, { outbound, background, origin: () => addresses.url });
  const board = started.use(new Switchboard(core));
  const rest = new Rest(core, [
    ...callOperations(board),
    ...outgoingOperations(board),
    ...participantOperations(board),
    ...joiningOperations(board),
    ...transferOperations(board),
    ...streamingOperations(board),
    ...playOperations(board),
    ...recognizeOperations(board),
    ...toneOperations(board),
  ]);
  const { host = "127.0.0.1", port = 0, securePort = 0, tls } = options;
  const plain = createServer(listener(core, rest, false));
  addresses.url = `http://${await listen(plain, host, port)}`;
  started.defer(() => close(plain));
  let secureUrl: string | undefined;
  if (tls !== undefined) {
    const secure = createSecureServer(tls, listener(core, rest, true));
    secureUrl = `https://${await listen(secure, host, securePort)}`;
    started.defer(() => close(secure));
  }
  const owned = started.move();
  return describeAcs({
    core,
    board,
    url: addresses.url,
    secureUrl,
    dispose: () => owned.disposeAsync(),
  });
}

async function createCore(
  options: AcsOptions,
  parts: { outbound: Outbound; background: Background; origin: () => string },
): Promise<Core> {
  const { clock, trace, resource, faults, ids = freshIds } = options;
  const { outbound, background, origin } = parts;
  const policy = { ...DEFAULT_POLICY, ...options.policy };
  const struck = faults === undefined ? {} : { faults };
  const issuer = await createIssuer({
    clock,
    trace,
    ids,
    audience: resource.resourceId,
    ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
    ...struck,
  });
  const shared = { clock, trace, ids, outbound, background, policy, ...struck };
  const { delivery = {} } = options;
  return {
    ...shared,
    resource,
    pstn: options.pstn,
    issuer,
    callbacks: new Callbacks({ ...shared, issuer }),
    eventGrid: new EventGrid({
      ...shared,
      resourceName: resource.name,
      validationOrigin: origin,
      delivery,
    }),
    urls: new UrlJudge(policy, outbound),
    speech: { synthesise: options.synthesise, recognise: options.recognise },
    prompts: new PromptCache(),
  };
}

function describeAcs(parts: {
  core: Core;
  board: Switchboard;
  url: string;
  secureUrl: string | undefined;
  dispose: () => Promise<void>;
}): Acs {
  const { core, board, url, secureUrl, dispose } = parts;
  const connect = (endpoint: string) =>
    `endpoint=${endpoint}/;accesskey=${core.resource.accessKey}`;
  return {
    url,
    secureUrl,
    connectionString: connect(url),
    secureConnectionString: secureUrl === undefined ? undefined : connect(secureUrl),
    issuer: core.issuer,
    subscribe: (webhookUrl, options) => core.eventGrid.subscribe(webhookUrl, options),
    unsubscribe: (name) => core.eventGrid.unsubscribe(name),
    get incomingCalls() {
      return board.incomingCalls;
    },
    get calls() {
      return board.calls;
    },
    get deadLetters() {
      return core.eventGrid.deadLetters;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

function listener(core: Core, rest: Rest, secure: boolean) {
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

function send(response: ServerResponse, reply: Reply): void {
  if (reply.body === undefined) {
    response.writeHead(reply.status, { ...reply.headers, "Content-Length": "0" }).end();
    return;
  }
  const text = JSON.stringify(reply.body);
  const headers = {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(text)),
  };
  response.writeHead(reply.status, { ...headers, ...reply.headers }).end(text);
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

async function listen(server: Server, host: string, port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  await promise;
  const { port: bound } = server.address() as AddressInfo;
  return `${host}:${bound}`;
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}
