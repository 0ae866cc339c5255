import type { ServerResponse } from "node:http";
import type { Clock } from "../clock.ts";
import { type AskedRequest, askedOf, type Dialogue, type RecordedAnswer } from "./dialogue.ts";
import { describeNearest } from "./dialogue-difference.ts";
import { Mask } from "./dialogue-mask.ts";
import { closingOf } from "./exchange.ts";

/** A model that stands behind the script: a recorded dialogue, or a real one while it is recorded. */
export interface Backing extends AsyncDisposable {
  /** Answers over `response`, unless it does not know what to say. `body` is a checked chat request. */
  serve(body: Readonly<Record<string, unknown>>, response: ServerResponse): Promise<Served>;
}

export type Served =
  | { readonly kind: "answered"; readonly answer: unknown }
  | { readonly kind: "unknown"; readonly why: string };

export interface PlayerOptions {
  readonly clock: Clock;
  readonly dialogue: Dialogue;
  /** Names of people, hidden in what is asked as they are in the recording. */
  readonly names: readonly string[];
  /** Recorded times are multiplied by this; 0 answers at once. Default 1. */
  readonly timeScale?: number;
}

/**
 * Answers a request as it was answered when it was recorded: same pieces, same times. The same
 * request again gets the next of its recorded answers, and the last one from then on.
 */
export function playDialogue({ clock, dialogue, names, timeScale = 1 }: PlayerOptions): Backing {
  const answers = Map.groupBy(dialogue.exchanges, ({ request }) => JSON.stringify(request));
  const given = new Map<string, number>();

  const next = (asked: AskedRequest): RecordedAnswer | undefined => {
    const key = JSON.stringify(asked);
    const recorded = answers.get(key);
    if (recorded === undefined) return undefined;
    const turn = given.get(key) ?? 0;
    given.set(key, turn + 1);
    return recorded[Math.min(turn, recorded.length - 1)]?.answer;
  };

  return {
    async serve(body, response) {
      const mask = new Mask(names);
      // What was hidden is an AskedRequest as before: only texts have changed.
      const asked = mask.hideAll(askedOf(body)) as AskedRequest;
      const recorded = next(asked);
      if (recorded === undefined) {
        const requests = dialogue.exchanges.map(({ request }) => request);
        const nearest = describeNearest(asked, requests);
        return { kind: "unknown", why: `the recorded dialogue does not go so: ${nearest}` };
      }
      // As above.
      const answer = mask.reveal(recorded) as RecordedAnswer;
      await send(answer, response, { clock, timeScale });
      return { kind: "answered", answer: contentOf(answer) };
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Ends early when the client goes away. */
async function send(
  { status, headers, pieces, body, afterMs = 0 }: RecordedAnswer,
  response: ServerResponse,
  { clock, timeScale }: { clock: Clock; timeScale: number },
): Promise<void> {
  const gone = closingOf(response);
  const startedMs = clock.now();
  const until = async (atMs: number) => {
    const waitMs = startedMs + atMs * timeScale - clock.now();
    if (waitMs > 0) await clock.sleep(waitMs, { signal: gone });
  };
  try {
    if (pieces === undefined) await until(afterMs);
    response.writeHead(status, headers);
    response.flushHeaders();
    for (const [atMs, data] of pieces ?? []) {
      await until(atMs);
      response.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);
    }
    response.end(pieces === undefined ? JSON.stringify(body) : undefined);
  } catch (error) {
    if (!gone.aborted) throw error;
  }
}

/** What an answer says, for the trace: its text and the names of the tools it calls. */
export function contentOf({ status, pieces, body }: RecordedAnswer): unknown {
  if (status !== 200) return { kind: "failure", status, body };
  const choices = (pieces?.map(([, data]) => data) ?? [body]).map(firstChoice);
  const text = choices.map(({ content }) => content).join("");
  const calls = choices.flatMap(({ calls: names }) => names);
  return calls.length > 0 ? { kind: "tools", text, calls } : { kind: "text", text };
}

interface Said {
  readonly content: string;
  readonly calls: readonly string[];
}

function firstChoice(data: unknown): Said {
  // A service's own answer; whatever is missing in it is nothing said.
  const { choices } = (data ?? {}) as {
    choices?: Record<"message" | "delta", Message | null | undefined>[] | null;
  };
  const [choice] = choices ?? [];
  const { content, tool_calls: calls } = choice?.delta ?? choice?.message ?? {};
  return {
    content: content ?? "",
    calls: (calls ?? []).map((call) => call.function?.name).filter((name) => name !== undefined),
  };
}

interface Message {
  readonly content?: string | null;
  readonly tool_calls?: readonly { readonly function?: { readonly name?: string } }[] | null;
}
