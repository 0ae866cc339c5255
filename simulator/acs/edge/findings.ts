import type { PartyTrace } from "../../trace.ts";

/** Something a border controller did that the service tolerates or refuses, for the report. */
export interface Finding {
  /** Stable, such as `REFERRED_BY_ALTERED`. */
  readonly code: string;
  /** Names the header or message concerned, what was expected and what came. */
  readonly message: string;
  readonly call?: string;
  /** `advice`: the service takes it, and it is still against its documentation. */
  readonly severity: "error" | "advice";
}

const LIMIT = 1_000;

/** What went wrong or was out of order so far; every error is also in the trace. */
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
    const about = call === undefined ? {} : { call };
    this.#keep({ code, message, severity: "error", ...about });
    this.#trace.record({ type: "error", code, message }, call);
  }

  /** Once for each text: a border controller repeats its habits in every message. */
  advise(code: string, message: string): void {
    if (this.#all.some((finding) => finding.message === message)) return;
    this.#keep({ code, message, severity: "advice" });
  }

  #keep(finding: Finding): void {
    if (this.#all.length < LIMIT) this.#all.push(finding);
  }
}
