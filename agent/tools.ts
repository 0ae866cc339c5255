import type { ToolCall, ToolDefinition } from "./llm.ts";
import type { Customer } from "./store.ts";

/** What a tool call comes to. Only a lookup is answered at once; the others end the turn. */
type ToolOutcome =
  | { readonly type: "result"; readonly result: string }
  | { readonly type: "escalate"; readonly summary: string; readonly reason: string }
  | { readonly type: "end" };

export const TOOLS: readonly ToolDefinition[] = [
  tool(
    "look_up_customer",
    "Reads the caller's own account: plan, balance, last invoice, disputes.",
    {
      customer_id: { type: "string", description: "Leave out for the current caller." },
    },
  ),
  tool(
    "escalate_to_human",
    "Connects the caller with a human colleague.",
    {
      summary: {
        type: "string",
        description: "One sentence for the colleague: what is confirmed and what is wanted.",
      },
      reason: { type: "string", description: "One or two words, such as billing." },
    },
    ["summary"],
  ),
  tool("end_call", "Ends the call after the caller said goodbye.", {}),
];

/** A call and what the model is told about it. */
export interface ToolResult {
  readonly call: ToolCall;
  readonly result: string;
}

export interface Toolbox {
  use(call: ToolCall): ToolOutcome;
}

/** A batch of calls: what is answered now, and the one call that ends the turn. */
export interface ToolRound {
  readonly results: readonly ToolResult[];
  readonly ending: { readonly call: ToolCall; readonly outcome: TurnEnding } | undefined;
}

type TurnEnding = Exclude<ToolOutcome, { type: "result" }>;

/** Uses every call of a batch. Of several that would end the turn the first one counts. */
export function useTools(toolbox: Toolbox, calls: readonly ToolCall[]): ToolRound {
  const results: ToolResult[] = [];
  let ending: ToolRound["ending"];
  for (const call of calls) {
    const outcome = toolbox.use(call);
    if (outcome.type === "result") results.push({ call, result: outcome.result });
    else if (ending === undefined) ending = { call, outcome };
    else results.push({ call, result: "not done: another action ends this turn" });
  }
  return { results, ending };
}

/** A summary is cut again when it is encoded; this keeps a runaway model out of the store. */
const TEXT_LIMIT = 2000;

export function openToolbox(options: { readonly customer: Customer | undefined }): Toolbox {
  return {
    use: (call) => {
      const input = parseArguments(call.arguments);
      switch (call.name) {
        case "look_up_customer":
          return result(lookUp(options.customer, input));
        case "escalate_to_human":
          return {
            type: "escalate",
            summary: textOf(input?.["summary"]),
            reason: textOf(input?.["reason"]),
          };
        case "end_call":
          return { type: "end" };
        default:
          return result({ error: `there is no tool named ${call.name.slice(0, 64)}` });
      }
    },
  };
}

/**
 * Only the account the call was identified for. A caller who names another id learns nothing: the
 * number they call from, or the transfer's header, is the only identification there is.
 */
function lookUp(customer: Customer | undefined, input: Arguments | undefined): object {
  if (input === undefined) return { error: "the arguments are not a JSON object" };
  const wanted = textOf(input["customer_id"]);
  if (customer === undefined) return { error: "the caller is not a known customer" };
  if (wanted !== "" && wanted !== customer.id) {
    return { error: "the caller is not identified for this customer" };
  }
  const { id, name, plan, balance, currency, lastInvoice, openDispute } = customer;
  return { id, name, plan, balance, currency, lastInvoice, openDispute };
}

type Arguments = Readonly<Record<string, unknown>>;

/** Models write broken JSON now and then; no arguments at all count as an empty object. */
function parseArguments(text: string): Arguments | undefined {
  if (text.trim() === "") return {};
  try {
    const parsed: unknown = JSON.parse(text);
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    return isObject ? { ...parsed } : undefined;
  } catch {
    // Reported to the model by the tool that needed them.
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.trim().slice(0, TEXT_LIMIT) : "";
}

function result(value: object): ToolOutcome {
  return { type: "result", result: JSON.stringify(value) };
}

function tool(
  name: string,
  description: string,
  properties: Record<string, object>,
  required: readonly string[] = [],
): ToolDefinition {
  const parameters = { type: "object", properties, required, additionalProperties: false };
  return { type: "function", function: { name, description, parameters } };
}
