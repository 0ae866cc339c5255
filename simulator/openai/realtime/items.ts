import { type Fields, fieldsOf, isRecord, textOf } from "../json.ts";
import type { ChatMessage } from "../script.ts";
import { ClientEventError, invalidValue, missingParameter } from "./client-error.ts";
import type { SpokenWord } from "./voice.ts";

type Status = "in_progress" | "completed" | "incomplete";

/** What a client said in words, or the instructions it put into the conversation. */
interface TextItem {
  readonly kind: "text";
  readonly id: string;
  readonly role: "user" | "system" | "assistant";
  readonly text: string;
}

/** A turn of the caller. */
export interface HeardItem {
  readonly kind: "heard";
  readonly id: string;
  readonly durationMs: number;
  /** Resolves when the recogniser is done; empty where it made nothing out. */
  readonly words: Promise<string>;
  /** The words, once known. */
  transcript: string | null;
}

/** What the model says, as it says it. */
export interface SaidItem {
  readonly kind: "said";
  readonly id: string;
  readonly audible: boolean;
  status: Status;
  text: string;
  /** Audio sent so far. */
  audioMs: number;
  /** The words sent so far, with their place in the audio. */
  readonly words: SpokenWord[];
  /** Where a client cut it: nothing after this was heard. */
  heardMs?: number;
}

export interface CallItem {
  readonly kind: "call";
  readonly id: string;
  readonly callId: string;
  readonly name: string;
  status: Status;
  arguments: string;
}

interface ResultItem {
  readonly kind: "result";
  readonly id: string;
  readonly callId: string;
  readonly output: string;
}

export type Item = TextItem | HeardItem | SaidItem | CallItem | ResultItem;

/** An item as a server event shows it, by its GA names. Audio is never shown. */
export function describeItem(item: Item): Record<string, unknown> {
  const head = { id: item.id, object: "realtime.item" };
  switch (item.kind) {
    case "text": {
      const type = item.role === "assistant" ? "output_text" : "input_text";
      const content = [{ type, text: item.text }];
      return { ...head, type: "message", status: "completed", role: item.role, content };
    }
    case "heard": {
      const content = [{ type: "input_audio", transcript: item.transcript }];
      return { ...head, type: "message", status: "completed", role: "user", content };
    }
    case "said":
      return {
        ...head,
        type: "message",
        status: item.status,
        role: "assistant",
        content: saidContent(item),
      };
    case "call": {
      const { status, name, callId, arguments: args } = item;
      return { ...head, type: "function_call", status, name, call_id: callId, arguments: args };
    }
    default:
      return { ...head, type: "function_call_output", call_id: item.callId, output: item.output };
  }
}

function saidContent({ status, audible, text, heardMs }: SaidItem): unknown[] {
  if (status === "in_progress") return [];
  if (!audible) return [{ type: "output_text", text }];
  // The transcript goes when the audio is cut: the service does not know which words were heard.
  return [{ type: "output_audio", ...(heardMs === undefined ? { transcript: text } : {}) }];
}

/** An item of `conversation.item.create`. Throws {@link ClientEventError}. */
export function readItem(value: unknown, newId: () => string): Item {
  const item = fieldsOf(value);
  const id = textOf(item["id"]) || newId();
  switch (item["type"]) {
    case "message":
      return readMessage(item, id);
    case "function_call": {
      const [name, callId] = [required(item, "name"), required(item, "call_id")];
      return {
        kind: "call",
        id,
        name,
        callId,
        status: "completed",
        arguments: textOf(item["arguments"]),
      };
    }
    case "function_call_output":
      return {
        kind: "result",
        id,
        callId: required(item, "call_id"),
        output: required(item, "output"),
      };
    case undefined:
      throw missingParameter("item.type");
    default:
      throw invalidValue("item.type", item["type"], [
        "message",
        "function_call",
        "function_call_output",
      ]);
  }
}

const PART_TYPES: Readonly<Record<string, string>> = {
  user: "input_text",
  system: "input_text",
  assistant: "output_text",
};

function readMessage(item: Fields, id: string): TextItem {
  const { role, content } = item;
  if (role !== "user" && role !== "system" && role !== "assistant") {
    throw invalidValue("item.role", role, Object.keys(PART_TYPES));
  }
  const parts: readonly unknown[] = Array.isArray(content) ? content : [];
  const text = parts.map((part, index) => readPart(part, role, `item.content[${index}]`)).join("");
  return { kind: "text", id, role, text };
}

