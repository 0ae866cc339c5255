import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import type { StreamPiece } from "./chat.ts";
import { closingOf, written } from "./exchange.ts";
import type { ScriptedModel } from "./model.ts";

export interface TokenStreamOptions {
  readonly clock: Clock;
  readonly firstTokenMs?: number;
  readonly tokenMs?: number;
  readonly burstTokens?: number;
}

interface PacedEvent {
  readonly text: string;
  readonly pace: StreamPiece["pace"];
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
  async send(response: ServerResponse, events: readonly PacedEvent[]): Promise<boolean> {
    const { clock } = this.#options;
    const gone = closingOf(response);
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-ms-region": "Lab",
    });
    response.flushHeaders();
    const pausesMs = this.#pausesMs(events);
    try {
      for (const [index, { text }] of events.entries()) {
        const pauseMs = pausesMs[index] ?? 0;
        if (pauseMs > 0) await clock.sleep(pauseMs, { signal: gone });
        await written(response, text);
        if (gone.aborted) return false;
      }
      return true;
    } catch (error) {
      if (!gone.aborted) throw error;
      return false;
    }
  }

  /** The pause before each event; all those of a burst's tokens stand before its first. */
  #pausesMs(events: readonly PacedEvent[]): number[] {
    const { tokenMs = 15, burstTokens = 1 } = this.#options;
    const firstTokenMs = this.#firstTokenMs;
    const pausesMs: number[] = [];
    let first = 0;
    let tokens = 0;
    for (const [index, { pace }] of events.entries()) {
      pausesMs.push(pace === "firstToken" ? firstTokenMs : 0);
      if (pace !== "token") tokens = 0;
      else {
        if (tokens++ % burstTokens === 0) first = index;
        pausesMs[first] = (pausesMs[first] ?? 0) + tokenMs;
      }
    }
    return pausesMs;
  }

  get #firstTokenMs(): number {
    const { firstTokenMs = 150 } = this.#options;
    return Number(this.#model.strike("openai.slow")?.["firstTokenMs"] ?? firstTokenMs);
  }
}
