import type { PartyTrace } from "../trace.ts";

/** Something a border controller did that the service tolerates or refuses, for the report. */
export interface Finding {
  /** Stable, such as `REFERRED_BY_ALTERED`. */
  readonly code: string;
  /** Names the header or message concerned, what was expected and what came. */
  readonly message: string;
  readonly call?: string;
}

const LIMIT = 1_000;

/** What went wrong or was out of order so far; every entry is also a trace `error`. */
export class Findings {
  readonly #trace: PartyTrace;
  readonly #all: Finding[] = [];

  constructor(trace: PartyTrace) {
    this.#trace = trace;
  }

  /** Oldest first; the first {@link LIMIT} are kept. */
  get all(): readonly Finding[] {
    return this.#all;
  }

  add(code: string, message: string, call?: string): void {
    if (this.#all.length < LIMIT) {
      this.#all.push({ code, message, ...(call === undefined ? {} : { call }) });
    }
    this.#trace.record({ type: "error", code, message }, call);
  }
}
