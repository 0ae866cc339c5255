import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { createDoorkeeper, type Doorkeeper } from "./callback-auth.ts";
import { Calls, type DrainTimes } from "./calls.ts";
import type { Config } from "./config.ts";
import { checkReachable, dependenciesOf, oneAtATime } from "./dependencies.ts";
import { openModel } from "./llm.ts";
import { SPOKEN_BY_HEART } from "./phrases.ts";
import { learnPhrases, type PreparedSpeech } from "./prepared-voice.ts";
import { openRedisReplicas } from "./redis-replicas.ts";
import { memoryReplicas, type Replicas } from "./replicas.ts";
import { startRetention } from "./retention.ts";
import { Store } from "./store.ts";
import { createLogger, type Logger } from "./telemetry.ts";
import { openVoice } from "./tts.ts";
import { answerRequest } from "./webhooks.ts";

/** A running agent. Disposing it hangs up what is left. */
export interface Agent extends AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  /** What an Event Grid subscription is pointed at, secret included. */
  readonly webhookUrl: string;
  readonly activeCalls: number;
  /** Customers, calls and transcripts. */
  readonly store: Store;
  /** Takes no new calls, waits for the running ones, hands over and at last hangs up what is left. */
  drain(options?: Partial<DrainTimes>): Promise<void>;
}

export interface AgentOptions {
  readonly logger?: Logger;
  readonly ids?: () => string;
  readonly tokens?: () => string;
  /** The time of day; by default the machine's. */
  readonly date?: () => Date;
  /** Monotonic milliseconds; by default the process's. */
  readonly now?: () => number;
  /** What several replicas share; by default Redis, if the configuration names one. */
  readonly replicas?: Replicas;
}

/** For "let me connect you with a colleague", and for the transfer. */
const FAREWELL_MS = 10_000;
/** One media message is well below this: 20 ms of 24 kHz audio is 1.3 kB of JSON. */
const MEDIA_MESSAGE_LIMIT_BYTES = 262_144;

/**
 * Starts the service. Rejects when the address cannot be bound, the database not opened, or the
 * shared Redis not reached.
 */
