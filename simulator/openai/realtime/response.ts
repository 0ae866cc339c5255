import type { Clock } from "../../clock.ts";
import { splitTokens } from "../chat.ts";
import type { ScriptedModel } from "../model.ts";
import type { Broken, Failure, Reply, ToolCall } from "../script.ts";
import { bytesPerMs, encodeAudio } from "./audio.ts";
import type { Event } from "./dialect.ts";
import {
  type CallItem,
  describeItem,
  type History,
  type Item,
  messagesOf,
  type SaidItem,
} from "./items.ts";
import type { SessionSettings } from "./settings.ts";
import { usageOf } from "./usage.ts";
import { placedWords, type RealtimeVoice, type SpokenWord } from "./voice.ts";

/** How an answer comes. The service sends audio faster than it plays. */
export interface ResponsePace {
  /** From the request, or the end of the turn, to the first piece. */
  readonly firstPieceMs: number;
  /** Audio carried by one event. */
  readonly chunkMs: number;
  /** Audio milliseconds per millisecond. */
  readonly speed: number;
  /** How far the words of the transcript run ahead of their audio. */
  readonly transcriptLeadMs: number;
  /** Between two pieces of text or of a call's arguments. */
  readonly tokenMs: number;
}

/** What a response needs of its session. */
export interface ResponseContext {
  readonly clock: Clock;
  readonly pace: ResponsePace;
  readonly model: ScriptedModel;
  readonly voice: RealtimeVoice;
  readonly history: History;
  readonly conversationId: string;
  readonly newId: (prefix: string) => string;
  readonly send: (event: Event) => void;
  /** Told of every sentence that is spoken. */
  readonly onSpoken: (text: string, durationMs: number) => void;
  /** Breaks the connection, as a planned failure of the network. */
  readonly reset: () => void;
  readonly onDone: (response: ResponseRun) => void;
}

export interface ResponseRequest {
  /** The session's settings with those of the request over them. */
  readonly settings: SessionSettings;
  /** Instructions for this answer alone. */
  readonly instructed?: string;
  /** Instead of the conversation. */
  readonly input?: readonly Item[];
  /** Out of band: nothing of it enters the conversation. */
  readonly detached: boolean;
  readonly metadata: unknown;
}

type CancelReason = "turn_detected" | "client_cancelled";

interface StatusDetails {
  readonly type: string;
  readonly reason?: string;
  readonly error?: object;
}

/** Arguments of a call come in pieces of so many characters. */
const FRAGMENT = /[\s\S]{1,12}/g;

/** One answer, from `response.created` to `response.done`. Cancelled at any moment it closes what is open. */
export class ResponseRun {
  readonly id: string;
  readonly detached: boolean;
  readonly #context: ResponseContext;
  readonly #request: ResponseRequest;
  readonly #output: Item[] = [];
  readonly #stopping = new AbortController();
  #open: SaidItem | CallItem | undefined;
  #status = "in_progress";
  #details: StatusDetails | null = null;

  constructor(context: ResponseContext, request: ResponseRequest) {
    this.#context = context;
    this.#request = request;
    this.id = context.newId("resp");
    this.detached = request.detached;
  }

  /** Milliseconds of audio that were sent. */
  get audioMs(): number {
    return this.#output.reduce((sum, item) => sum + (item.kind === "said" ? item.audioMs : 0), 0);
  }

  /** Never rejects: what goes wrong ends the response as failed. */
  async run(): Promise<void> {
    this.#context.send({ type: "response.created", response: this.#describe() });
    try {
      await this.#answer();
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#fail({ status: 500, code: "server_error", message: String(error) });
    }
  }

  cancel(reason: CancelReason): void {
    this.#finish("cancelled", { type: "cancelled", reason });
  }

  /** Ends without a word: the session is over. */
  abandon(): void {
    this.#stopping.abort();
  }

