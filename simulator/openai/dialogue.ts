import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * A conversation with a real model, kept as a file: recorded once, replayed without network. Keys
 * and personal data are hidden in it (see dialogue-mask.ts).
 */
export interface Dialogue {
  readonly v: 1;
  /** Calendar date. */
  readonly recorded: string;
  /** In the order in which they began. */
  readonly exchanges: readonly Exchange[];
}

export interface Exchange {
  readonly request: AskedRequest;
  readonly answer: RecordedAnswer;
}

/** What the model reads of a chat request, and how it is to answer. Nothing else has to match. */
export interface AskedRequest {
  readonly stream: boolean;
  readonly messages: readonly unknown[];
  readonly tools?: unknown;
  readonly tool_choice?: unknown;
  readonly response_format?: unknown;
}

/** Milliseconds count from the request. */
export interface RecordedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a stream: each `data:` with its time; JSON values, or the text `[DONE]`. */
  readonly pieces?: readonly (readonly [atMs: number, data: unknown])[];
  /** Otherwise: the whole body, and when it came. */
  readonly body?: unknown;
  readonly afterMs?: number;
}

export class DialogueError extends Error {
  override readonly name = "DialogueError";
  readonly code: "DIALOGUE_NAME" | "DIALOGUE_MISSING" | "DIALOGUE_INVALID";

  constructor(code: DialogueError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function dialogueFile(folder: string, name: string): string {
  if (/^[a-z\d][a-z\d-]{0,63}$/.test(name)) return join(folder, `${name}.json`);
  throw new DialogueError(
    "DIALOGUE_NAME",
    `a dialogue's name is made of a-z, 0-9 and -, got ${JSON.stringify(name)}`,
  );
}

/** Throws {@link DialogueError}: there is none of that name, or the file is not one. */
export function readDialogue(file: string): Dialogue {
  if (!existsSync(file)) {
    throw new DialogueError(
      "DIALOGUE_MISSING",
      `${file} does not exist; record it with --record-dialogue`,
    );
  }
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (isDialogue(value)) return value;
  } catch (error) {
    throw new DialogueError("DIALOGUE_INVALID", `${file} is not JSON`, { cause: error });
  }
  throw new DialogueError("DIALOGUE_INVALID", `${file} is no dialogue of version 1`);
}

/** The old file stays whole until the new one is. */
export function writeDialogue(file: string, dialogue: Dialogue): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(dialogue, null, 1)}\n`);
  renameSync(temporary, file);
}

/** The part of a request's body that has to match; ids of tool calls are the model's own and count as their order. */
export function askedOf(body: Readonly<Record<string, unknown>>): AskedRequest {
  const { stream, messages, tools, tool_choice, response_format } = body;
  const ids = new Map<string, string>();
  const inOrder = (name: string, value: unknown): unknown => {
    if ((name !== "id" && name !== "tool_call_id") || typeof value !== "string") return value;
    const known = ids.get(value) ?? `call ${ids.size + 1}`;
    ids.set(value, known);
    return known;
  };
  const asked = {
    stream: stream === true,
    // Elsewhere an `id` is what the agent calls something of its own, such as a tool's parameter.
    messages: plain(messages, inOrder),
    tools,
    tool_choice,
    response_format,
  };
  // The request's own check has found messages to be a list.
  return plain(asked) as AskedRequest;
}

/** A copy with members in alphabetical order and without those that hold nothing. */
function plain(
  value: unknown,
  member: (name: string, value: unknown) => unknown = (_name, each) => each,
): unknown {
  if (Array.isArray(value)) return value.map((each) => plain(each, member));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== undefined && each !== null)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, each]) => [name, plain(member(name, each), member)]),
  );
}

function isDialogue(value: unknown): value is Dialogue {
  if (!isRecord(value) || value["v"] !== 1) return false;
  const { exchanges } = value;
  return Array.isArray(exchanges) && exchanges.every(isExchange);
}

function isExchange(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { request, answer } = value;
  if (!isRecord(request) || !Array.isArray(request["messages"])) return false;
  if (!isRecord(answer) || !isRecord(answer["headers"])) return false;
  const { status, pieces, body } = answer;
  const streamed = Array.isArray(pieces) && pieces.every(isPiece);
  return typeof status === "number" && (streamed || (pieces === undefined && body !== undefined));
}

function isPiece(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "number";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
