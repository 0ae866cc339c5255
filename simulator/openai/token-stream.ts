import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import { type PartyTrace, silentTrace } from "../trace.ts";
import type { StreamPiece } from "./chat.ts";
import { written } from "./exchange.ts";
import type { ScriptedModel } from "./model.ts";

export interface TokenStreamOptions {
  readonly clock: Clock;
  readonly trace?: PartyTrace;
  readonly firstTokenMs?: number;
  readonly tokenMs?: number;
}

/** Server-sent events at the model's cadence, whichever API they belong to. */
export class TokenStream {
  /** Streams whose client went away before their end. */
  aborted = 0;
  readonly #options: TokenStreamOptions;
  readonly #model: ScriptedModel;

  constructor(options: TokenStreamOptions, model: ScriptedModel) {
    this.#options = options;
    this.#model = model;
  }

  /** Waits as long as the model takes for its first token. */
  async think(): Promise<void> {
    await this.#options.clock.sleep(this.#firstTokenMs);
  }

  /** Sends the events; false when the client went away meanwhile. */
  async send(
    response: ServerResponse,
    events: readonly { readonly text: string; readonly pace: StreamPiece["pace"] }[],
  ): Promise<boolean> {
    const { clock, tokenMs = 15 } = this.#options;
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-ms-region": "Lab",
    });
    response.flushHeaders();
    const pauses = { now: 0, firstToken: this.#firstTokenMs, token: tokenMs };
    try {
      for (const { text, pace } of events) {
        if (pauses[pace] > 0) await clock.sleep(pauses[pace], { signal: gone.signal });
        await written(response, text);
      }
      return !gone.signal.aborted;
    } catch (error) {
      if (!gone.signal.aborted) throw error;
      this.left();
      return false;
    }
  }

  /** Counts a client that went away before the end. */
  left(): void {
    const { trace = silentTrace } = this.#options;
    this.aborted += 1;
    trace.record({ type: "model", kind: "abort", detail: "the client closed the stream" });
  }

  get #firstTokenMs(): number {
    const { firstTokenMs = 150 } = this.#options;
    return Number(this.#model.strike("openai.slow")?.["firstTokenMs"] ?? firstTokenMs);
  }
}
