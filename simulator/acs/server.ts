import { createServer, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { Admin } from "./admin.ts";
import { Background } from "./background.ts";
import type { Call } from "./call.ts";
import { callOperations } from "./call-operations.ts";
import { Callbacks } from "./callbacks.ts";
import { proxyOwnNames } from "./connect-proxy.ts";
import type { Core, ResourceIdentity } from "./core.ts";
import { EventGrid, type SubscribeOptions, type Subscription } from "./event-grid.ts";
import type { DeadLetter, DeliveryPolicy } from "./event-grid-delivery.ts";
import { requestListener } from "./http-exchange.ts";
import { identityOperations } from "./identity-operations.ts";
import { freshIds, type IdSource } from "./ids.ts";
import { createIssuer, type Issuer, type SigningKey } from "./issuer.ts";
import { UrlJudge } from "./media-options.ts";
import type { Operation } from "./operation.ts";
import { Outbound } from "./outbound.ts";
import { outgoingOperations } from "./outgoing-operations.ts";
import { joiningOperations } from "./participant-changes.ts";
import { participantOperations } from "./participant-operations.ts";
import { playOperations } from "./play-operations.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { PromptCache } from "./prompt.ts";
import type { PstnGateway } from "./pstn.ts";
import { recognizeOperations } from "./recognize-operations.ts";
import { recordingOperations } from "./recording-operations.ts";
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
  /** Further REST operations of the resource, such as those on trunks and voice routes. */
  readonly operations?: readonly Operation[];
  /** What signs callback tokens; default: a new key. */
  readonly signingKey?: SigningKey;
  readonly policy?: Partial<Policy>;
  readonly delivery?: Partial<DeliveryPolicy>;
  readonly faults?: FaultPlan;
  readonly ids?: IdSource;
  /** Text to audio, for play and prompts; without it they fail with 500/8565. */
  readonly synthesise?: SpeechServices["synthesise"] | undefined;
  /** Audio to text, for speech recognition and transcription. */
  readonly recognise?: SpeechServices["recognise"] | undefined;
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

/** Longer than any client keeps an idle connection, so that none is closed under a request. */
const KEEP_ALIVE_MS = 120_000;

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
    ...(options.operations ?? []),
    ...callOperations(board),
    ...outgoingOperations(board),
    ...participantOperations(board),
    ...joiningOperations(board),
    ...transferOperations(board),
    ...streamingOperations(board),
    ...playOperations(board),
    ...recognizeOperations(board),
    ...toneOperations(board),
    ...recordingOperations(board),
    ...identityOperations(board),
  ]);
  const services = { core, rest, admin: new Admin(board) };
  const { host = "127.0.0.1", port = 0, securePort = 0, tls } = options;
  const plain = createServer(requestListener({ ...services, secure: false }));
  const address = await listen(plain, { host, port });
  addresses.url = `http://${host}:${address.port}`;
  started.defer(() => close(plain));
  const secure = tls && createSecureServer(tls, requestListener({ ...services, secure: true }));
  const secureAddress = secure && (await listen(secure, { host, port: securePort }));
  if (secure !== undefined) started.defer(() => close(secure));
  started.use(proxyOwnNames(plain, secureAddress));
  const secureUrl = secureAddress && `https://${host}:${secureAddress.port}`;
  const owned = started.move();
  const dispose = () => owned.disposeAsync();
  return describeAcs({ core, board, url: addresses.url, secureUrl, dispose });
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
    signingKey: options.signingKey,
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

async function listen(server: Server, { host, port }: { host: string; port: number }) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.once("error", reject);
  server.listen(port, host, resolve);
  await promise;
  const { port: bound } = server.address() as AddressInfo;
  return { host, port: bound };
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}