/** Text, or audio with its transcript: what was said without words cannot be known here. */
function readPart(part: unknown, role: string, param: string): string {
  const { type, text, transcript } = fieldsOf(part);
  const expected = PART_TYPES[role] ?? "";
  if (type === expected) return textOf(text);
  if (role === "user" && type === "input_audio" && typeof transcript === "string")
    return transcript;
  const supported = role === "user" ? [expected, "input_audio"] : [expected];
  throw invalidValue(`${param}.type`, type, supported);
}

function required(item: Fields, name: string): string {
  const value = item[name];
  if (typeof value !== "string") throw missingParameter(`item.${name}`);
  return value;
}

/** Items kept in one conversation; the oldest go first, as the service's context does. */
const LIMIT_ITEMS = 2_000;

/** The conversation of one session, oldest item first. */
export class History {
  readonly #items: Item[] = [];

  get items(): readonly Item[] {
    return this.#items;
  }

  /** Adds an item behind another, behind all (default), or first (`root`). Returns the one before it. */
  add(item: Item, after?: string): string | null {
    if (this.#items.some(({ id }) => id === item.id)) {
      const message = `Error adding item: an item with id '${item.id}' already exists.`;
      throw new ClientEventError("item_create_duplicate_id", message, "item.id");
    }
    const index = this.#placeAfter(after);
    this.#items.splice(index, 0, item);
    if (this.#items.length > LIMIT_ITEMS) this.#items.shift();
    return this.#items[index - 1]?.id ?? null;
  }

  /** Throws {@link ClientEventError} with that code where there is none. */
  find(id: unknown, code: string, doing: string): Item {
    const item = this.#items.find((each) => each.id === id);
    if (item !== undefined) return item;
    const message = `Error ${doing} item: the item with id '${textOf(id)}' does not exist.`;
    throw new ClientEventError(code, message, "item_id");
  }

  delete(id: unknown): void {
    const item = this.find(id, "item_delete_invalid_item_id", "deleting");
    this.#items.splice(this.#items.indexOf(item), 1);
  }

  /** Cuts what the model said to what was heard of it. */
  truncate({ item_id: id, audio_end_ms: endMs }: Fields): void {
    const item = this.find(id, "item_truncate_invalid_item_id", "truncating");
    if (typeof endMs !== "number") throw missingParameter("audio_end_ms");
    if (item.kind !== "said" || !item.audible || item.audioMs === 0) {
      const message = "Only model output audio messages can be truncated";
      throw new ClientEventError("unsupported_content_type", message, "item_id");
    }
    const lengthMs = Math.min(item.audioMs, item.heardMs ?? item.audioMs);
    if (endMs > lengthMs) {
      const message = `Audio content of ${Math.floor(lengthMs)}ms is already shorter than ${endMs}ms`;
      throw new ClientEventError("invalid_value", message, "audio_end_ms");
    }
    item.heardMs = endMs;
  }

  /** Resolves when every turn of the caller so far is in words. */
  async transcribed(): Promise<void> {
    await Promise.all(this.#items.flatMap((item) => (item.kind === "heard" ? [item.words] : [])));
  }

  /** The conversation as the script reads it: words, and only those that were heard. */
  messages(instructions: string): ChatMessage[] {
    const system = instructions === "" ? [] : [{ role: "system", content: instructions }];
    return [...system, ...messagesOf(this.#items)];
  }

  #placeAfter(id: string | undefined): number {
    if (id === undefined) return this.#items.length;
    if (id === "root") return 0;
    return this.#items.indexOf(this.find(id, "item_create_invalid_previous_item_id", "adding")) + 1;
  }
}

export function messagesOf(items: readonly Item[]): ChatMessage[] {
  return items.map(messageOf);
}

function messageOf(item: Item): ChatMessage {
  switch (item.kind) {
    case "text":
      return { role: item.role, content: item.text };
    case "heard":
      return { role: "user", content: item.transcript ?? "" };
    case "said":
      return { role: "assistant", content: heardText(item) };
    case "call":
      return { role: "assistant", content: "", toolCalls: [{ id: item.callId, name: item.name }] };
    default:
      return { role: "tool", content: item.output, toolCallId: item.callId };
  }
}

function heardText({ text, words, heardMs }: SaidItem): string {
  if (heardMs === undefined) return text;
  return words
    .filter(({ startMs }) => startMs < heardMs)
    .map((word) => word.text)
    .join("")
    .trim();
}

/** Items given with a request instead of the conversation: whole ones, or references. */
export function readItems(value: unknown, history: History, newId: () => string): Item[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [];
  return given.map((each) =>
    isRecord(each) && each["type"] === "item_reference"
      ? history.find(each["id"], "item_reference_invalid_item_id", "referencing")
      : readItem(each, newId),
  );
}
