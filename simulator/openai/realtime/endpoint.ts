import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Clock } from "../../clock.ts";
import type { PartyTrace } from "../../trace.ts";
import {
  BAD_REQUEST,
  DEPLOYMENT_NOT_FOUND,
  errorBody,
  NOT_FOUND,
  presentedKey,
  targetOf,
  UNAUTHORISED,
} from "../exchange.ts";
import type { ScriptedModel } from "../model.ts";
import type { Failure } from "../script.ts";
import { RealtimeConnection } from "./connection.ts";
import type { ResponsePace } from "./response.ts";
import { RealtimeSession } from "./session.ts";
import type { DialectName } from "./settings.ts";
import type { RealtimeVoice } from "./voice.ts";

/** Settings of the Realtime interface. */
export interface RealtimeOptions {
  /** What it hears and speaks with; without it upgrades are refused with 404. */
  readonly voice: RealtimeVoice;
  /** Realtime deployments of the resource. */
  readonly deployments: readonly string[];
  /** How answers come. Default: first piece after 300 ms, 200 ms of audio an event, five times as fast as it plays, words 600 ms ahead. */
  readonly pace?: Partial<ResponsePace>;
  /** Default an hour. */
  readonly sessionMs?: number;
  /** Pause that ends a turn under `semantic_vad`, by eagerness. Default 1,600, 800 and 400 ms. */
  readonly semanticSilenceMs?: Readonly<Record<string, number>>;
}

export interface EndpointOptions extends RealtimeOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly model: ScriptedModel;
  readonly keys: readonly string[];
  /** Deployments that are no realtime ones. */
  readonly otherDeployments: readonly string[];
}

const PACE: ResponsePace = {
  firstPieceMs: 300,
  chunkMs: 200,
  speed: 5,
  transcriptLeadMs: 600,
  tokenMs: 15,
};
const SEMANTIC_SILENCE_MS = { low: 1600, medium: 800, auto: 800, high: 400 };
const SESSION_MS = 3_600_000;
/** 15 MiB of audio as base64, and the event around it. */
const LIMIT_EVENT_BYTES = 21 * 1024 * 1024;
const PROTOCOL = "realtime";

interface Route {
  readonly dialect: DialectName;
  readonly modelName: string;
}

/** The WebSocket of the Realtime API: `/openai/v1/realtime`, `/v1/realtime`, and the preview's `/openai/realtime`. */
export class RealtimeEndpoint {
  readonly #options: EndpointOptions;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LIMIT_EVENT_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  #opened = 0;

  constructor(options: EndpointOptions) {
    this.#options = options;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const route = this.#route(request);
    if ("status" in route) return this.#refuse(request, socket, route);
    this.#sockets.handleUpgrade(request, socket, head, (accepted) =>
      this.#open(accepted, request, route),
    );
  }

  close(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  #route(request: IncomingMessage): Route | Failure {
    const { keys, model } = this.#options;
    const url = targetOf(request);
    if (url === undefined) return BAD_REQUEST;
    if (!keys.includes(keyOf(request, url))) return UNAUTHORISED;
    const planned = model.strike("openai.refuse-realtime");
    if (planned !== undefined) return { status: Number(planned["status"] ?? 503) };
    const preview = /\brealtime=v1\b/.test(String(request.headers["openai-beta"] ?? ""));
    switch (url.pathname) {
      case "/openai/v1/realtime":
        return this.#deployed(url.searchParams.get("model"), "ga");
      case "/openai/realtime":
        if (!url.searchParams.has("api-version")) return NOT_FOUND;
        return this.#deployed(url.searchParams.get("deployment"), "preview");
      case "/v1/realtime":
        return named(url.searchParams.get("model"), preview ? "preview" : "ga");
      default:
        return NOT_FOUND;
    }
  }

  #deployed(name: string | null, dialect: DialectName): Route | Failure {
    const { deployments, otherDeployments } = this.#options;
    if (name !== null && otherDeployments.includes(name)) return WRONG_OPERATION;
    return name !== null && !deployments.includes(name)
      ? DEPLOYMENT_NOT_FOUND
      : named(name, dialect);
  }

  #open(socket: WebSocket, request: IncomingMessage, { dialect, modelName }: Route): void {
    const { clock, trace, model, voice, pace, sessionMs, semanticSilenceMs } = this.#options;
    const serial = String(++this.#opened).padStart(3, "0");
    let made = 0;
    const newId = (prefix: string) => `${prefix}_lab${serial}${String(++made).padStart(6, "0")}`;
    const id = newId("sess");
    const detail = { path: (request.url ?? "").split("?", 1)[0], dialect, model: modelName };
    trace.record(
      { type: "socket", service: "realtime", direction: "in", kind: "open", detail },
      id,
    );
    const connection = new RealtimeConnection(socket, { trace, dialect, newId, id });
    const expires = model.strike("openai.expire-session");
    const limitMs = Number(expires?.["afterMs"] ?? sessionMs ?? SESSION_MS);
    // The session lives as long as its socket, which holds it by its listeners.
    void new RealtimeSession(connection, {
      clock,
      trace,
      model,
      voice,
      pace: { ...PACE, ...pace },
      id,
      modelName,
      dialect,
      sessionMs: limitMs,
      semanticSilenceMs: { ...SEMANTIC_SILENCE_MS, ...semanticSilenceMs },
      newId,
    });
    this.#planDrop(connection);
  }

  #planDrop(connection: RealtimeConnection): void {
    const drop = this.#options.model.strike("openai.drop-realtime");
    if (drop === undefined) return;
    const timer = this.#options.clock.after(Number(drop["afterMs"] ?? 0), () => {
      if (drop["code"] === undefined) connection.reset();
      else connection.close(Number(drop["code"]));
    });
    connection.onClose(() => timer.cancel());
  }

  #refuse({ url = "/" }: IncomingMessage, socket: Duplex, failure: Failure): void {
    const { status } = failure;
    const answer = errorBody(failure);
    this.#options.trace.record({
      type: "http",
      direction: "in",
      service: "openai",
      method: "GET",
      target: url,
      status,
      response: answer,
      durationMs: 0,
    });
    const body = JSON.stringify(answer);
    socket.on("error", () => socket.destroy());
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}

/** Spelt as the service was seen to spell it. */
const WRONG_OPERATION: Failure = {
  status: 400,
  code: "OpperationNotSupported",
  message:
    "The realtime operation does not work with the specified model. Please choose different model and try again.",
};

function named(modelName: string | null, dialect: DialectName): Route | Failure {
  if (modelName !== null && modelName !== "") return { modelName, dialect };
  return {
    status: 400,
    code: "invalid_request_error",
    message: "you must provide a model parameter",
    param: "model",
  };
}

/** In a header, in the query (Azure), or as a subprotocol: a browser cannot set headers. */
function keyOf(request: IncomingMessage, url: URL): string {
  const offered = request.headers["sec-websocket-protocol"] ?? "";
  const key = presentedKey(request) ?? url.searchParams.get("api-key");
  return key ?? /\bopenai-insecure-api-key\.([^,\s]+)/.exec(offered)?.[1] ?? "";
}
