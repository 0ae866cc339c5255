import type { Reply, ToolCall } from "./script.ts";

/**
 * Chat completions as Azure OpenAI sends them: the stream's chunks in order, and the plain body.
 * Shapes follow the OpenAI API reference and Azure's "Content streaming" page.
 */
export interface ChatFormat {
  readonly id: string;
  readonly model: string;
  /** Unix seconds. */
  readonly created: number;
  /** Azure's extra first frame and per-choice filter results. */
  readonly azure: boolean;
  readonly includeUsage: boolean;
  readonly promptTokens: number;
}

type Chunk = Record<string, unknown>;

/** One piece of a stream: a JSON chunk, and whether it waits for the model or for the next token. */
export interface StreamPiece {
  readonly chunk: Chunk;
  readonly pace: "now" | "firstToken" | "token";
}

const SAFE = { filtered: false, severity: "safe" };
const FILTER_RESULTS = { hate: SAFE, self_harm: SAFE, sexual: SAFE, violence: SAFE };

/** The answers that have a body; the others are failures of the wire. */
export type Completion = Extract<Reply, { kind: "text" | "tools" | "filtered" }>;

export function streamPieces(reply: Completion, format: ChatFormat): StreamPiece[] {
  const text = reply.text ?? "";
  const calls = reply.kind === "tools" ? reply.calls : [];
  const pieces: StreamPiece[] = [];
  if (format.azure) pieces.push({ chunk: promptFilterChunk(format), pace: "now" });
  pieces.push(
    piece(
      format,
      { role: "assistant", content: calls.length > 0 && text === "" ? null : "", refusal: null },
      "firstToken",
    ),
  );
  for (const token of splitTokens(text)) pieces.push(piece(format, { content: token }, "token"));
  for (const [index, call] of calls.entries()) pieces.push(...toolPieces(call, index, format));
  pieces.push({ chunk: lastChunk(reply, format), pace: "now" });
  if (format.includeUsage) pieces.push({ chunk: usageChunk(format, tokensOf(reply)), pace: "now" });
  return pieces;
}

export function completionBody(reply: Completion, format: ChatFormat): Chunk {
  const text = reply.text ?? "";
  const calls = reply.kind === "tools" ? reply.calls : [];
  const message = {
    role: "assistant",
    content: calls.length > 0 && text === "" ? null : text,
    refusal: null,
    ...(calls.length > 0
      ? { tool_calls: calls.map((call, index) => wholeCall(call, index, format)) }
      : {}),
  };
  return {
    ...envelope(format, "chat.completion"),
    choices: [
      {
        index: 0,
        finish_reason: finishReason(reply),
        logprobs: null,
        message,
        ...(format.azure ? { content_filter_results: filterResults(reply) } : {}),
      },
    ],
    usage: usage(format, tokensOf(reply)),
    ...(format.azure ? { prompt_filter_results: promptFilterResults() } : {}),
  };
}

/** The chunks of a text that breaks off: what was said before a stall or a drop. */
export function brokenPieces(text: string, format: ChatFormat): StreamPiece[] {
  return streamPieces({ kind: "text", text }, { ...format, includeUsage: false }).slice(0, -1);
}

/** Words with the blank before them: the cadence of a real model is about one word a token. */
export function splitTokens(text: string): string[] {
  return text.match(/\s*\S+/g) ?? [];
}

/** Arguments come in pieces of so many characters, which count as a token each. */
function fragmentsOf(call: ToolCall): string[] {
  return argumentText(call).match(/[\s\S]{1,12}/g) ?? [];
}

/** What the model wrote: words, and for each call its name and arguments. */
export function tokensOf(reply: Completion): number {
  const calls = reply.kind === "tools" ? reply.calls : [];
  return calls.reduce(
    (sum, call) => sum + 1 + fragmentsOf(call).length,
    splitTokens(reply.text ?? "").length,
  );
}

function toolPieces(call: ToolCall, index: number, format: ChatFormat): StreamPiece[] {
  const head = {
    index,
    id: callId(format, index),
    type: "function",
    function: { name: call.name, arguments: "" },
  };
  return [
    piece(format, { tool_calls: [head] }, "token"),
    ...fragmentsOf(call).map((fragment) =>
      piece(format, { tool_calls: [{ index, function: { arguments: fragment } }] }, "token"),
    ),
  ];
}

function wholeCall(call: ToolCall, index: number, format: ChatFormat) {
  return {
    id: callId(format, index),
    type: "function",
    function: { name: call.name, arguments: argumentText(call) },
  };
}

function callId({ id }: ChatFormat, index: number): string {
  return `call_${id.replace(/^chatcmpl-/, "")}_${index}`;
}

function argumentText({ arguments: args }: ToolCall): string {
  return typeof args === "string" ? args : JSON.stringify(args);
}

function finishReason(reply: Completion): string {
  if (reply.kind === "filtered") return "content_filter";
  return reply.kind === "tools" ? "tool_calls" : (reply.finishReason ?? "stop");
}

function piece(format: ChatFormat, delta: Chunk, pace: StreamPiece["pace"]): StreamPiece {
  return { chunk: choiceChunk(format, { delta, finish_reason: null }, FILTER_RESULTS), pace };
}

/** Nothing is left to be looked at, unless the filter is why this is the last. */
function lastChunk(reply: Completion, format: ChatFormat): Chunk {
  const results = reply.kind === "filtered" ? filterResults(reply) : {};
  return choiceChunk(format, { delta: {}, finish_reason: finishReason(reply) }, results);
}

function filterResults(reply: Completion): object {
  if (reply.kind !== "filtered") return FILTER_RESULTS;
  return { ...FILTER_RESULTS, [reply.category]: { filtered: true, severity: "medium" } };
}

function choiceChunk(format: ChatFormat, said: Chunk, results: object): Chunk {
  const filter = format.azure ? { content_filter_results: results } : {};
  return {
    ...envelope(format, "chat.completion.chunk"),
    choices: [{ index: 0, ...said, logprobs: null, ...filter }],
    ...(format.includeUsage ? { usage: null } : {}),
  };
}

/** Azure's first frame has no choice and no id: clients that index `choices[0]` fall over it. */
function promptFilterChunk(format: ChatFormat): Chunk {
  return {
    ...envelope(format, ""),
    id: "",
    model: "",
    created: 0,
    choices: [],
    prompt_filter_results: promptFilterResults(),
  };
}

function promptFilterResults() {
  return [{ prompt_index: 0, content_filter_results: FILTER_RESULTS }];
}

function usageChunk(format: ChatFormat, completionTokens: number): Chunk {
  return {
    ...envelope(format, "chat.completion.chunk"),
    choices: [],
    usage: usage(format, completionTokens),
  };
}

function usage({ promptTokens }: ChatFormat, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

function envelope({ id, model, created }: ChatFormat, object: string): Chunk {
  return { id, object, created, model, system_fingerprint: "fp_linecheck" };
}
