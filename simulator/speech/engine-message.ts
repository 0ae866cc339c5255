import { EngineError } from "./engine-link.ts";
import type { Word } from "./flite.ts";

/** What an engine says; times are milliseconds of the audio it was given. */
export type EngineMessage =
  | { readonly type: "onset"; readonly startMs?: number }
  | ({ readonly type: "hypothesis" } & EngineText)
  | ({ readonly type: "final"; readonly confidence?: number } & EngineText)
  | { readonly type: "progress"; readonly heardMs: number }
  | { readonly type: "error"; readonly message: string };

export interface EngineText {
  readonly text: string;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly words?: readonly Word[];
  readonly language?: string;
}

const NUMBERS = ["startMs", "endMs", "heardMs", "confidence"];
const TEXTS = ["text", "language", "message"];
/** What each type cannot do without. */
const NEEDS: Record<EngineMessage["type"], readonly string[]> = {
  onset: [],
  hypothesis: ["text"],
  final: ["text"],
  progress: ["heardMs"],
  error: ["message"],
};

/** Throws {@link EngineError} `ENGINE_PROTOCOL`, with the message, for anything else. */
export function parseEngineMessage(text: string): EngineMessage {
  const value = parseJson(text);
  if (typeof value !== "object" || value === null) throw unreadable("expected an object", text);
  const fields = new Map(Object.entries(value));
  const type = String(fields.get("type"));
  if (!isType(type)) {
    throw unreadable(`type: expected one of ${Object.keys(NEEDS).join(", ")}`, text);
  }
  for (const name of NEEDS[type]) if (!fields.has(name)) throw unreadable(`no ${name}`, text);
  for (const [name, field] of fields) {
    if (!isProper(name, field)) throw unreadable(`${name} is not as expected`, text);
  }
  return value as EngineMessage;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unreadable("expected JSON", text, error);
  }
}

function isType(type: string): type is EngineMessage["type"] {
  return Object.hasOwn(NEEDS, type);
}

/** A field of a name that nobody knows is let pass. */
function isProper(name: string, field: unknown): boolean {
  if (NUMBERS.includes(name)) return isNumber(field);
  if (TEXTS.includes(name)) return typeof field === "string";
  return name !== "words" || (Array.isArray(field) && field.every(isWord));
}

function isWord(value: unknown): value is Word {
  if (typeof value !== "object" || value === null) return false;
  const { text, startMs, durationMs } = value as Partial<Record<keyof Word, unknown>>;
  return typeof text === "string" && isNumber(startMs) && isNumber(durationMs);
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function unreadable(why: string, text: string, cause?: unknown): EngineError {
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return new EngineError("ENGINE_PROTOCOL", `${why}, got ${JSON.stringify(shown)}`, { cause });
}
