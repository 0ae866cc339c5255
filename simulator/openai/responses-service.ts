import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import type { Completion } from "./chat.ts";
import { breakOff, DEPLOYMENT_NOT_FOUND, leftDuring, sendError, sendJson } from "./exchange.ts";
import type { ScriptedModel } from "./model.ts";
import { InvalidRequest } from "./request.ts";
import {
  answerMessages,
  brokenResponsePieces,
  failedResponsePieces,
  type ResponseFormat,
  type ResponsePiece,
  responseBody,
  responsePieces,
} from "./responses.ts";
import {
  checkResults,
  type ResponsesRequest,
  readResponsesRequest,
  toolNames,
} from "./responses-request.ts";
import type { Broken, ChatMessage, Reply } from "./script.ts";
import type { TokenStream } from "./token-stream.ts";

export interface ResponsesOptions {
  readonly clock: Clock;
  readonly model: ScriptedModel;
  readonly stream: TokenStream;
  readonly deployments: readonly string[];
}

/** Answers kept for requests that go on from them; the oldest are forgotten. */
const LIMIT_KEPT = 1_000;

/** `POST …/responses`: one answer, and the conversation it may be continued from. */
export class ResponsesService {
  readonly #options: ResponsesOptions;
  readonly #kept = new Map<string, readonly ChatMessage[]>();
  #served = 0;

  constructor(options: ResponsesOptions) {
    this.#options = options;
  }

  /** `azure`: the model has to be a deployment. Throws {@link InvalidRequest}. Returns what the trace shows. */
  async serve(response: ServerResponse, body: unknown, azure: boolean): Promise<unknown> {
    const { model, deployments } = this.#options;
    const request = readResponsesRequest(body);
    if (azure && !deployments.includes(request.model))
      return sendError(response, DEPLOYMENT_NOT_FOUND);
    const messages = [...this.#before(request), ...request.input];
    checkResults(messages);
    const { instructions, tools } = request;
    const system = instructions === null ? [] : [{ role: "system", content: instructions }];
    const reply = model.answer({ messages: [...system, ...messages], tools: toolNames(tools) });
    return this.#answer(response, reply, { request, messages });
  }

  #before({ previousId }: ResponsesRequest): readonly ChatMessage[] {
    if (previousId === null) return [];
    const kept = this.#kept.get(previousId);
    if (kept !== undefined) return kept;
    throw new InvalidRequest(
      `Previous response with id '${previousId}' not found.`,
      "previous_response_id",
    );
  }

  async #answer(
    response: ServerResponse,
    reply: Reply,
    { request, messages }: { request: ResponsesRequest; messages: readonly ChatMessage[] },
  ): Promise<unknown> {
    if (reply.kind === "failure") return sendError(response, reply.failure);
    if (reply.kind === "stall" && reply.at === "headers") return "stalled before the headers";
    const format = this.#format(request, messages);
    if (reply.kind === "error" || reply.kind === "stall" || reply.kind === "drop")
      return this.#breakOff(response, reply, format);
    if (request.store) this.#keep(format.id, [...messages, ...answerMessages(reply, format)]);
    return this.#complete(response, reply, format);
  }

  async #breakOff(
    response: ServerResponse,
    reply: Broken,
    format: ResponseFormat,
  ): Promise<unknown> {
    const { kind, afterText = "" } = reply;
    if (kind === "error" && !format.request.stream) return sendError(response, reply.failure);
    const pieces =
      kind === "error"
        ? failedResponsePieces(afterText, reply.failure, format)
        : brokenResponsePieces(afterText, format);
    const complete = await this.#send(response, pieces);
    if (kind === "drop") breakOff(response);
    if (kind === "error" && complete) response.end();
    return `${kind} after ${JSON.stringify(afterText)}`;
  }

  async #complete(
    response: ServerResponse,
    reply: Completion,
    format: ResponseFormat,
  ): Promise<unknown> {
    if (!format.request.stream) {
      const waited = await this.#options.stream.think(response);
      if (!waited) return leftDuring(reply);
      return sendJson(response, 200, responseBody(reply, format));
    }
    const complete = await this.#send(response, responsePieces(reply, format));
    if (complete) response.end();
    return complete ? reply : leftDuring(reply);
  }

  /** There is no `[DONE]` in this API: the last event is the end. */
  #send(response: ServerResponse, pieces: readonly ResponsePiece[]): Promise<boolean> {
    const events = pieces.map(({ event, pace }) => ({
      pace,
      text: `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
    }));
    return this.#options.stream.send(response, events);
  }

  #keep(id: string, messages: readonly ChatMessage[]): void {
    this.#kept.set(id, messages);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMIT_KEPT && oldest !== undefined) this.#kept.delete(oldest);
  }

  #format(request: ResponsesRequest, messages: readonly ChatMessage[]): ResponseFormat {
    const text = messages.map(({ content }) => content).join("") + (request.instructions ?? "");
    return {
      id: `resp_lab${String(++this.#served).padStart(6, "0")}`,
      created: Math.floor(this.#options.clock.date().getTime() / 1000),
      request,
      promptTokens: Math.ceil(text.length / 4),
    };
  }
}
