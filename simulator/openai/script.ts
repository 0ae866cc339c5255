/**
 * What the model will say. A scenario writes rules; each chat request is answered by the newest
 * rule that matches it, so a test can override a default. A request that no rule matches is an
 * error: the emulator never makes an answer up.
 */

/** The part of a chat request that rules look at. */
export interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly string[];
  /** What this one answer was told to do, apart from the conversation (`response.create`). */
  readonly instructed?: string;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly toolCallId?: string;
  readonly toolCalls?: readonly { readonly id: string; readonly name: string }[];
}

/** One thing the model does in answer to one request. */
export type Reply =
  | { readonly kind: "text"; readonly text: string; readonly finishReason?: "stop" | "length" }
  | { readonly kind: "tools"; readonly calls: readonly ToolCall[]; readonly text?: string }
  | { readonly kind: "filtered"; readonly category: FilterCategory; readonly text?: string }
  | { readonly kind: "failure"; readonly failure: Failure }
  | { readonly kind: "stall"; readonly at: "headers" | "stream"; readonly afterText?: string }
  | { readonly kind: "drop"; readonly afterText: string }
  | { readonly kind: "error"; readonly failure: Failure; readonly afterText: string };

/** The replies that do not come to their own end. */
export type Broken = Extract<Reply, { kind: "stall" | "drop" | "error" }>;

/** What Azure's content filter looks for. */
export type FilterCategory = "hate" | "self_harm" | "sexual" | "violence";

export interface ToolCall {
  readonly name: string;
  /** An object, or the raw text that the model would emit (which may be malformed). */
  readonly arguments: Readonly<Record<string, unknown>> | string;
}

/** An HTTP answer instead of a completion. */
export interface Failure {
  readonly status: number;
  readonly code?: string;
  readonly message?: string;
  /** The part of the request that is at fault. */
  readonly param?: string;
  readonly type?: string | null;
  /** Azure's own account of a refusal, such as that of its content filter. */
  readonly innererror?: Readonly<Record<string, unknown>>;
  /** Sent as `x-should-retry`: clients heed it before the status. */
  readonly shouldRetry?: boolean;
  /** Seconds, sent as `retry-after`. */
  readonly retryAfterS?: number;
  /** Milliseconds, sent as `retry-after-ms`. */
  readonly retryAfterMs?: number;
}

export interface EscalationArguments {
  readonly summary: string;
  readonly reason?: string;
}

/** What a text answer may be made of: the match of the rule's pattern, the tool's result. */
export interface ReplyContext {
  readonly conversation: Conversation;
  readonly match: RegExpMatchArray | undefined;
  /** The last tool message, parsed where it is JSON. */
  readonly toolResult: unknown;
}

export type Text = string | ((context: ReplyContext) => string);

type Respond = (context: ReplyContext) => Reply;

/** What follows `when(...)`. Each verb adds one answer; several answers are given in turn. */
export interface Rule {
  says(text: Text): Rule;
  /** Stops in the middle, as at the token limit (`finish_reason: "length"`). */
  isCutAfter(text: Text): Rule;
  calls(name: string, args?: ToolCall["arguments"]): Rule;
  /** Several tool calls in one answer. */
  callsAll(calls: readonly ToolCall[]): Rule;
  /** Speaks `text`, then calls the tool, in the same answer. */
  saysThenCalls(text: Text, name: string, args?: ToolCall["arguments"]): Rule;
  /** Calls the agent's hand-over tool. */
  escalates(args: EscalationArguments): Rule;
  fails(failure: Failure): Rule;
  /** Ends the answer by the content filter after `afterText`, with no exception on the wire. */
  isFiltered(afterText?: Text, category?: FilterCategory): Rule;
  /** No response headers, or silence within the stream after `afterText`, until the client gives up. */
  stalls(at: "headers" | "stream", afterText?: string): Rule;
  /** Resets the connection within the stream. */
  drops(afterText: string): Rule;
  /** Ends the stream with an error of its own after `afterText`; an answer in one piece just fails. */
  breaksWith(failure: Failure, afterText?: string): Rule;
  /** The rule is spent after its answers have been given once; without it the last one repeats. */
  once(): Rule;
}

export interface Script {
  /**
   * Answers a request whose last message is the caller's and matches. With `offered` only if the
   * agent offers the model that tool.
   */
  when(said: RegExp | string, options?: { offered?: string }): Rule;
  /** Answers the request that brings the result of this tool. */
  afterTool(name: string): Rule;
  /**
   * Answers a request with instructions of its own that match (Realtime `response.create`). Such a
   * request asks these rules first: the model does as it is told, whatever the caller said last.
   */
  whenInstructed(told: RegExp): Rule;
  /** Answers whatever no other rule does. */
  otherwise(): Rule;
  /** The answer to a conversation, or `undefined` when nobody scripted it. */
  answer(conversation: Conversation): Reply | undefined;
  /** Forgets every rule. */
  reset(): void;
}

