import { connect } from "node:net";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import type { RealtimeClientEvent, RealtimeServerEvent } from "openai/resources/realtime/realtime";
import type { Config } from "./config.ts";
import { ModelFailure, type ToolCall, type ToolDefinition } from "./llm.ts";

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
  onResponseDone(response: { cancelled: boolean; calls: readonly ToolCall[] }): void;
  /** The session is of no more use. */
  onFailure(failure: ModelFailure): void;
}

export interface RealtimeOptions {
  readonly model: Config["model"];
  readonly realtime: Config["realtime"];
  readonly instructions: string;
  readonly tools: readonly ToolDefinition[];
  readonly listener: RealtimeListener;
}

export interface RealtimeSession extends Disposable {
  /** The caller's audio, 16-bit mono PCM at 24 kHz. */
  write(samples: Uint8Array): void;
  /** Has the model speak this sentence. */
  say(text: string): void;
  /** Has the model go on, after the results of its tools. */
  respond(): void;
  giveResult(callId: string, result: string): void;
  /** Tells the model that the caller heard no more than this of an item. */
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
  const reader = new EventReader(listener);
  connection.on("event", (event) => reader.read(event));
  connection.on("error", (error) => reader.fail(error));
  connection.socket.once("close", () => reader.fail(undefined));
  await opened(connection);
  connection.send(sessionUpdate(options));
  return sessionOver(connection, reader);
}

/** Resolves when the socket is open, or closed: then the failure has been reported. */
function opened({ socket }: OpenAIRealtimeWS): Promise<void> {
  return new Promise((resolve) => {
    socket.once("open", () => resolve());
    socket.once("close", () => resolve());
  });
}

function sessionOver(connection: OpenAIRealtimeWS, reader: EventReader): RealtimeSession {
  const send = (event: RealtimeClientEvent) => {
    if (connection.socket.readyState === connection.socket.OPEN) connection.send(event);
  };
  return {
    write: (samples) => {
      const audio = Buffer.from(samples).toString("base64");
      send({ type: "input_audio_buffer.append", audio });
    },
    say: (text) => {
      const instructions = `Say exactly this, nothing before it and nothing after it: ${text}`;
      send({ type: "response.create", response: { instructions } });
    },
    respond: () => send({ type: "response.create" }),
    giveResult: (callId, output) =>
      send({
        type: "conversation.item.create",
        item: { type: "function_call_output", call_id: callId, output },
      }),
    truncate: (itemId, heardMs) =>
      send({
        type: "conversation.item.truncate",
        item_id: itemId,
        content_index: 0,
        audio_end_ms: Math.max(0, Math.floor(heardMs)),
      }),
    [Symbol.dispose]: () => {
      reader.silence();
      connection.close();
    },
  };
}

function sessionUpdate({ realtime, instructions, tools }: RealtimeOptions): RealtimeClientEvent {
  const format = { type: "audio/pcm", rate: 24_000 } as const;
  return {
    type: "session.update",
    session: {
      type: "realtime",
      instructions,
      output_modalities: ["audio"],
      audio: {
        input: {
          format,
          transcription: { model: realtime.transcriptionModel },
          turn_detection: { type: "server_vad", create_response: true, interrupt_response: true },
        },
        output: { format, voice: realtime.voice },
      },
      tools: tools.flatMap((tool) =>
        tool.type === "function" ? [{ type: "function" as const, ...functionOf(tool) }] : [],
      ),
    },
  };
}

function functionOf({
  function: { name, description, parameters },
}: ToolDefinition & { type: "function" }) {
  return { name, description: description ?? "", parameters };
}

/** Turns the service's events into the few the agent acts on; the first failure is the last event. */
class EventReader {
  readonly #listener: RealtimeListener;
  readonly #calls: ToolCall[] = [];
  #listening = true;

  constructor(listener: RealtimeListener) {
    this.#listener = listener;
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
      case "response.done":
        return this.#done(event.response.status);
      default:
    }
  }

  #done(status: string | undefined): void {
    const calls = this.#calls.splice(0);
    if (status === "failed") return this.fail(new Error("the response failed"));
    const cancelled = status === "cancelled";
    this.#listener.onResponseDone({ cancelled, calls: cancelled ? [] : calls });
  }
}
