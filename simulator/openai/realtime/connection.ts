import type { WebSocket } from "ws";
import type { PartyTrace } from "../../trace.ts";
import { isRecord } from "../json.ts";
import { ClientEventError } from "./client-error.ts";
import { type Event, outgoing } from "./dialect.ts";
import type { DialectName } from "./settings.ts";

/** Events that come many times a second are not listed in the trace. */
const UNTRACED = /(?:^input_audio_buffer\.append|\.delta)$/;
/** A client that does not read is cut off when so much waits for it. */
const LIMIT_UNSENT_BYTES = 32 * 1024 * 1024;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;

export interface ConnectionOptions {
  readonly trace: PartyTrace;
  readonly dialect: DialectName;
  readonly newId: (prefix: string) => string;
  /** The session's id. */
  readonly id: string;
}

/** One client's WebSocket: events by the names of its dialect, traced. */
export class RealtimeConnection {
  readonly #socket: WebSocket;
  readonly #options: ConnectionOptions;

  constructor(socket: WebSocket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("close", (code, reason) =>
      this.#trace("in", "close", { code, reason: reason.toString() }),
    );
    socket.on("error", (error) => this.#trace("in", "error", { message: error.message }));
  }

  /** Calls back when the socket is closed, whoever closed it. */
  onClose(callback: () => void): void {
    this.#socket.once("close", callback);
  }

  /** What the handler throws is told to the client; the session goes on. */
  onEvent(handler: (event: Event) => void): void {
    this.#socket.on("message", (data: Buffer, isBinary) => {
      let id: unknown;
      try {
        const event = parseEvent(data, isBinary);
        id = event["event_id"];
        if (!UNTRACED.test(event.type)) this.#trace("in", event.type, event);
        handler(event);
      } catch (error) {
        this.tell(error, id);
      }
    });
  }

  send(event: Event): void {
    const { dialect, newId } = this.#options;
    const named = outgoing(event, dialect);
    if (named === undefined || this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > LIMIT_UNSENT_BYTES) {
      return this.#socket.close(TRY_AGAIN_LATER, "the client does not read");
    }
    const { type, ...rest } = named;
    if (!UNTRACED.test(type)) this.#trace("out", type, rest);
    this.#socket.send(JSON.stringify({ type, event_id: newId("event"), ...rest }));
  }

  /** An `error` event. `causedBy` is the client's own id of the event that it is about. */
  tell(error: unknown, causedBy?: unknown): void {
    const { code, message } = describe(error);
    const isClients = error instanceof ClientEventError;
    this.send({
      type: "error",
      error: {
        type: isClients ? error.type : "server_error",
        code,
        message,
        param: isClients ? (error.param ?? null) : null,
        event_id: typeof causedBy === "string" ? causedBy : null,
      },
    });
  }

  /** Ends the session as the service does when its time is up. */
  expire(message: string): void {
    this.tell(new ClientEventError("session_expired", message));
    this.#socket.close(GOING_AWAY, message);
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  /** As if the network had gone. */
  reset(): void {
    this.#socket.terminate();
  }

  #trace(direction: "in" | "out", kind: string, detail: unknown): void {
    const { trace, id } = this.#options;
    trace.record({ type: "socket", service: "realtime", direction, kind, detail }, id);
  }
}

function describe(error: unknown): { code: string; message: string } {
  if (error instanceof ClientEventError) return error;
  return { code: "server_error", message: error instanceof Error ? error.message : String(error) };
}

function parseEvent(data: Buffer, isBinary: boolean): Event {
  const event = isBinary ? undefined : parseJson(data.toString("utf8"));
  if (!isRecord(event)) {
    throw new ClientEventError(
      "invalid_json",
      "Could not parse the event: expected a JSON object.",
    );
  }
  const { type } = event;
  if (typeof type === "string") return { ...event, type };
  throw new ClientEventError("invalid_event", "The 'type' field is missing.");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told to the client like any other value that is no event.
    return undefined;
  }
}
