import { fieldsOf, isRecord } from "../json.ts";
import type { DialectName } from "./settings.ts";

/** One event on the wire. */
export interface Event extends Readonly<Record<string, unknown>> {
  readonly type: string;
}

/** GA names and the older ones, where they differ (Azure's preview-to-GA migration guide). */
const OLDER_PREFIXES: readonly (readonly [string, string])[] = [
  ["response.output_audio_transcript.", "response.audio_transcript."],
  ["response.output_audio.", "response.audio."],
  ["response.output_text.", "response.text."],
];

/** An event by the dialect's names, or nothing where the preview has no such event. */
export function outgoing(event: Event, dialect: DialectName): Event | undefined {
  if (dialect === "ga") return event;
  if (event.type === "conversation.item.done") return undefined;
  const type = olderType(event.type);
  return {
    ...event,
    type,
    ...(isRecord(event["item"]) ? { item: olderItem(event["item"]) } : {}),
    ...(isRecord(event["response"]) ? { response: olderResponse(event["response"]) } : {}),
  };
}

function olderType(type: string): string {
  if (type === "conversation.item.added") return "conversation.item.created";
  const renamed = OLDER_PREFIXES.find(([name]) => type.startsWith(name));
  return renamed === undefined ? type : `${renamed[1]}${type.slice(renamed[0].length)}`;
}

function olderItem(item: Readonly<Record<string, unknown>>): object {
  return Array.isArray(item["content"])
    ? { ...item, content: item["content"].map(olderPart) }
    : item;
}

function olderPart(part: unknown): unknown {
  const { type, ...rest } = fieldsOf(part);
  const older = type === "output_audio" ? "audio" : type === "output_text" ? "text" : type;
  return { type: older, ...rest };
}

function olderResponse(response: Readonly<Record<string, unknown>>): object {
  const { output, output_modalities: modalities, audio: _audio, ...rest } = response;
  const audible = Array.isArray(modalities) && modalities.includes("audio");
  return {
    ...rest,
    modalities: audible ? ["audio", "text"] : ["text"],
    output: Array.isArray(output) ? output.map((item) => olderItem(fieldsOf(item))) : [],
  };
}

/** A client's item by its GA names. */
export function currentItem(item: unknown, dialect: DialectName): unknown {
  if (dialect === "ga" || !isRecord(item) || !Array.isArray(item["content"])) return item;
  const content = item["content"].map((part: unknown) => {
    const fields = fieldsOf(part);
    const isOlder = item["role"] === "assistant" && fields["type"] === "text";
    return isOlder ? { ...fields, type: "output_text" } : part;
  });
  return { ...item, content };
}
