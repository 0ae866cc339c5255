import { type FaultPlan, faultPlan } from "../faults.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import type { Conversation, Reply, Script } from "./script.ts";

export interface ScriptedModelOptions {
  readonly script: Script;
  readonly trace?: PartyTrace;
  readonly faults?: FaultPlan;
}

/** What answers, whichever API it is asked by: the script, and nothing that nobody scripted. */
export class ScriptedModel {
  /** What no rule answered: the last user or tool message of each. */
  readonly unmatched: string[] = [];
  readonly #script: Script;
  readonly #trace: PartyTrace;
  readonly #faults: FaultPlan;

  constructor({ script, trace = silentTrace, faults = faultPlan() }: ScriptedModelOptions) {
    this.#script = script;
    this.#trace = trace;
    this.#faults = faults;
  }

  answer(conversation: Conversation): Reply {
    const last = conversation.messages.at(-1);
    const reply = this.#script.answer(conversation);
    this.#trace.record({
      type: "model",
      kind: "prompt",
      detail: { role: last?.role, content: last?.content },
    });
    if (reply === undefined) {
      return this.#unscripted(`${last?.role}: ${last?.content}`, "no rule of the script matches");
    }
    const unknown =
      reply.kind === "tools" && reply.calls.find((call) => !conversation.tools.includes(call.name));
    if (unknown && this.strike("openai.unknown-tool") === undefined) {
      return this.#unscripted(
        `tool ${unknown.name}`,
        `the script calls a tool that the agent did not offer (offered: ${conversation.tools.join(", ") || "none"})`,
      );
    }
    this.#trace.record({
      type: "model",
      kind: reply.kind === "tools" ? "toolCall" : "reply",
      detail: reply,
    });
    return reply;
  }

  #unscripted(what: string, why: string): Reply {
    this.unmatched.push(what);
    this.#trace.record({ type: "model", kind: "unmatched", detail: { prompt: what, why } });
    return {
      kind: "failure",
      failure: { status: 404, code: "linecheck_unscripted", message: `${why}: ${what}` },
    };
  }

  /** The fault's parameters if it strikes now; the trace says so. */
  strike(name: string): ReturnType<FaultPlan["strike"]> {
    const detail = this.#faults.strike(name);
    if (detail !== undefined) this.#trace.record({ type: "fault", name, detail });
    return detail;
  }
}
