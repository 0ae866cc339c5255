import { isRecord, textOf } from "./json.ts";
import type { ChatMessage, Conversation } from "./script.ts";

/** A chat request that passed the service's own checks. */
export interface ChatRequest {
  /** All of it, as it was sent. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly conversation: Conversation;
  /** The deployment, where there is one. */
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** A request body that the service refuses with 400 `invalid_request_error`. */
export class InvalidRequest extends Error {
  override readonly name = "InvalidRequest";
  readonly code = "invalid_request_error";
  readonly param: string;

  constructor(message: string, param: string) {
    super(message);
    this.param = param;
  }
}

const ROLES = new Set(["system", "developer", "user", "assistant", "tool"]);

/**
 * Reads and checks the body of `POST …/chat/completions`; `deployment` is the model where the path
 * names it. Throws {@link InvalidRequest}.
 */
export function readChatRequest(body: unknown, deployment?: string): ChatRequest {
  if (!isRecord(body)) throw new InvalidRequest("the body is not a JSON object", "body");
  const { messages, tools = [], stream = false, stream_options: streamOptions } = body;
  const model = deployment ?? textOf(body["model"]);
  if (model === "") throw new InvalidRequest("you must provide a model parameter", "model");
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new InvalidRequest(
      "Invalid 'messages': expected an array with minimum length 1.",
      "messages",
    );
  }
  const conversation = {
    messages: messages.map(readMessage),
    tools: readTools(tools),
  };
  checkToolOrder(conversation.messages);
  return {
    body,
    conversation,
    model,
    stream: stream === true,
    includeUsage: isRecord(streamOptions) && streamOptions["include_usage"] === true,
  };
}

function readMessage(message: unknown, index: number): ChatMessage {
  const param = `messages.[${index}]`;
  if (!isRecord(message))
    throw new InvalidRequest(`Invalid '${param}': expected an object.`, param);
  const { role, content, tool_calls: toolCalls, tool_call_id: toolCallId } = message;
  if (typeof role !== "string" || !ROLES.has(role)) {
    const got = JSON.stringify(role);
    throw new InvalidRequest(
      `Invalid value: ${got}. Supported values are: ${[...ROLES].join(", ")}.`,
      `${param}.role`,
    );
  }
  if (role === "user" && typeof content !== "string" && !Array.isArray(content)) {
    throw new InvalidRequest(
      `Invalid value for 'content': expected a string, got ${String(content)}.`,
      `${param}.content`,
    );
  }
  return {
    role,
    content: readContent(content),
    ...(typeof toolCallId === "string" ? { toolCallId } : {}),
    ...(Array.isArray(toolCalls) ? { toolCalls: toolCalls.map(readToolCall) } : {}),
  };
}

function readContent(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (isRecord(part) ? textOf(part["text"]) : "")).join("");
}

function readToolCall(call: unknown): { id: string; name: string } {
  const record = isRecord(call) ? call : {};
  const called = isRecord(record["function"]) ? record["function"] : {};
  return { id: textOf(record["id"]), name: textOf(called["name"]) };
}

function readTools(tools: unknown): string[] {
  if (!Array.isArray(tools))
    throw new InvalidRequest("Invalid 'tools': expected an array.", "tools");
  return tools.map((tool, index) => {
    const declared = isRecord(tool) && isRecord(tool["function"]) ? tool["function"] : {};
    const { name } = declared;
    if (typeof name === "string" && /^[\w-]{1,64}$/.test(name)) return name;
    throw new InvalidRequest(
      `Invalid 'tools[${index}].function.name': expected 1 to 64 of a-z, A-Z, 0-9, _ and -, got ${JSON.stringify(name)}.`,
      `tools[${index}].function.name`,
    );
  });
}

/** Every tool call is answered at once, and nothing answers a call that was not made. */
function checkToolOrder(messages: readonly ChatMessage[]): void {
  const open = new Set<string>();
  for (const [index, message] of messages.entries()) {
    if (message.role === "tool") {
      if (open.delete(message.toolCallId ?? "")) continue;
      throw new InvalidRequest(
        "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
        `messages.[${index}].role`,
      );
    }
    if (open.size > 0) throw unansweredCalls(open, index);
    for (const call of message.toolCalls ?? []) open.add(call.id);
  }
  if (open.size > 0) throw unansweredCalls(open, messages.length - 1);
}

function unansweredCalls(open: ReadonlySet<string>, index: number): InvalidRequest {
  return new InvalidRequest(
    `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...open].join(", ")}`,
    `messages.[${index}].role`,
  );
}
