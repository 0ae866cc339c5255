import type { Clock, Timer } from "../../clock.ts";
import type { PartyTrace } from "../../trace.ts";
import { type Fields, fieldsOf, isRecord, ownMember, textOf } from "../json.ts";
import type { ScriptedModel } from "../model.ts";
import { ClientEventError, invalidValue, missingParameter } from "./client-error.ts";
import type { RealtimeConnection } from "./connection.ts";
import { currentItem, type Event } from "./dialect.ts";
import { InputAudio, type Turn } from "./input.ts";
import { describeItem, type HeardItem, History, type Item, readItem, readItems } from "./items.ts";
import { type ResponsePace, ResponseRun } from "./response.ts";
import { type DialectName, SessionSettings } from "./settings.ts";
import { Transcriber } from "./transcriber.ts";
import type { RealtimeVoice } from "./voice.ts";

export interface SessionOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly model: ScriptedModel;
  readonly voice: RealtimeVoice;
  readonly pace: ResponsePace;
  readonly id: string;
  /** The model or deployment asked for. */
  readonly modelName: string;
  readonly dialect: DialectName;
  /** The longest a session may last. */
  readonly sessionMs: number;
  readonly semanticSilenceMs: Readonly<Record<string, number>>;
  readonly newId: (prefix: string) => string;
}

/** The largest piece of audio in one event (API reference). */
const LIMIT_APPEND_BYTES = 15 * 1024 * 1024;
const BASE64 = /^[\w+/-]*={0,2}$/;

/** One Realtime session: what the client says in events, and what follows from its audio. */
export class RealtimeSession {
  readonly #connection: RealtimeConnection;
  readonly #options: SessionOptions;
  readonly #history = new History();
  readonly #input: InputAudio;
  readonly #transcriber: Transcriber;
  readonly #responses = new Set<ResponseRun>();
  readonly #conversationId: string;
  readonly #expiry: Timer;
  readonly #expiresAt: number;
  #settings = SessionSettings.defaults();
  /** The id of the item that a turn in progress will become. */
  #turnId = "";
  #idle: Timer | undefined;
  #ended = false;

