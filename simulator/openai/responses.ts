import { type Completion, type StreamPiece, splitTokens, tokensOf } from "./chat.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import type { ChatMessage, Failure, ToolCall } from "./script.ts";

/**
 * The Responses API: the events of a stream in order, and the plain body (OpenAI API reference,
 * "Responses"; the events that the SDK's own stream reader takes).
 */
export interface ResponseFormat {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly request: ResponsesRequest;
  readonly promptTokens: number;
}

type Item = Readonly<Record<string, unknown>>;
type Pace = StreamPiece["pace"];

/** A streamed event. Its name is also the SSE event's. */
export interface ResponsePiece {
  readonly event: Readonly<Record<string, unknown>> & { readonly type: string };
  readonly pace: Pace;
}

/** The whole answer, as it is sent without a stream and with the last event of one. */
export function responseBody(reply: Completion, format: ResponseFormat): Item {
  const status = statusOf(reply);
  const reason = reply.kind === "filtered" ? "content_filter" : "max_output_tokens";
  return {
    ...envelope(format, status),
    incomplete_details: status === "incomplete" ? { reason } : null,
    output: outputOf(reply, format),
    usage: usageOf(reply, format),
  };
}

export function responsePieces(reply: Completion, format: ResponseFormat): ResponsePiece[] {
  const whole = responseBody(reply, format);
  const stream = new PieceList(format);
  const text = reply.text ?? "";
  if (text !== "") stream.message(messageItem(text, format, statusOf(reply)), text);
  if (reply.kind === "tools") {
    for (const [index, call] of reply.calls.entries())
      stream.call(call, callItem(call, index, format));
  }
  const type = whole["status"] === "completed" ? "response.completed" : "response.incomplete";
  stream.add({ type, response: whole });
  return stream.pieces;
}

/** The events of a text that breaks off. */
export function brokenResponsePieces(text: string, format: ResponseFormat): ResponsePiece[] {
  const stream = new PieceList(format);
  stream.message(messageItem(text, format, "incomplete"), text);
  // Neither the text's end nor anything behind it.
  return stream.pieces.filter(({ event }) => !event.type.endsWith(".done"));
}

/** The events of an answer that fails after that text. */
export function failedResponsePieces(
  text: string,
  { status, code = "server_error", message = `status ${status}` }: Failure,
  format: ResponseFormat,
): ResponsePiece[] {
  const before = brokenResponsePieces(text, format);
  const response = { ...envelope(format, "failed"), error: { code, message }, output: [] };
  const last: ResponsePiece = { event: { type: "response.failed", response }, pace: "now" };
  return [...before, last].map(({ event, pace }, index) => {
    return { event: { ...event, sequence_number: index }, pace };
  });
}

/** What the answer adds to the conversation. */
export function answerMessages(reply: Completion, format: ResponseFormat): ChatMessage[] {
  const text = reply.text ?? "";
  const calls = reply.kind === "tools" ? reply.calls : [];
  const toolCalls = calls.map(({ name }, index) => ({ id: callId(index, format), name }));
  return [{ role: "assistant", content: text, ...(toolCalls.length > 0 ? { toolCalls } : {}) }];
}

/** Numbers the events, and knows how far the output has come. */
class PieceList {
  readonly pieces: ResponsePiece[] = [];
  #outputIndex = 0;

  constructor(format: ResponseFormat) {
    const response = { ...envelope(format, "in_progress"), output: [], usage: null };
    this.add({ type: "response.created", response });
    this.add({ type: "response.in_progress", response });
  }

  add(event: ResponsePiece["event"], pace: Pace = "now"): void {
    this.pieces.push({ event: { ...event, sequence_number: this.pieces.length }, pace });
  }

  message(item: Item, text: string): void {
    const at = { item_id: item["id"], output_index: this.#outputIndex, content_index: 0 };
    this.#begin({ ...item, status: "in_progress", content: [] });
    this.add({ type: "response.content_part.added", ...at, part: textPart("") });
    for (const delta of splitTokens(text)) {
      this.add({ type: "response.output_text.delta", ...at, delta, logprobs: [] }, "token");
    }
    this.add({ type: "response.output_text.done", ...at, text, logprobs: [] });
    this.add({ type: "response.content_part.done", ...at, part: textPart(text) });
    this.#end(item);
  }

  call(call: ToolCall, item: Item): void {
    const at = { item_id: item["id"], output_index: this.#outputIndex };
    this.#begin({ ...item, status: "in_progress", arguments: "" });
    const args = argumentText(call);
    for (const delta of args.match(/[\s\S]{1,12}/g) ?? []) {
      this.add({ type: "response.function_call_arguments.delta", ...at, delta }, "token");
    }
    this.add({
      type: "response.function_call_arguments.done",
      ...at,
      name: call.name,
      arguments: args,
    });
    this.#end(item);
  }

  #begin(item: Item): void {
    const pace = this.#outputIndex === 0 ? "firstToken" : "now";
    this.add({ type: "response.output_item.added", output_index: this.#outputIndex, item }, pace);
  }

  #end(item: Item): void {
    this.add({ type: "response.output_item.done", output_index: this.#outputIndex++, item });
  }
}

function outputOf(reply: Completion, format: ResponseFormat): Item[] {
  const text = reply.text ?? "";
  const calls = reply.kind === "tools" ? reply.calls : [];
  return [
    ...(text === "" ? [] : [messageItem(text, format, statusOf(reply))]),
    ...calls.map((call, index) => callItem(call, index, format)),
  ];
}

function statusOf(reply: Completion): string {
  const cut = reply.kind === "text" && reply.finishReason === "length";
  return cut || reply.kind === "filtered" ? "incomplete" : "completed";
}

function messageItem(text: string, { id }: ResponseFormat, status: string): Item {
  const name = id.replace(/^resp_/, "msg_");
  return {
    id: name,
    type: "message",
    status,
    role: "assistant",
    content: [textPart(text)],
  };
}

function callItem(call: ToolCall, index: number, format: ResponseFormat): Item {
  return {
    id: `${format.id.replace(/^resp_/, "fc_")}_${index}`,
    type: "function_call",
    status: "completed",
    call_id: callId(index, format),
    name: call.name,
    arguments: argumentText(call),
  };
}

function callId(index: number, { id }: ResponseFormat): string {
  return `${id.replace(/^resp_/, "call_")}_${index}`;
}

function textPart(text: string): object {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function argumentText({ arguments: args }: ToolCall): string {
  return typeof args === "string" ? args : JSON.stringify(args);
}

function usageOf(reply: Completion, { promptTokens }: ResponseFormat): object {
  const written = tokensOf(reply);
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: written,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + written,
  };
}

function envelope({ id, created, request }: ResponseFormat, status: string): Item {
  return {
    id,
    object: "response",
    created_at: created,
    status,
    error: null,
    incomplete_details: null,
    instructions: request.instructions,
    max_output_tokens: request.maxOutputTokens,
    metadata: request.metadata,
    model: request.model,
    parallel_tool_calls: true,
    previous_response_id: request.previousId,
    store: request.store,
    temperature: 1,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: request.tools,
    top_p: 1,
    truncation: "disabled",
  };
}