  async #answer(): Promise<void> {
    const { clock, history, model, pace } = this.#context;
    const { settings, instructed, input, detached } = this.#request;
    const firstPieceMs = Number(model.strike("openai.slow")?.["firstTokenMs"] ?? pace.firstPieceMs);
    const dueMs = clock.now() + firstPieceMs;
    await history.transcribed();
    this.#stopping.signal.throwIfAborted();
    await this.#pause(dueMs - clock.now());
    const reply = model.answer({
      messages: input === undefined ? history.messages(settings.instructions) : messagesOf(input),
      tools: settings.toolNames,
      ...(instructed === undefined ? {} : { instructed }),
    });
    if (!detached) this.#stopping.signal.throwIfAborted();
    await this.#perform(reply);
  }

  async #perform(reply: Reply): Promise<void> {
    switch (reply.kind) {
      case "failure":
        return this.#fail(reply.failure);
      case "filtered":
        await this.#say(reply.text ?? "", { ends: false });
        return this.#finish("incomplete", { type: "incomplete", reason: "content_filter" });
      case "error":
      case "stall":
      case "drop":
        return this.#breakOff(reply);
      case "text":
        await this.#say(reply.text, { ends: true });
        if (reply.finishReason !== "length") return this.#finish("completed", null);
        return this.#finish("incomplete", { type: "incomplete", reason: "max_output_tokens" });
      case "tools":
        await this.#say(reply.text ?? "", { ends: true });
        for (const call of reply.calls) await this.#call(call);
        return this.#finish("completed", null);
    }
  }

  async #breakOff(reply: Broken): Promise<void> {
    await this.#say(reply.afterText ?? "", { ends: false });
    if (reply.kind === "error") this.#fail(reply.failure);
    if (reply.kind === "drop") this.#context.reset();
  }

  async #say(text: string, { ends }: { ends: boolean }): Promise<void> {
    if (text === "") return;
    const audible = this.#request.settings.audible;
    const item = this.#begin<SaidItem>({
      kind: "said",
      id: this.#context.newId("item"),
      audible,
      status: "in_progress",
      text: "",
      audioMs: 0,
      words: [],
    });
    this.#part(
      "response.content_part.added",
      audible ? { type: "audio", transcript: "" } : { type: "text", text: "" },
    );
    await (audible ? this.#speak(item, text) : this.#write(item, text));
    if (ends) this.#close("completed");
  }

  /** Audio in pieces, each after the words that are due by then. */
  async #speak(item: SaidItem, text: string): Promise<void> {
    const { voice, pace, onSpoken } = this.#context;
    const { settings } = this.#request;
    const utterance = await voice.speak(text, settings.voice);
    this.#stopping.signal.throwIfAborted();
    onSpoken(text, (utterance.samples.length * 1000) / utterance.rateHz);
    const waiting = placedWords(text, utterance);
    const audio = encodeAudio(utterance, settings.outputFormat);
    const chunkBytes = pace.chunkMs * bytesPerMs(settings.outputFormat);
    for (let offset = 0; offset < audio.length; offset += chunkBytes) {
      if (offset > 0) await this.#pause(pace.chunkMs / pace.speed);
      const chunk = audio.subarray(offset, offset + chunkBytes);
      const playedMs = (offset + chunk.length) / bytesPerMs(settings.outputFormat);
      const last = offset + chunkBytes >= audio.length;
      this.#tell(item, dueWords(waiting, last ? Infinity : playedMs + pace.transcriptLeadMs));
      this.#delta("response.output_audio.delta", chunk.toString("base64"));
      item.audioMs = playedMs;
    }
  }

  #tell(item: SaidItem, words: readonly SpokenWord[]): void {
    for (const word of words) {
      item.words.push(word);
      item.text += word.text;
      this.#delta("response.output_audio_transcript.delta", word.text);
    }
  }

  async #write(item: SaidItem, text: string): Promise<void> {
    for (const token of splitTokens(text)) {
      await this.#pause(this.#context.pace.tokenMs);
      item.text += token;
      this.#delta("response.output_text.delta", token);
    }
  }

  async #call({ name, arguments: args }: ToolCall): Promise<void> {
    const { newId, pace } = this.#context;
    const id = newId("item");
    const item = this.#begin<CallItem>({
      kind: "call",
      id,
      callId: newId("call"),
      name,
      status: "in_progress",
      arguments: "",
    });
    for (const delta of (typeof args === "string" ? args : JSON.stringify(args)).match(FRAGMENT) ??
      []) {
      await this.#pause(pace.tokenMs);
      item.arguments += delta;
      this.#send("response.function_call_arguments.delta", { call_id: item.callId, delta });
    }
    this.#close("completed");
  }

  #begin<Kind extends SaidItem | CallItem>(item: Kind): Kind {
    this.#open = item;
    this.#output.push(item);
    const { send, history } = this.#context;
    const described = describeItem(item);
    send({
      type: "response.output_item.added",
      response_id: this.id,
      output_index: this.#output.length - 1,
      item: described,
    });
    if (this.detached) return item;
    const previous = history.add(item);
    send({ type: "conversation.item.added", previous_item_id: previous, item: described });
    return item;
  }

  /** Ends the item that is being made, whole or not. */
  #close(status: "completed" | "incomplete"): void {
    const item = this.#open;
    if (item === undefined) return;
    item.status = status;
    if (item.kind === "said") this.#closeSaid(item);
    else {
      const { callId, name, arguments: args } = item;
      this.#send("response.function_call_arguments.done", {
        call_id: callId,
        name,
        arguments: args,
      });
    }
    this.#open = undefined;
    const described = describeItem(item);
    const { send } = this.#context;
    send({
      type: "response.output_item.done",
      response_id: this.id,
      output_index: this.#output.length - 1,
      item: described,
    });
    if (!this.detached) send({ type: "conversation.item.done", item: described });
  }

  #closeSaid({ audible, text }: SaidItem): void {
    if (audible) {
      this.#part("response.output_audio.done", undefined);
      this.#send("response.output_audio_transcript.done", { content_index: 0, transcript: text });
      this.#part("response.content_part.done", { type: "audio", transcript: text });
    } else {
      this.#send("response.output_text.done", { content_index: 0, text });
      this.#part("response.content_part.done", { type: "text", text });
    }
  }

  #fail({ status, code, message = `status ${status}` }: Failure): void {
    const type = status >= 500 ? "server_error" : "invalid_request_error";
    const named = code ?? (status === 429 ? "rate_limit_exceeded" : type);
    this.#finish("failed", { type: "failed", error: { type, code: named, message } });
  }

  #finish(status: string, details: StatusDetails | null): void {
    if (this.#status !== "in_progress") return;
    this.#stopping.abort();
    this.#close("incomplete");
    this.#status = status;
    this.#details = details;
    const { history, send, onDone } = this.#context;
    const usage = usageOf(
      this.#request.input ?? history.items,
      this.#output,
      this.#request.settings,
    );
    send({ type: "response.done", response: { ...this.#describe(), usage } });
    onDone(this);
  }

  #describe(): object {
    const { settings, detached, metadata } = this.#request;
    const { format, voice } = settings.outputAudio;
    return {
      object: "realtime.response",
      id: this.id,
      status: this.#status,
      status_details: this.#details,
      output: this.#output.map(describeItem),
      conversation_id: detached ? null : this.#context.conversationId,
      output_modalities: [settings.audible ? "audio" : "text"],
      max_output_tokens: settings.maxOutputTokens,
      audio: { output: { format, voice } },
      usage: null,
      metadata: metadata ?? null,
    };
  }

  #delta(type: string, delta: string): void {
    this.#send(type, { content_index: 0, delta });
  }

  #part(type: string, part: object | undefined): void {
    this.#send(type, { content_index: 0, ...(part === undefined ? {} : { part }) });
  }

  #send(type: string, fields: object): void {
    const at = {
      response_id: this.id,
      item_id: this.#open?.id,
      output_index: this.#output.length - 1,
    };
    this.#context.send({ type, ...at, ...fields });
  }

  async #pause(delayMs: number): Promise<void> {
    const { signal } = this.#stopping;
    if (delayMs > 0) await this.#context.clock.sleep(delayMs, { signal });
    signal.throwIfAborted();
  }
}

/** Takes the words that begin before a time off the list. */
function dueWords(waiting: SpokenWord[], beforeMs: number): SpokenWord[] {
  const later = waiting.findIndex(({ startMs }) => startMs >= beforeMs);
  return waiting.splice(0, later < 0 ? waiting.length : later);
}
