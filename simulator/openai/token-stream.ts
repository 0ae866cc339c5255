import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import type { StreamPiece } from "./chat.ts";
import { closingOf, written } from "./exchange.ts";
import type { ScriptedModel } from "./model.ts";

export interface TokenStreamOptions {
  readonly clock: Clock;
  readonly firstTokenMs?: number;
  readonly tokenMs?: number;
}

/** Server-sent events at the model's cadence, whichever API they belong to. */
export class TokenStream {
  readonly #options: TokenStreamOptions;
  readonly #model: ScriptedModel;

  constructor(options: TokenStreamOptions, model: ScriptedModel) {
    this.#options = options;
    this.#model = model;
  }

  /** Waits as long as the model takes for its first token; false when the client went away meanwhile. */
  async think(response: ServerResponse): Promise<boolean> {
    const signal = closingOf(response);
    const sleeping = this.#options.clock.sleep(this.#firstTokenMs, { signal });
    return sleeping.then(
      () => true,
      () => false,
    );
  }

  /** Sends the events; false when the client went away meanwhile. */
  async send(
    response: ServerResponse,
    events: readonly { readonly text: string; readonly pace: StreamPiece["pace"] }[],
  ): Promise<boolean> {
    const { clock, tokenMs = 15 } = this.#options;
    const gone = closingOf(response);
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-ms-region": "Lab",
    });
    response.flushHeaders();
    const pauses = { now: 0, firstToken: this.#firstTokenMs, token: tokenMs };
    try {
      for (const { text, pace } of events) {
        if (pauses[pace] > 0) await clock.sleep(pauses[pace], { signal: gone });
        await written(response, text);
        if (gone.aborted) return false;
      }
      return true;
    } catch (error) {
      if (!gone.aborted) throw error;
      return false;
    }
  }

  get #firstTokenMs(): number {
    const { firstTokenMs = 150 } = this.#options;
    return Number(this.#model.strike("openai.slow")?.["firstTokenMs"] ?? firstTokenMs);
  }
}
