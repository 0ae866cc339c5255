import { EventEmitter, once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type WebSocket, WebSocketServer } from "ws";
import { isRecord } from "../fields.ts";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface ReceivedEvent {
  readonly type: string;
  readonly data: Record<string, unknown>;
  readonly envelope: Record<string, unknown>;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
}

export interface Stream {
  readonly socket: WebSocket;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  readonly messages: Record<string, unknown>[];
  closeCode: number | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  /** Instead of a JSON body. */
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

const DEADLINE_MS = 4000;

/** An application as the service sees it: a webhook and a WebSocket server that remember everything. */
export class Application implements AsyncDisposable {
  readonly requests: Received[] = [];
  readonly streams: Stream[] = [];
  /** Status and body of the answer to a request; default 200, and Event Grid's handshake is passed. */
  reply: (request: Received) => Answer | "never" = passHandshake;
  /** Sees every event as it arrives. */
  onEvent: (event: ReceivedEvent) => void = () => {};
  /** Takes WebSocket messages; by default they are kept in {@link streams}. */
  onMessage: ((socket: WebSocket, headers: IncomingHttpHeaders, text: string) => void) | undefined;
  readonly #changes = new EventEmitter();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #sockets = new WebSocketServer({ server: this.#server, path: undefined });

  static async start(): Promise<Application> {
    const application = new Application();
    application.#sockets.on("connection", (socket, request) =>
      application.#accept(socket, request),
    );
    application.#server.listen(0, "127.0.0.1");
    await once(application.#server, "listening");
    return application;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get socketUrl(): string {
    return this.url.replace("http", "ws");
  }

  /** Every mid-call and Event Grid event, one entry per event, in the order of arrival. */
  get events(): ReceivedEvent[] {
    return this.requests.flatMap(eventsOf);
  }

  eventTypes(): string[] {
    return this.events.map(({ type }) => type);
  }

  /** The `nth` event (from 0) of a type, as soon as it is there. */
  async event(type: string, nth = 0): Promise<ReceivedEvent> {
    const find = () => this.events.filter((event) => event.type === type)[nth];
    return this.until(find, `event ${type} #${nth}`);
  }

  async stream(nth = 0): Promise<Stream> {
    return this.until(() => this.streams[nth], `media socket #${nth}`);
  }

  /** The `nth` message of a kind on a stream. */
  async message(stream: Stream, kind: string, nth = 0): Promise<Record<string, unknown>> {
    const find = () => stream.messages.filter((message) => message["kind"] === kind)[nth];
    return this.until(find, `message ${kind} #${nth}`);
  }

  /** Waits until `find` finds something; looks again whenever something arrives. */
  async until<Value>(find: () => Value | undefined | false, what: string): Promise<Value> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    for (;;) {
      const found = find();
      if (found !== undefined && found !== false) return found;
      try {
        await once(this.#changes, "change", { signal });
      } catch {
        throw new Error(`no ${what} within ${DEADLINE_MS} ms; saw ${this.eventTypes().join(", ")}`);
      }
    }
  }

  /** Tells {@link until} to look again, after something changed that is not a request. */
  poke(): void {
    this.#changes.emit("change");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.streams) socket.terminate();
    this.#sockets.close();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const received = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: body === "" ? undefined : JSON.parse(body),
    };
    this.requests.push(received);
    for (const event of eventsOf(received)) this.onEvent(event);
    const answer = this.reply(received);
    if (answer !== "never") {
      response.writeHead(answer.status, { ...answer.headers });
      response.end(answer.bytes ?? (answer.body === undefined ? "" : JSON.stringify(answer.body)));
    }
    this.poke();
  }

  #accept(socket: WebSocket, request: { headers: IncomingHttpHeaders; url?: string }): void {
    const stream: Stream = {
      socket,
      headers: request.headers,
      path: request.url ?? "",
      messages: [],
      closeCode: undefined,
    };
    socket.on("message", (data) => {
      if (!Buffer.isBuffer(data)) return;
      if (this.onMessage !== undefined) this.onMessage(socket, request.headers, data.toString());
      else stream.messages.push(JSON.parse(data.toString()));
      this.poke();
    });
    socket.on("close", (code) => {
      stream.closeCode = code;
      this.poke();
    });
    socket.on("error", () => this.poke());
    this.streams.push(stream);
    this.poke();
  }
}

function passHandshake({ method, body }: Received): Answer {
  if (method === "OPTIONS") {
    return { status: 200, headers: { "WebHook-Allowed-Origin": "eventgrid.azure.net" } };
  }
  const [event]: unknown[] = Array.isArray(body) ? body : [];
  const data = isRecord(event) && isRecord(event["data"]) ? event["data"] : {};
  const code = data["validationCode"];
  return code === undefined ? { status: 200 } : { status: 200, body: { validationResponse: code } };
}

function eventsOf({ body, headers, path }: Received): ReceivedEvent[] {
  return (Array.isArray(body) ? body : [body]).filter(isRecord).map((envelope) => ({
    type: shortType(envelope),
    data: isRecord(envelope["data"]) ? envelope["data"] : {},
    envelope,
    headers,
    path,
  }));
}

function shortType(envelope: Record<string, unknown>): string {
  const type =
    [envelope["type"], envelope["eventType"]].find((name) => typeof name === "string") ?? "";
  return type.slice(type.lastIndexOf(".") + 1);
}
