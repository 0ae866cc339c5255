import { AzureOpenAI } from "openai";
import type {
  ChatCompletionChunk,
  ChatCompletionMessageParam,
  ChatCompletionTool,
} from "openai/resources/chat/completions";
import type { Config } from "./config.ts";

export type Message = ChatCompletionMessageParam;
export type ToolDefinition = ChatCompletionTool;

/** A tool the model wants called. `arguments` is what the model wrote: JSON, if it behaved. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export type ModelPiece =
  /** The service's id of the answer, before anything else of it. */
  | { readonly type: "started"; readonly id: string }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tools"; readonly calls: readonly ToolCall[] };

/** The model's answer was refused, cut off, or did not come in time. */
export class ModelFailure extends Error {
  readonly code: "filtered" | "stalled" | "throttled" | "refused" | "dropped";

  constructor(code: ModelFailure["code"], detail: string, options?: ErrorOptions) {
    super(`the model's answer is missing (${code}): ${detail}`, options);
    this.name = "ModelFailure";
    this.code = code;
  }
}

export interface Model {
  /**
   * One streamed answer: text as it comes, then at most one batch of tool calls. Aborting the
   * signal ends the iteration quietly and closes the request. Throws {@link ModelFailure}.
   */
  reply(
    messages: readonly Message[],
    options: { signal: AbortSignal; tools: readonly ToolDefinition[] },
  ): AsyncIterable<ModelPiece>;
}

/** Many calls may share one model: it holds a connection pool and no state of a conversation. */
export function openModel(config: Config["model"]): Model {
  const client = new AzureOpenAI({
    endpoint: config.endpoint,
    apiKey: config.key,
    apiVersion: config.apiVersion,
    deployment: config.deployment,
    // The SDK's own ten minutes are too long for somebody who holds a telephone.
    timeout: config.stallTimeoutMs,
    maxRetries: config.maxRetries,
  });
  return {
    reply: (messages, { signal, tools }) =>
      streamReply({ client, config, messages, tools, signal }),
  };
}

interface ReplyRequest {
  readonly client: AzureOpenAI;
  readonly config: Config["model"];
  readonly messages: readonly Message[];
  readonly tools: readonly ToolDefinition[];
  readonly signal: AbortSignal;
}

async function* streamReply(request: ReplyRequest): AsyncGenerator<ModelPiece> {
  const { client, config, messages, tools, signal } = request;
  const watchdog = new Watchdog(config.stallTimeoutMs, signal);
  try {
    const stream = await client.chat.completions.create(
      {
        model: config.deployment,
        messages: [...messages],
        tools: [...tools],
        max_completion_tokens: config.maxTokens,
        stream: true,
      },
      { signal: watchdog.signal },
    );
    // The SDK's own time-out ended with the headers; nothing may come after them.
    watchdog.fed();
    yield* readStream(stream, watchdog);
    watchdog.check();
  } catch (error) {
    if (signal.aborted) return;
    throw asModelFailure(error, watchdog);
  } finally {
    watchdog[Symbol.dispose]();
  }
}

async function* readStream(
  stream: AsyncIterable<ChatCompletionChunk>,
  watchdog: Watchdog,
): AsyncGenerator<ModelPiece> {
  const calls: MutableToolCall[] = [];
  let started = false;
  let finish: string | null | undefined;
  for await (const chunk of stream) {
    watchdog.fed();
    if (!started && chunk.id !== "") {
      started = true;
      yield { type: "started", id: chunk.id };
    }
    // Azure's first chunk holds the prompt's filter results and no choice.
    const choice = chunk.choices[0];
    if (choice === undefined) continue;
    finish = choice.finish_reason ?? finish;
    const text = choice.delta?.content;
    if (text) yield { type: "text", text };
    collect(calls, choice.delta?.tool_calls);
  }
  watchdog.check();
  checkFinish(finish);
  const complete = calls.filter((call) => call !== undefined && call.name !== "");
  if (complete.length > 0) yield { type: "tools", calls: complete };
}

function checkFinish(reason: string | null | undefined): void {
  if (reason === "content_filter") throw new ModelFailure("filtered", "the answer was filtered");
  if (reason === undefined || reason === null) {
    throw new ModelFailure("dropped", "no finish reason came");
  }
}

type MutableToolCall = { -readonly [Field in keyof ToolCall]: ToolCall[Field] };
type ToolCallDelta = NonNullable<ChatCompletionChunk.Choice.Delta["tool_calls"]>[number];

/** More calls in one answer than this are a model gone wild. */
const TOOL_CALL_LIMIT = 8;

/** Arguments come in fragments, and parallel calls interleaved by their index. */
function collect(calls: MutableToolCall[], deltas: readonly ToolCallDelta[] = []): void {
  for (const { index, id = "", function: part = {} } of deltas) {
    const { name = "", arguments: fragment = "" } = part;
    if (index < 0 || index >= TOOL_CALL_LIMIT) continue;
    const call = (calls[index] ??= { id: "", name: "", arguments: "" });
    call.id ||= id;
    call.name ||= name;
    call.arguments += fragment;
  }
}

/** A whole answer, tries included, may take this many times as long as one piece of it. */
const LONGEST_ANSWER = 5;

/** Aborts when nothing has come for too long. */
class Watchdog implements Disposable {
  readonly #timeoutMs: number;
  readonly #stall = new AbortController();
  readonly signal: AbortSignal;
  readonly #limit: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number, signal: AbortSignal) {
    this.#timeoutMs = timeoutMs;
    this.signal = AbortSignal.any([signal, this.#stall.signal]);
    this.#limit = setTimeout(() => this.#stall.abort(), timeoutMs * LONGEST_ANSWER);
  }

  get stalled(): boolean {
    return this.#stall.signal.aborted;
  }

  fed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stall.abort(), this.#timeoutMs);
  }

  /** An aborted stream ends like a finished one; this tells the difference. */
  check(): void {
    if (!this.stalled) return;
    const limits = `${this.#timeoutMs} ms for a piece, ${LONGEST_ANSWER} times that for all`;
    throw new ModelFailure("stalled", `the answer took too long: ${limits}`);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#limit);
  }
}

function asModelFailure(error: unknown, watchdog: Watchdog): ModelFailure {
  if (error instanceof ModelFailure) return error;
  if (watchdog.stalled)
    return new ModelFailure("stalled", "the answer stopped coming", { cause: error });
  if (error instanceof AzureOpenAI.APIConnectionTimeoutError) {
    return new ModelFailure("stalled", "no answer came in time", { cause: error });
  }
  if (error instanceof AzureOpenAI.RateLimitError) {
    return new ModelFailure("throttled", "too many requests", { cause: error });
  }
  if (error instanceof AzureOpenAI.APIError && error.code === "content_filter") {
    return new ModelFailure("filtered", "the prompt was filtered", { cause: error });
  }
  if (error instanceof AzureOpenAI.APIError && error.status !== undefined) {
    return new ModelFailure("refused", `status ${error.status}`, { cause: error });
  }
  // A dropped connection inside a stream is a plain TypeError: "terminated".
  return new ModelFailure("dropped", error instanceof Error ? error.message : "", { cause: error });
}
