import { type Fields, fieldsOf, isRecord, textOf } from "./json.ts";
import { InvalidRequest } from "./request.ts";
import type { ChatMessage } from "./script.ts";

/** A request to the Responses API that passed the service's own checks. */
export interface ResponsesRequest {
  readonly model: string;
  readonly instructions: string | null;
  /** What this request adds to the conversation. */
  readonly input: readonly ChatMessage[];
  readonly tools: readonly Fields[];
  readonly stream: boolean;
  /** Whether a later request may go on from this one. */
  readonly store: boolean;
  readonly previousId: string | null;
  readonly metadata: unknown;
  readonly maxOutputTokens: unknown;
}

const ROLES = ["assistant", "system", "developer", "user"];

/** Reads and checks the body of `POST …/responses`. Throws {@link InvalidRequest}. */
export function readResponsesRequest(body: unknown): ResponsesRequest {
  if (!isRecord(body)) throw new InvalidRequest("the body is not a JSON object", "body");
  const { model, input, instructions, stream, store, metadata = {} } = body;
  if (typeof model !== "string" || model === "") throw missing("model");
  if (input === undefined) throw missing("input");
  return {
    model,
    instructions: typeof instructions === "string" ? instructions : null,
    input: readInput(input),
    tools: readTools(body["tools"] ?? []),
    stream: stream === true,
    store: store !== false,
    previousId: textOf(body["previous_response_id"]) || null,
    metadata,
    maxOutputTokens: body["max_output_tokens"] ?? null,
  };
}

export function toolNames(tools: readonly Fields[]): string[] {
  return tools.map(({ name }) => textOf(name));
}

/** Every result answers a call that was made, here or before. Throws {@link InvalidRequest}. */
export function checkResults(messages: readonly ChatMessage[]): void {
  const made = new Set<string>();
  for (const { role, toolCalls = [], toolCallId = "" } of messages) {
    for (const { id } of toolCalls) made.add(id);
    if (role !== "tool" || made.has(toolCallId)) continue;
    throw new InvalidRequest(
      `No tool call found for function call output with call_id ${toolCallId}.`,
      "input",
    );
  }
  const answered = new Set(messages.map(({ toolCallId }) => toolCallId));
  const open = [...made].find((id) => !answered.has(id));
  if (open === undefined) return;
  throw new InvalidRequest(`No tool output found for function call ${open}.`, "input");
}

function readInput(input: unknown): ChatMessage[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  if (!Array.isArray(input)) {
    throw new InvalidRequest(
      "Invalid type for 'input': expected one of a string or an array of input items.",
      "input",
    );
  }
  return input.map((item, index) => readItem(fieldsOf(item), `input[${index}]`));
}

function readItem(item: Fields, param: string): ChatMessage {
  const { type = "message", role, content, call_id: callId, name, output } = item;
  switch (type) {
    case "message":
      if (typeof role !== "string" || !ROLES.includes(role))
        throw unsupported(`${param}.role`, role, ROLES);
      return { role, content: readContent(content) };
    case "function_call":
      return {
        role: "assistant",
        content: "",
        toolCalls: [{ id: textOf(callId), name: textOf(name) }],
      };
    case "function_call_output":
      if (typeof callId !== "string") throw missing(`${param}.call_id`);
      return { role: "tool", content: readContent(output), toolCallId: callId };
    default:
      throw unsupported(`${param}.type`, type, [
        "message",
        "function_call",
        "function_call_output",
      ]);
  }
}

function readContent(content: unknown): string {
  if (typeof content === "string") return content;
  const parts: readonly unknown[] = Array.isArray(content) ? content : [];
  return parts.map((part) => textOf(fieldsOf(part)["text"])).join("");
}

/** Functions stand flat in this API; the chat API's nesting is refused, as it is by the service. */
function readTools(tools: unknown): Fields[] {
  if (!Array.isArray(tools))
    throw new InvalidRequest("Invalid 'tools': expected an array.", "tools");
  return tools.map((tool, index) => {
    const fields = fieldsOf(tool);
    if (fields["type"] !== "function")
      throw unsupported(`tools[${index}].type`, fields["type"], ["function"]);
    if (typeof fields["name"] !== "string") throw missing(`tools[${index}].name`);
    return fields;
  });
}

function missing(param: string): InvalidRequest {
  return new InvalidRequest(`Missing required parameter: '${param}'.`, param);
}

function unsupported(param: string, got: unknown, supported: readonly string[]): InvalidRequest {
  const values = supported.map((value) => `'${value}'`).join(", ");
  return new InvalidRequest(
    `Invalid value: ${JSON.stringify(got)}. Supported values are: ${values}.`,
    param,
  );
}
