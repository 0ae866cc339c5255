import { type FaultPlan, faultPlan } from "../faults.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import type { Conversation, Reply, Script } from "./script.ts";

export interface ScriptedModelOptions {
  readonly script: Script;
  /** Asked when neither the script nor a recorded dialogue knows what to say. */
  readonly fallback?: Script;
  readonly trace?: PartyTrace;
  readonly faults?: FaultPlan;
}

/** What answers, whichever API it is asked by: the scripts, and nothing that nobody scripted. */
export class ScriptedModel {
  /** What no rule answered: the last user or tool message of each. */
  readonly unmatched: string[] = [];
  readonly #script: Script;
  readonly #fallback: Script | undefined;
  readonly #trace: PartyTrace;
  readonly #faults: FaultPlan;

  constructor({
    script,
    fallback,
    trace = silentTrace,
    faults = faultPlan(),
  }: ScriptedModelOptions) {
    this.#script = script;
    this.#fallback = fallback;
    this.#trace = trace;
    this.#faults = faults;
  }

  answer(conversation: Conversation): Reply {
    return this.scripted(conversation) ?? this.otherwise(conversation);
  }

  /** What the script says, or `undefined` when no rule of it matches. */
  scripted(conversation: Conversation): Reply | undefined {
    const last = conversation.messages.at(-1);
    const reply = this.#script.answer(conversation);
    this.#trace.record({
      type: "model",
      kind: "prompt",
      detail: { role: last?.role, content: last?.content },
    });
    return reply === undefined ? undefined : this.#offered(reply, conversation);
  }

  /** What is left when neither the script nor a dialogue knows: the fallback, or a refusal that says why. */
  otherwise(conversation: Conversation, why?: string): Reply {
    const reply = this.#fallback?.answer(conversation);
    if (reply !== undefined) return this.#offered(reply, conversation);
    const last = conversation.messages.at(-1);
    const prompt = `${last?.role}: ${last?.content}`;
    return this.#unscripted(
      why === undefined ? prompt : `${prompt}\n${why}`,
      "no rule of the script matches",
    );
  }

  /** Writes down what a dialogue answered in the script's place. */
  said(answer: unknown): unknown {
    this.#trace.record({ type: "model", kind: "reply", detail: answer });
    return answer;
  }

  #offered(reply: Reply, conversation: Conversation): Reply {
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
