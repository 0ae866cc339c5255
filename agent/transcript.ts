import type { CallRecorder } from "./call-record.ts";
import type { Message } from "./llm.ts";
import type { Turn } from "./store.ts";
import type { ToolResult } from "./tools.ts";

/** Messages beyond this are forgotten, oldest first; the system messages stay. */
const MESSAGE_LIMIT = 60;

/**
 * What was said, twice: as the model's history and as the stored transcript. Both hold only what
 * the caller heard of the agent. Each turn is stored when it ends, so a crash loses no earlier one.
 */
export class Transcript {
  readonly #store: Pick<CallRecorder, "addTurn">;
  readonly #callId: string;
  readonly #date: () => Date;
  readonly #system: readonly Message[];
  readonly #messages: Message[] = [];
  /** What the caller said last, for a summary without the model. */
  lastCallerText = "";

  constructor(options: {
    store: Pick<CallRecorder, "addTurn">;
    callId: string;
    system: readonly Message[];
    date: () => Date;
  }) {
    this.#store = options.store;
    this.#callId = options.callId;
    this.#system = options.system;
    this.#date = options.date;
  }

  /** Whether anything has been said. */
  get begun(): boolean {
    return this.#messages.length > 0;
  }

  get messages(): readonly Message[] {
    return [...this.#system, ...this.#messages];
  }

  callerSaid(text: string): void {
    this.lastCallerText = text;
    this.#add({ role: "user", content: text });
    this.#write({ role: "caller", text });
  }

  /** `heard` is the part that reached the caller's ear; nothing heard leaves no turn. */
  agentSaid(heard: string, { interrupted }: { interrupted: boolean }): void {
    if (heard === "") return;
    this.#add({ role: "assistant", content: heard });
    this.#write({ role: "agent", text: heard, interrupted });
  }

  /** A round of tool calls with all their results: the model refuses a history without them. */
  toolsUsed(heard: string, results: readonly ToolResult[]): void {
    this.#add({
      role: "assistant",
      content: heard === "" ? null : heard,
      tool_calls: results.map(({ call }) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      })),
    });
    if (heard !== "") this.#write({ role: "agent", text: heard });
    for (const { call, result } of results) {
      this.#add({ role: "tool", tool_call_id: call.id, content: result });
      this.#write({ role: "tool", text: `${call.name}: ${result}` });
    }
  }

  #add(message: Message): void {
    this.#messages.push(message);
    // A tool's result must not outlive the call it answers.
    while (this.#messages.length > MESSAGE_LIMIT || this.#messages[0]?.role === "tool") {
      this.#messages.shift();
    }
  }

  #write(turn: Omit<Turn, "at">): void {
    this.#store.addTurn(this.#callId, { ...turn, at: this.#date() });
  }
}