export async function startAgent(config: Config, options: AgentOptions = {}): Promise<Agent> {
  const opened = new AsyncDisposableStack();
  try {
    return await openAgent(config, options, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

/** What is pushed to `opened` is closed in the reverse order. */
async function openAgent(
  config: Config,
  options: AgentOptions,
  opened: AsyncDisposableStack,
): Promise<Agent> {
  const { date = () => new Date(), now = () => performance.now() } = options;
  const logger = options.logger ?? createLogger(config);
  const replicas = options.replicas ?? (await openReplicas({ config, logger, now }, opened));
  const store = opened.use(Store.open(config.store.path, config.store.customers));
  const interrupted = store.closeInterrupted(date());
  if (interrupted > 0) logger.info({ interrupted }, "interrupted calls closed");
  opened.use(startRetention({ store, days: config.store.retentionDays, date, logger }));
  let url = "";
  const phrases = new Map<string, PreparedSpeech>();
  const calls = new Calls({
    ...options,
    config,
    store,
    model: openModel(config.model),
    phrases,
    logger,
    replicas,
    date,
    now,
    publicUrl: () => config.service.publicUrl ?? url,
    mediaUrl: () => config.service.mediaUrl ?? config.service.publicUrl ?? url,
  });
  const dependencies = dependenciesOf(config);
  const reachable = oneAtATime(() => checkReachable(dependencies));
  const doorkeeper = createDoorkeeper(config.acs, config.service.eventGridSecret, date);
  const checkReady = async () => {
    store.check();
    await Promise.all([replicas.check(), reachable()]);
  };
  const server = openServer({ calls, doorkeeper, logger, checkReady });
  opened.defer(() => closeServer(server));
  opened.use(calls);
  url = await listen(server, config.service);
  logger.info({ url }, "agent is listening");
  opened.use(startLesson({ config, calls, phrases, logger }));
  return describeAgent({ config, calls, store, url, opened });
}

async function openReplicas(
  { config, logger, now }: { config: Config; logger: Logger; now: () => number },
  opened: AsyncDisposableStack,
): Promise<Replicas> {
  const { redisUrl } = config.service;
  if (redisUrl === undefined) return memoryReplicas({ now });
  return opened.use(await openRedisReplicas({ url: redisUrl, logger }));
}

interface Running {
  readonly config: Config;
  readonly calls: Calls;
  readonly store: Store;
  readonly url: string;
  readonly opened: AsyncDisposableStack;
}

interface LessonParts {
  readonly config: Config;
  readonly calls: Calls;
  readonly phrases: Map<string, PreparedSpeech>;
  readonly logger: Logger;
}

/** Synthesises what must be sayable without the speech service, while nobody is on a call. */
function startLesson({ config, calls, phrases, logger }: LessonParts): AsyncDisposable {
  const controller = new AbortController();
  const { signal } = controller;
  const { preparedPhrases, preparationIdleMs } = config.speech;
  const learn = async () => {
    if (!preparedPhrases) return;
    const { missing } = await learnPhrases({
      texts: SPOKEN_BY_HEART,
      phrases,
      openVoice: () => openVoice({ ...config.speech, rateHz: config.media.rateHz }),
      whenIdle: async () => {
        do await setTimeout(preparationIdleMs, undefined, { signal });
        while (calls.size > 0);
      },
      signal,
    });
    if (missing > 0 && !signal.aborted) logger.warn({ missing }, "phrases could not be prepared");
  };
  const lesson = learn();
  return {
    [Symbol.asyncDispose]: () => {
      controller.abort();
      return lesson;
    },
  };
}

function describeAgent({ config, calls, store, url, opened }: Running): Agent {
  const { publicUrl, eventGridSecret, drainTimeoutMs } = config.service;
  const query = eventGridSecret === undefined ? "" : `?code=${encodeURIComponent(eventGridSecret)}`;
  let closing: Promise<void> | undefined;
  return {
    url,
    webhookUrl: `${publicUrl ?? url}/events${query}`,
    store,
    get activeCalls() {
      return calls.size;
    },
    drain: ({ timeoutMs = drainTimeoutMs, farewellMs = FAREWELL_MS } = {}) =>
      calls.drain({ timeoutMs, farewellMs }),
    [Symbol.asyncDispose]: () => (closing ??= opened.disposeAsync()),
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

type ServerOptions = Parameters<typeof answerRequest>[2];

function openServer(options: ServerOptions): Server {
  const server = createServer({
    requestTimeout: 30_000,
    headersTimeout: 10_000,
    maxHeaderSize: 32_768,
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MEDIA_MESSAGE_LIMIT_BYTES,
    perMessageDeflate: false,
  });
  server.on("request", (request, response) => void answerRequest(request, response, options));
  server.on(
    "upgrade",
    (request, socket, head) => void admitMedia({ request, socket, head, sockets }, options),
  );
  return server;
}

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly sockets: WebSocketServer;
}

/**
 * The token in the URL names the call, once: while its socket lives, and after the call, a second
 * one is refused. Where callbacks are verified, the upgrade's bearer token is too.
 */
async function admitMedia(upgrade: Upgrade, options: ServerOptions): Promise<void> {
  const { request, socket, head, sockets } = upgrade;
  socket.on("error", () => socket.destroy());
  const status = await mediaStatus(request, options);
  if (typeof status === "number") return refuse(socket, status);
  const connectionId = request.headers["x-ms-call-connection-id"];
  sockets.handleUpgrade(request, socket, head, (accepted) => {
    const id = typeof connectionId === "string" ? connectionId : undefined;
    accepted.on("error", () => accepted.terminate());
    if (!options.calls.attachMedia(status, accepted, id)) accepted.close(1008);
  });
}

async function mediaStatus(
  request: IncomingMessage,
  { calls, doorkeeper, logger }: ServerOptions & { doorkeeper: Doorkeeper },
) {
  const token = /^\/media\/([\w-]{20,128})$/.exec(
    URL.parse(request.url ?? "", "http://agent")?.pathname ?? "",
  )?.[1];
  if (token === undefined) return 404;
  const verdict = await doorkeeper.callAutomation(request.headers.authorization);
  if (!verdict.allowed) {
    logger.warn({ sender: "media socket", why: verdict.why }, "sender was turned away");
    return 401;
  }
  return calls.byMediaToken(token) ?? 403;
}

const REASONS: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
};

function refuse(socket: Duplex, status: number): void {
  socket.end(
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Refused"}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

function listen(server: Server, { host, port }: Config["service"]): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address() as AddressInfo;
      const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
      resolve(`http://${name}:${address.port}`);
    });
  });
}
