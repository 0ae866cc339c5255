import { connect } from "node:net";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import type {
  RealtimeClientEvent,
  RealtimeError,
  RealtimeResponse,
  RealtimeServerEvent,
} from "openai/resources/realtime/realtime";
import type { Config } from "./config.ts";
import { ModelFailure, type ToolCall, type ToolDefinition } from "./llm.ts";
import { ResponseQueue } from "./realtime-responses.ts";

/** What one session reports. Audio is 16-bit mono PCM at 24 kHz, ahead of real time. */
export interface RealtimeListener {
  onAudio(samples: Uint8Array, itemId: string): void;
  /** A piece of the words belonging to the item's audio. */
  onWords(text: string, itemId: string): void;
  /** The caller began to speak; the service has cancelled what it was saying. */
  onSpeechStarted(): void;
  onSpeechStopped(): void;
  /** The caller's words, after the service has transcribed them. */
  onCallerSaid(text: string): void;
  /** One answer is generated: not yet heard, and perhaps cancelled. */
  onResponseDone(response: FinishedResponse): void;
  /** The service refused an event; the session goes on. */
  onRefused(code: string): void;
  /** The session is of no more use. */
  onFailure(failure: ModelFailure): void;
}

export interface FinishedResponse {
  readonly cancelled: boolean;
  readonly calls: readonly ToolCall[];
  /** What {@link RealtimeSession.say} returned, where it is the answer to that. */
  readonly label: string | undefined;
}

export interface RealtimeOptions {
  readonly model: Config["model"];
  readonly realtime: Config["realtime"];
  readonly instructions: string;
  /** Facts from the telephone system, apart from the instructions. */
  readonly callerData: string;
  readonly tools: readonly ToolDefinition[];
  readonly listener: RealtimeListener;
}

export interface RealtimeSession extends Disposable {
  /** The caller's audio, 16-bit mono PCM at 24 kHz. */
  write(samples: Uint8Array): void;
  /** Has the model speak this sentence, after what it is saying. Returns the response's label. */
  say(text: string): string;
  /** Has the model go on, after the results of its tools. */
  respond(): void;
  /** Whether the caller's turns interrupt the model and are answered. They are at the start. */
  converse(enabled: boolean): void;
  giveResult(callId: string, result: string): void;
  /** Tells the model that the caller heard no more than this of an item; 0: nothing of it. */
  truncate(itemId: string, heardMs: number): void;
}

/** Events carry base64 audio of up to a second; anything near this is not one of them. */
const EVENT_LIMIT_BYTES = 4_194_304;

/**
 * Opens a speech-to-speech session. The SDK forces wss; for an http endpoint, a laboratory's, the
 * connection underneath is opened without TLS.
 */
export async function openRealtime(options: RealtimeOptions): Promise<RealtimeSession> {
  const { model, realtime, listener } = options;
  const { endpoint, key: apiKey, apiVersion } = model;
  const client = new AzureOpenAI({ endpoint, apiKey, apiVersion });
  const { port, hostname, protocol } = new URL(endpoint);
  const plain = {
    createConnection: () => connect({ host: hostname, port: Number(port === "" ? 80 : port) }),
  };
  const connection = await OpenAIRealtimeWS.azure(client, {
    deploymentName: realtime.deployment ?? "",
    options: {
      maxPayload: EVENT_LIMIT_BYTES,
      handshakeTimeout: model.stallTimeoutMs,
      ...(protocol === "http:" && plain),
    },
  });
  const responses = new ResponseQueue((event) => sendOver(connection, event));
  const reader = new EventReader(listener, responses);
  connection.on("event", (event) => {
    // Thrown here, what a limit was passed with would end the process, and every other call with it.
    try {
      reader.read(event);
    } catch (error) {
      reader.fail(error);
    }
  });
  connection.on("error", (error) => {
    // What the service itself reports comes as an event, too.
    if (error.error === undefined) reader.fail(error);
  });
  connection.socket.once("close", () => reader.fail(undefined));
  await opened(connection);
  connection.send(sessionUpdate(options));
  connection.send(dataItem(options.callerData));
  return sessionOver(connection, reader, responses);
}

/** Resolves when the socket is open, or closed: then the failure has been reported. */
function opened({ socket }: OpenAIRealtimeWS): Promise<void> {
  return new Promise((resolve) => {
    socket.once("open", () => resolve());
    socket.once("close", () => resolve());
  });
}

function sendOver(connection: OpenAIRealtimeWS, event: RealtimeClientEvent): void {
  if (connection.socket.readyState === connection.socket.OPEN) connection.send(event);
}

