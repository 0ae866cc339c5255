import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { SpeechConnection, urlOf } from "./connection.ts";
import { credentials } from "./credentials.ts";
import type { Recogniser, SpeechEngine } from "./recogniser.ts";
import { type RecognitionDelays, serveRecognition } from "./recognition-session.ts";
import { RECOGNITION_DEFAULTS, type RecognitionDefaults } from "./recognition-settings.ts";
import { answerRest } from "./rest.ts";
import { type SynthesisPace, serveSynthesis } from "./synthesis-session.ts";
import type { Synthesiser } from "./synthesiser.ts";

export interface SpeechOptions {
  clock: Clock;
  trace: PartyTrace;
  synthesiser: Synthesiser;
  /** Learns what is synthesised, so that the lab's ears know it. */
  recogniser: Recogniser;
  /** Recognises what clients send. Default: the recogniser. */
  engine?: SpeechEngine;
  /** Subscription keys that are let in. */
  keys: readonly string[];
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 0: any free port. */
  port?: number;
  /** Also serve https and wss, on a port of its own. */
  tls?: { key: string; cert: string };
  faults?: FaultPlan;
  /** Silence settings where the client gives none. */
  recognition?: Partial<RecognitionDefaults>;
  /** How late results are told; default 0. */
  delays?: Partial<RecognitionDelays>;
  /** How synthesised audio is sent; default in pieces of 100 ms, at once. */
  pace?: Partial<SynthesisPace>;
  /** 32 hexadecimal digits, upper case; default random. */
  newId?: () => string;
}

/** The emulated Azure Speech service. */
export interface Speech extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, for `SpeechConfig.fromHost`. */
  readonly url: string;
  readonly secureUrl?: string;
}

const RECOGNITION_PATH =
  /^\/(speech\/recognition\/(interactive|conversation|dictation)\/cognitiveservices\/v1|stt\/speech\/universal\/v[12]|speech\/universal\/v2|speech\/recognition\/multiaudio)\/?$/;
const SYNTHESIS_PATH = /^(\/tts)?\/cognitiveservices\/websocket\/v[12]\/?$/;
const LIMIT_MESSAGE_BYTES = 1 << 20;

export async function startSpeech(options: SpeechOptions): Promise<Speech> {
  const { host = "127.0.0.1", port = 0, tls } = options;
  const service = new SpeechService(options);
  const plain = service.attach(createServer());
  const secure = tls === undefined ? undefined : service.attach(createSecureServer(tls));
  const servers = secure === undefined ? [plain] : [plain, secure];
  await listen(plain, host, port);
  if (secure !== undefined) await listen(secure, host, 0);
  return {
    url: `http://${host}:${portOf(plain)}`,
    ...(secure === undefined ? {} : { secureUrl: `https://${host}:${portOf(secure)}` }),
    async [Symbol.asyncDispose]() {
      service.close();
      await Promise.all(servers.map(close));
      await service.closed();
    },
  };
}

class SpeechService {
  readonly #options: SpeechOptions;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LIMIT_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  readonly #allowed: ReturnType<typeof credentials>;
  readonly #sessions = new Set<Promise<void>>();

  constructor(options: SpeechOptions) {
    this.#options = options;
    this.#allowed = credentials({ ...options, newId: () => this.#newId() });
  }

  attach(server: Server): Server {
    server.on("request", (request, response) => {
      answerRest(request, response, { ...this.#options, allowed: this.#allowed });
    });
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    return server;
  }

  close(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  async closed(): Promise<void> {
    await Promise.allSettled(this.#sessions);
  }

  #newId(): string {
    return this.#options.newId?.() ?? randomBytes(16).toString("hex").toUpperCase();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = urlOf(request);
    if (url === undefined) return this.#refuse(request, socket, 400);
    const recognises = RECOGNITION_PATH.test(url.pathname);
    if (!recognises && !SYNTHESIS_PATH.test(url.pathname))
      return this.#refuse(request, socket, 404);
    if (!this.#allowed.admits(request, url)) return this.#refuse(request, socket, 401);
    const status = this.#plannedRefusal(recognises);
    if (status !== undefined) return this.#refuse(request, socket, status);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const context = { ...this.#options, newId: () => this.#newId() };
      const connection = new SpeechConnection(webSocket, request, url, context);
      const session = recognises
        ? serveRecognition(connection, {
            ...context,
            engine: this.#options.engine ?? this.#options.recogniser,
            defaults: { ...RECOGNITION_DEFAULTS, ...this.#options.recognition },
            delays: { hypothesisMs: 0, phraseMs: 0, ...this.#options.delays },
          })
        : serveSynthesis(connection, {
            ...context,
            pace: { firstByteMs: 0, chunkMs: 100, speed: Infinity, ...this.#options.pace },
          });
      this.#sessions.add(session);
      session
        .finally(() => this.#sessions.delete(session))
        .catch((error) => connection.refuse(error));
    });
  }

  #plannedRefusal(recognises: boolean): number | undefined {
    const { faults, trace } = this.#options;
    const kind = recognises ? "speech.refuse-recognition" : "speech.refuse-synthesis";
    for (const name of ["speech.refuse", kind]) {
      const detail = faults?.strike(name);
      if (detail === undefined) continue;
      trace.record({ type: "fault", name, detail });
      return Number(detail.status ?? 503);
    }
    return undefined;
  }

  #refuse(request: IncomingMessage, socket: Duplex, status: number): void {
    const target = request.url ?? "/";
    this.#options.trace.record({
      type: "http",
      direction: "in",
      service: "speech",
      method: "GET",
      target,
      status,
      durationMs: 0,
    });
    socket.on("error", () => socket.destroy());
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, () => resolve());
  return promise;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}