interface StoredRule {
  readonly matches: (conversation: Conversation) => RegExpMatchArray | true | undefined;
  readonly answers: Respond[];
  given: number;
  once: boolean;
  readonly rank: number;
}

/** Who is asked first. */
const RANKS = { instructed: 0, ordinary: 1, fallback: 2 } as const;

export interface ScriptOptions {
  /** The agent's hand-over tool that `escalates` calls. */
  escalationTool?: string;
}

export function createScript({ escalationTool = "escalate_to_human" }: ScriptOptions = {}): Script {
  const rules: StoredRule[] = [];

  const add = (matches: StoredRule["matches"], rank: number = RANKS.ordinary): Rule => {
    const stored: StoredRule = { matches, answers: [], given: 0, once: false, rank };
    rules.unshift(stored);
    return ruleVerbs(stored, escalationTool);
  };

  return {
    when: (said, { offered } = {}) =>
      add((conversation) => {
        const isOffered = offered === undefined || conversation.tools.includes(offered);
        return isOffered ? matchUser(conversation, said) : undefined;
      }),
    afterTool: (name) => add((conversation) => lastToolName(conversation) === name || undefined),
    whenInstructed: (told) =>
      add(({ instructed }) => instructed?.match(told) ?? undefined, RANKS.instructed),
    otherwise: () => add(() => true, RANKS.fallback),
    reset: () => void rules.splice(0),
    answer(conversation) {
      const open = rules.filter((rule) => !(rule.once && rule.given >= rule.answers.length));
      const ordered = open.toSorted((one, other) => one.rank - other.rank);
      for (const rule of ordered) {
        const match = rule.matches(conversation);
        const respond = rule.answers[Math.min(rule.given, rule.answers.length - 1)];
        if (match === undefined || respond === undefined) continue;
        rule.given += 1;
        return respond({
          conversation,
          match: match === true ? undefined : match,
          toolResult: parsedToolResult(conversation),
        });
      }
      return undefined;
    },
  };
}

function ruleVerbs(stored: StoredRule, escalationTool: string): Rule {
  const answer = (respond: Respond): Rule => {
    stored.answers.push(respond);
    return rule;
  };
  const rule: Rule = {
    says: (text) => answer((context) => ({ kind: "text", text: render(text, context) })),
    isCutAfter: (text) =>
      answer((context) => ({ kind: "text", text: render(text, context), finishReason: "length" })),
    calls: (name, args = {}) =>
      answer(() => ({ kind: "tools", calls: [{ name, arguments: args }] })),
    callsAll: (calls) => answer(() => ({ kind: "tools", calls })),
    saysThenCalls: (text, name, args = {}) =>
      answer((context) => ({
        kind: "tools",
        text: render(text, context),
        calls: [{ name, arguments: args }],
      })),
    escalates: (args) =>
      answer(() => ({ kind: "tools", calls: [{ name: escalationTool, arguments: { ...args } }] })),
    fails: (failure) => answer(() => ({ kind: "failure", failure })),
    isFiltered: (afterText = "", category = "hate") =>
      answer((context) => ({ kind: "filtered", category, text: render(afterText, context) })),
    stalls: (at, afterText = "") => answer(() => ({ kind: "stall", at, afterText })),
    drops: (afterText) => answer(() => ({ kind: "drop", afterText })),
    breaksWith: (failure, afterText = "") => answer(() => ({ kind: "error", failure, afterText })),
    once() {
      stored.once = true;
      return rule;
    },
  };
  return rule;
}

function render(text: Text, context: ReplyContext): string {
  return typeof text === "string" ? text : text(context);
}

function matchUser({ messages }: Conversation, said: RegExp | string) {
  const last = messages.at(-1);
  if (last?.role !== "user") return undefined;
  const pattern = typeof said === "string" ? new RegExp(RegExp.escape(said), "i") : said;
  return last.content.match(pattern) ?? undefined;
}

/** The name of the tool whose result is the conversation's last message. */
function lastToolName({ messages }: Conversation): string | undefined {
  const last = messages.at(-1);
  if (last?.role !== "tool") return undefined;
  return messages
    .flatMap((message) => message.toolCalls ?? [])
    .findLast((call) => call.id === last.toolCallId)?.name;
}

function parsedToolResult({ messages }: Conversation): unknown {
  const last = messages.at(-1);
  if (last?.role !== "tool") return undefined;
  try {
    return JSON.parse(last.content);
  } catch {
    // A tool may answer with plain words; they are the result then.
    return last.content;
  }
}