function sessionOver(
  connection: OpenAIRealtimeWS,
  reader: EventReader,
  responses: ResponseQueue,
): RealtimeSession {
  const send = (event: RealtimeClientEvent) => sendOver(connection, event);
  return {
    write: (samples) => {
      const audio = Buffer.from(samples).toString("base64");
      send({ type: "input_audio_buffer.append", audio });
    },
    say: (text) => {
      const instructions = `Say exactly this, nothing before it and nothing after it: ${text}`;
      // What it says of its own accord needs no tool.
      return responses.ask({ instructions, tool_choice: "none" });
    },
    respond: () => void responses.ask({}),
    converse: (enabled) => {
      const input = { turn_detection: turnDetection(enabled) };
      send({ type: "session.update", session: { type: "realtime", audio: { input } } });
    },
    giveResult: (callId, output) =>
      send({
        type: "conversation.item.create",
        item: { type: "function_call_output", call_id: callId, output },
      }),
    truncate: (itemId, heardMs) => {
      // The service cannot cut an item to nothing.
      if (heardMs < 1) return send({ type: "conversation.item.delete", item_id: itemId });
      send({
        type: "conversation.item.truncate",
        item_id: itemId,
        content_index: 0,
        audio_end_ms: Math.floor(heardMs),
      });
    },
    [Symbol.dispose]: () => {
      reader.silence();
      connection.close();
    },
  };
}

/** A session that refuses this knows neither its instructions nor its tools. */
const CONFIGURATION = "configuration";
/** Names of the service. */
const ALREADY_ACTIVE = "conversation_already_has_active_response";

function sessionUpdate({ realtime, instructions, tools }: RealtimeOptions): RealtimeClientEvent {
  const format = { type: "audio/pcm", rate: 24_000 } as const;
  return {
    type: "session.update",
    event_id: CONFIGURATION,
    session: {
      type: "realtime",
      instructions,
      output_modalities: ["audio"],
      audio: {
        input: {
          format,
          transcription: { model: realtime.transcriptionModel },
          turn_detection: turnDetection(true),
        },
        output: { format, voice: realtime.voice },
      },
      tools: tools.flatMap((tool) =>
        tool.type === "function" ? [{ type: "function" as const, ...functionOf(tool) }] : [],
      ),
    },
  };
}

function dataItem(text: string): RealtimeClientEvent {
  const content = [{ type: "input_text" as const, text }];
  return {
    type: "conversation.item.create",
    item: { type: "message", role: "system", content },
  };
}

function turnDetection(enabled: boolean) {
  return { type: "server_vad", create_response: enabled, interrupt_response: enabled } as const;
}

function functionOf({
  function: { name, description, parameters },
}: ToolDefinition & { type: "function" }) {
  return { name, description: description ?? "", parameters };
}

/** Turns the service's events into the few the agent acts on; the first failure is the last event. */
class EventReader {
  readonly #listener: RealtimeListener;
  readonly #responses: ResponseQueue;
  readonly #calls: ToolCall[] = [];
  #listening = true;

  constructor(listener: RealtimeListener, responses: ResponseQueue) {
    this.#listener = listener;
    this.#responses = responses;
  }

  silence(): void {
    this.#listening = false;
  }

  fail(error: unknown): void {
    if (!this.#listening) return;
    this.silence();
    const detail = error instanceof Error ? error.name : "the connection was closed";
    this.#listener.onFailure(new ModelFailure("dropped", detail, { cause: error }));
  }

  read(event: RealtimeServerEvent): void {
    if (!this.#listening) return;
    switch (event.type) {
      case "response.output_audio.delta":
        return this.#listener.onAudio(Buffer.from(event.delta, "base64"), event.item_id);
      case "response.output_audio_transcript.delta":
        return this.#listener.onWords(event.delta, event.item_id);
      case "input_audio_buffer.speech_started":
        return this.#listener.onSpeechStarted();
      case "input_audio_buffer.speech_stopped":
        return this.#listener.onSpeechStopped();
      case "conversation.item.input_audio_transcription.completed":
        return this.#listener.onCallerSaid(event.transcript.trim());
      case "response.function_call_arguments.done":
        this.#calls.push({ id: event.call_id, name: event.name, arguments: event.arguments });
        return;
      case "response.created":
        return this.#responses.created(event.response.metadata?.["label"]);
      case "response.done":
        return this.#done(event.response);
      case "error":
        return this.#refused(event.error);
      default:
    }
  }

  /** Most errors concern one event only; the session goes on without it. */
  #refused({ code, event_id: id }: RealtimeError): void {
    if (id === CONFIGURATION) return this.fail(new Error("the session refused its configuration"));
    if (code === ALREADY_ACTIVE && this.#responses.refused(id)) return;
    this.#listener.onRefused(code ?? "unknown");
  }

  #done({ status, metadata }: RealtimeResponse): void {
    const calls = this.#calls.splice(0);
    if (status === "failed") return this.fail(new Error("the response failed"));
    const cancelled = status === "cancelled";
    const label = metadata?.["label"];
    this.#listener.onResponseDone({ cancelled, calls: cancelled ? [] : calls, label });
    this.#responses.done();
  }
}