  constructor(connection: RealtimeConnection, options: SessionOptions) {
    const { clock, sessionMs, newId, semanticSilenceMs, voice } = options;
    this.#connection = connection;
    this.#options = options;
    this.#conversationId = newId("conv");
    this.#transcriber = new Transcriber((event) => connection.send(event));
    this.#input = new InputAudio({
      hear: () => voice.hear(),
      semanticSilenceMs,
      listener: {
        onStarted: (startMs) => this.#callerBegins(startMs),
        onStopped: (endMs, turn) => this.#callerStops(endMs, turn),
      },
    });
    this.#configureInput();
    this.#expiresAt = Math.floor((clock.date().getTime() + sessionMs) / 1000);
    const minutes = Math.round(sessionMs / 60_000);
    this.#expiry = clock.after(sessionMs, () =>
      connection.expire(`Your session hit the maximum duration of ${minutes} minutes.`),
    );
    connection.onClose(() => this.#end());
    connection.onEvent((event) => this.#receive(event));
    connection.send({ type: "session.created", session: this.#describe() });
  }

  readonly #handlers: Readonly<Record<string, (event: Event) => void>> = {
    "session.update": (event) => this.#update(event),
    "input_audio_buffer.append": ({ audio }) => this.#input.append(readAudio(audio)),
    "input_audio_buffer.commit": () =>
      this.#take(this.#options.newId("item"), this.#input.commit()),
    "input_audio_buffer.clear": () => {
      this.#input.clear();
      this.#connection.send({ type: "input_audio_buffer.cleared" });
    },
    "conversation.item.create": (event) => this.#create(event),
    "conversation.item.retrieve": ({ item_id: id }) => {
      const item = this.#history.find(id, "item_retrieve_invalid_item_id", "retrieving");
      this.#connection.send({ type: "conversation.item.retrieved", item: describeItem(item) });
    },
    "conversation.item.truncate": (event) => this.#truncate(event),
    "conversation.item.delete": ({ item_id: id }) => {
      this.#history.delete(id);
      this.#connection.send({ type: "conversation.item.deleted", item_id: id });
    },
    "response.create": ({ response }) => this.#respond(fieldsOf(response)),
    "response.cancel": ({ response_id: id }) => this.#cancel(id),
  };

  #receive(event: Event): void {
    const handler = ownMember(this.#handlers, event.type);
    if (handler === undefined) throw invalidValue("type", event.type, Object.keys(this.#handlers));
    handler(event);
  }

  #end(): void {
    this.#ended = true;
    this.#expiry.cancel();
    this.#idle?.cancel();
    this.#input.clear();
    for (const response of this.#responses) response.abandon();
  }

  #update({ session }: Event): void {
    const { dialect, modelName } = this.#options;
    if (!isRecord(session)) throw missingParameter("session");
    const { type, model, ...patch } = session;
    if (dialect === "ga" && type === undefined) throw missingParameter("session.type");
    if (type !== undefined && type !== "realtime")
      throw invalidValue("session.type", type, ["realtime"]);
    if (model !== undefined && model !== modelName && dialect === "ga") {
      throw new ClientEventError(
        "invalid_value",
        "The model of a session cannot be changed.",
        "session.model",
      );
    }
    const settings = this.#settings.updated(patch, dialect);
    const spoken = this.#history.items.some((item) => item.kind === "said" && item.audioMs > 0);
    if (spoken && settings.voice !== this.#settings.voice) {
      const message = "Cannot update a conversation's voice if assistant audio is present.";
      throw new ClientEventError("cannot_update_voice", message);
    }
    this.#settings = settings;
    this.#configureInput();
    this.#connection.send({ type: "session.updated", session: this.#describe() });
  }

  #configureInput(): void {
    this.#input.configure(this.#settings.inputFormat, this.#settings.turnDetection);
  }

  #describe(): object {
    const { dialect, id, modelName } = this.#options;
    const head = { object: "realtime.session", id, model: modelName, expires_at: this.#expiresAt };
    const type = dialect === "ga" ? { type: "realtime" } : {};
    return { ...type, ...head, ...this.#settings.toJson(dialect) };
  }

  #callerBegins(startMs: number): void {
    this.#idle?.cancel();
    this.#turnId = this.#options.newId("item");
    this.#connection.send({
      type: "input_audio_buffer.speech_started",
      audio_start_ms: startMs,
      item_id: this.#turnId,
    });
    if (this.#settings.turnDetection?.interrupt_response) this.#active?.cancel("turn_detected");
  }

  #callerStops(endMs: number, turn: Turn): void {
    const id = this.#turnId;
    this.#connection.send({
      type: "input_audio_buffer.speech_stopped",
      audio_end_ms: endMs,
      item_id: id,
    });
    this.#take(id, turn);
    if (this.#settings.turnDetection?.create_response) this.#answer();
  }

  /** Makes a turn of the caller an item of the conversation. */
  #take(id: string, { durationMs, words }: Turn): void {
    const item: HeardItem = {
      kind: "heard",
      id,
      durationMs,
      transcript: null,
      words: words.then((text) => {
        item.transcript = text;
        return text;
      }),
    };
    const previous = this.#history.add(item);
    this.#connection.send({
      type: "input_audio_buffer.committed",
      previous_item_id: previous,
      item_id: id,
    });
    this.#announce(item, previous);
    this.#transcriber.follow(item, this.#settings.transcription);
  }

  #announce(item: Item, previous: string | null): void {
    const shown = { previous_item_id: previous, item: describeItem(item) };
    this.#connection.send({ type: "conversation.item.added", ...shown });
    this.#connection.send({ type: "conversation.item.done", ...shown });
  }

  #create({ item: given, previous_item_id: after }: Event): void {
    const { dialect, newId } = this.#options;
    if (!isRecord(given)) throw missingParameter("item");
    const item = readItem(currentItem(given, dialect), () => newId("item"));
    if (item.kind === "result") this.#checkResult(item.callId);
    const previous = this.#history.add(item, typeof after === "string" ? after : undefined);
    this.#announce(item, previous);
  }

  #checkResult(callId: string): void {
    const known = this.#history.items.some(
      (item) => item.kind === "call" && item.callId === callId,
    );
    if (known) return;
    const message = `Tool call ID '${callId}' not found in conversation.`;
    throw new ClientEventError("invalid_tool_call_id", message, "item.call_id");
  }

  #truncate(event: Event): void {
    this.#history.truncate(event);
    const { item_id, content_index = 0, audio_end_ms } = event;
    this.#connection.send({
      type: "conversation.item.truncated",
      item_id,
      content_index,
      audio_end_ms,
    });
  }

  #cancel(id: unknown): void {
    const named =
      id === undefined ? this.#active : [...this.#responses].find((each) => each.id === id);
    if (named === undefined) {
      const message = "Cancellation failed: no active response found";
      throw new ClientEventError("response_cancel_not_active", message);
    }
    named.cancel("client_cancelled");
  }

  /** The response that may write to the conversation: there is one at most. */
  get #active(): ResponseRun | undefined {
    return [...this.#responses].find(({ detached }) => !detached);
  }

  #respond({ conversation, input, metadata, ...rest }: Fields): void {
    const { dialect, newId } = this.#options;
    const { instructions, ...patch } = rest;
    const older = { max_output_tokens: "max_response_output_tokens" };
    const fields = dialect === "ga" ? patch : renamed(patch, older);
    const settings = this.#settings.updated(fields, dialect, "response");
    const items =
      input === undefined ? undefined : readItems(input, this.#history, () => newId("item"));
    this.#start({
      settings,
      detached: conversation === "none",
      metadata,
      ...(instructions === undefined ? {} : { instructed: textOf(instructions) }),
      ...(items === undefined ? {} : { input: items }),
    });
  }

  /** Answers without having been asked. */
  #answer(): void {
    try {
      this.#start({ settings: this.#settings, detached: false, metadata: null });
    } catch (error) {
      // An answer is still being given and may not be interrupted.
      this.#connection.tell(error);
    }
  }

  #start(request: ConstructorParameters<typeof ResponseRun>[1]): void {
    const active = this.#active;
    if (active !== undefined && !request.detached) {
      throw new ClientEventError(
        "conversation_already_has_active_response",
        `Conversation already has an active response in progress: ${active.id}. Wait until the response is finished before creating a new one.`,
      );
    }
    this.#idle?.cancel();
    const { clock, pace, model, voice, newId, trace } = this.#options;
    const context = {
      clock,
      pace,
      model,
      voice,
      newId,
      history: this.#history,
      conversationId: this.#conversationId,
      send: (event: Event) => this.#connection.send(event),
      onSpoken: (text: string, durationMs: number) =>
        trace.record(
          { type: "spoken", text, voice: request.settings.voice, durationMs },
          this.#options.id,
        ),
      reset: () => this.#connection.reset(),
      onDone: (response: ResponseRun) => this.#responded(response),
    };
    const response = new ResponseRun(context, request);
    this.#responses.add(response);
    void response.run();
  }

  #responded(response: ResponseRun): void {
    this.#responses.delete(response);
    this.#connection.send({ type: "rate_limits.updated", rate_limits: RATE_LIMITS });
    this.#awaitCaller(response);
  }

  /** Starts the idle time, unless somebody speaks: then the end of the turn or answer does. */
  #awaitCaller(response: ResponseRun): void {
    const detection = this.#settings.turnDetection;
    if (detection?.type !== "server_vad" || detection.idle_timeout_ms === null) return;
    if (this.#ended || this.#input.turnIsOpen || this.#responses.size > 0) return;
    this.#idle?.cancel();
    // Counted from the moment at which the caller has heard all of it.
    const waitMs = response.audioMs + detection.idle_timeout_ms;
    const sinceMs = this.#input.writtenMs + response.audioMs;
    this.#idle = this.#options.clock.after(waitMs, () => this.#prompt(sinceMs));
  }

  /** Nobody said anything for so long that the model speaks again. */
  #prompt(sinceMs: number): void {
    const id = this.#options.newId("item");
    const endMs = this.#input.writtenMs;
    const startMs = Math.min(sinceMs, endMs);
    this.#connection.send({
      type: "input_audio_buffer.timeout_triggered",
      audio_start_ms: startMs,
      audio_end_ms: endMs,
      item_id: id,
    });
    this.#take(id, { durationMs: endMs - startMs, words: Promise.resolve("") });
    this.#answer();
  }
}

/** The emulator limits nobody; the event is there because clients wait for it. */
const RATE_LIMITS = [
  { name: "requests", limit: 10_000, remaining: 9_999, reset_seconds: 0.006 },
  { name: "tokens", limit: 1_000_000, remaining: 999_000, reset_seconds: 0.06 },
];

function readAudio(audio: unknown): Buffer {
  if (typeof audio !== "string") throw missingParameter("audio");
  const bytes = Buffer.from(audio, "base64");
  if (!BASE64.test(audio) || bytes.length > LIMIT_APPEND_BYTES) {
    throw new ClientEventError(
      "invalid_value",
      "Invalid 'audio'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz) but got an invalid value.",
      "audio",
    );
  }
  return bytes;
}

function renamed(fields: Fields, names: Readonly<Record<string, string>>): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [ownMember(names, name) ?? name, value]),
  );
}
