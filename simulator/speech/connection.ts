import type { IncomingMessage } from "node:http";
import type { WebSocket } from "ws";
import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { FramingError, formatMessage, parseMessage, type SpeechMessage } from "./framing.ts";

/** What a session needs of the service around it. */
export interface ServiceContext {
  clock: Clock;
  trace: PartyTrace;
  faults?: FaultPlan;
  /** 32 hexadecimal digits. */
  newId: () => string;
}

/** Errors the client is told of by closing with 1007, as the service does with bad requests. */
const BAD_REQUEST = 1007;
/** … and what goes wrong in the service itself: the Speech SDK connects again and replays. */
const INTERNAL_ERROR = 1011;
const LIMIT_REASON_BYTES = 123;
const CREDENTIALS = ["ocp-apim-subscription-key", "authorization"];
/** Frequent messages are not listed in the trace. */
const UNTRACED = new Set([
  "audio",
  "audio.metadata",
  "speech.hypothesis",
  "telemetry",
  "text.piece",
]);

export type FaultParameters = NonNullable<ReturnType<FaultPlan["strike"]>>;

/** One client's WebSocket: framing, tracing, closing, and sending in order when something is late. */
export class SpeechConnection {
  readonly id: string;
  readonly query: URLSearchParams;
  readonly path: string;
  readonly #socket: WebSocket;
  readonly #context: ServiceContext;
  #sending: Promise<void> = Promise.resolve();
  #late = 0;
  #failed = false;

  constructor(socket: WebSocket, request: IncomingMessage, url: URL, context: ServiceContext) {
    this.#socket = socket;
    this.#context = context;
    this.path = url.pathname;
    this.query = url.searchParams;
    this.id = url.searchParams.get("X-ConnectionId") ?? context.newId();
    this.trace("open", {
      path: url.pathname,
      query: queryOf(url),
      credentials: whereShown(request, url),
    });
    socket.on("close", (code, reason) => this.trace("close", { code, reason: reason.toString() }));
    socket.on("error", (error) => this.trace("error", { message: error.message }));
  }

  /** Resolves when the socket is closed, whoever closed it. */
  get closed(): Promise<void> {
    if (this.#socket.readyState === this.#socket.CLOSED) return Promise.resolve();
    return new Promise((resolve) => void this.#socket.once("close", () => resolve()));
  }

  /** Messages in order. What the handler throws closes the socket with 1007 and the error's text. */
  onMessage(handler: (message: SpeechMessage) => void): void {
    this.#socket.on("message", (data, isBinary) => {
      try {
        const message = parseMessage(bufferOf(data), isBinary);
        if (!UNTRACED.has(message.path)) this.trace(message.path, bodyOf(message), "in");
        handler(message);
      } catch (error) {
        this.refuse(error);
      }
    });
  }

  /** Sends after everything sent before, `delayMs` late. */
  send(path: string, requestId: string, body: unknown, delayMs = 0): void {
    if (!UNTRACED.has(path)) this.trace(path, body);
    this.#enqueue(formatMessage(path, requestId, body), delayMs);
  }

  /** A frame as it is, good or bad. */
  sendRaw(frame: string | Buffer): void {
    this.#enqueue(frame, 0);
  }

  /** What the client sent cannot be served. */
  refuse(error: unknown): void {
    const { code, message } = describe(error);
    this.#context.trace.record({ type: "error", code, message }, this.id);
    this.close(BAD_REQUEST, message);
  }

  /** The service cannot go on; the trace says why, the client only that. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#context.trace.record({ type: "error", ...describe(error) }, this.id);
    this.close(INTERNAL_ERROR, "Internal server error");
  }

  close(code: number, reason = ""): void {
    const fits = Buffer.from(reason)
      .subarray(0, LIMIT_REASON_BYTES)
      .toString()
      .replace(/\uFFFD+$/, "");
    this.#socket.close(code, fits);
    // A client that is held back could not answer, and would wait for the end of the connection.
    this.#socket.resume();
  }

  /** As if the network had gone. */
  reset(): void {
    this.#socket.terminate();
  }

  pause(): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The parameters of a planned fault, if it strikes here and now. */
  strike(name: string): FaultParameters | undefined {
    const detail = this.#context.faults?.strike(name);
    if (detail !== undefined) this.#context.trace.record({ type: "fault", name, detail }, this.id);
    return detail;
  }

  trace(kind: string, detail?: unknown, direction: "in" | "out" = "out"): void {
    const towards = kind === "open" ? "in" : direction;
    this.#context.trace.record(
      { type: "socket", service: "speech", direction: towards, kind, detail },
      this.id,
    );
  }

  #enqueue(frame: string | Buffer, delayMs: number): void {
    if (delayMs === 0 && this.#late === 0) return this.#write(frame);
    const due = this.#context.clock.now() + delayMs;
    this.#sending = this.#writeLate(this.#sending, frame, due);
  }

  async #writeLate(before: Promise<void>, frame: string | Buffer, due: number): Promise<void> {
    this.#late++;
    await before;
    const waitMs = due - this.#context.clock.now();
    if (waitMs > 0) await this.#context.clock.sleep(waitMs);
    this.#late--;
    this.#write(frame);
  }

  #write(frame: string | Buffer): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(frame);
  }
}

function describe(error: unknown): { code: string; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? String(error.code) : "SPEECH_INTERNAL";
  return { code, message };
}

function bufferOf(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

/** JSON bodies as values, others as text. */
export function bodyOf({ body }: SpeechMessage): unknown {
  const text = body.toString();
  try {
    return JSON.parse(text);
  } catch {
    // SSML and text pieces are not JSON.
    return text;
  }
}

/** A JSON body. Throws {@link FramingError} for anything else. */
export function jsonOf(message: SpeechMessage): unknown {
  try {
    return JSON.parse(message.body.toString());
  } catch (error) {
    throw new FramingError(`${message.path}: expected JSON`, { cause: error });
  }
}

/** A target such as `//` is no URL, and anyone may send it. */
export function urlOf({ url = "/" }: IncomingMessage): URL | undefined {
  return URL.parse(url, "http://speech") ?? undefined;
}

/** The native WebSocket of Node can show its key in the query only; the `ws` package shows it twice. */
function whereShown({ headers }: IncomingMessage, { searchParams }: URL): string[] {
  const names = Array.from(searchParams.keys(), (name) => name.toLowerCase());
  return [
    ...(CREDENTIALS.some((name) => names.includes(name)) ? ["query"] : []),
    ...(CREDENTIALS.some((name) => headers[name] !== undefined) ? ["headers"] : []),
  ];
}

/** The key travels in the query; only the other parameters are anyone's business. */
function queryOf(url: URL): Record<string, string> {
  return Object.fromEntries(
    Array.from(url.searchParams).filter(([name]) => !CREDENTIALS.includes(name.toLowerCase())),
  );
}
