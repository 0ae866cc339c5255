import { textLadder } from "../../simulator/report/ladder.ts";
import type { TraceEvent } from "../../simulator/trace.ts";
import { type Heard, NotHeard } from "./hearing.ts";
import type { BargeIn } from "./timing.ts";
import { contains } from "./words.ts";

/** Rows of the ladder that a failure prints. */
const LADDER_ROWS = 24;

/** A scenario's step that failed, told whole: what was expected, what came instead, and where to look. */
export class ScenarioFailure extends Error {
  override readonly name = "ScenarioFailure";
  readonly code = "SCENARIO_FAILURE";
}

export interface FailureContext {
  readonly step: string;
  readonly events: readonly TraceEvent[];
  /** Where the trace of this run is written. */
  readonly traceFile: string;
}

/** Wraps the error of a step. An error that is told already stays as it is. */
export function toFailure(error: unknown, { step, events, traceFile }: FailureContext): Error {
  if (error instanceof ScenarioFailure) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const sections = [
    `${step}: ${reason}`,
    error instanceof NotHeard ? heardSection(error, events) : undefined,
    causesSection(events),
    `last events\n${indent(textLadder(events, { last: LADDER_ROWS }))}`,
    `trace  ${traceFile}`,
  ];
  return new ScenarioFailure(sections.filter((section) => section !== undefined).join("\n\n"), {
    cause: error,
  });
}

function heardSection({ expected, heard }: NotHeard, events: readonly TraceEvent[]): string {
  const lines = heard.length === 0 ? ["nothing"] : heard.map(heardLine);
  return [
    `expected  “${expected}”`,
    ...lines.map((line, index) => `${index === 0 ? "heard    " : "         "} ${line}`),
    `why       ${whyNotHeard(expected, events)}`,
  ].join("\n");
}

function heardLine({ text, known, startMs, endMs }: Heard): string {
  const when = `${(startMs / 1000).toFixed(1)}–${(endMs / 1000).toFixed(1)} s`;
  return known ? `“${text}” (${when})` : `speech that matches nothing the lab knows (${when})`;
}

/** Audio below this is silence to any listener. */
const SILENCE_DBFS = -60;

/** The first link of the chain synthesis → agent → ACS → caller that did not carry the words. */
export function whyNotHeard(expected: string, events: readonly TraceEvent[]): string {
  const spoken = events.filter((event) => event.type === "spoken");
  const said = spoken.findLast((event) => contains(event.text, expected));
  if (said === undefined) {
    const last = spoken.at(-1);
    return last === undefined
      ? "nobody said anything: no text reached the speech synthesiser"
      : `nobody said it; the last text synthesised was “${last.text}” (${last.party})`;
  }
  if ((said.levelDbfs ?? 0) < SILENCE_DBFS) {
    return `speech synthesised it as silence (${said.levelDbfs} dBFS): the synthesiser is the broken link`;
  }
  return "it was synthesised, and lost on the way agent → ACS → SBC → caller";
}

/** The first link of the chain caller → agent → ACS that did not stop the audio. */
export function whyNotQuiet(
  events: readonly TraceEvent[],
  { atMs, silentAfterMs }: BargeIn,
): string {
  const after = events.filter(({ at }) => at >= atMs && at <= atMs + silentAfterMs + 2000);
  const stop = after.find((event) => event.type === "socket" && event.kind === "StopAudio");
  if (stop === undefined) return "the agent sent no StopAudio: the agent is the broken link";
  const stopped = `StopAudio reached ACS ${(stop.at - atMs).toFixed(0)} ms after the caller began to speak`;
  const flush = after.find((event) => event.type === "media" && event.kind === "stopAudio");
  return flush === undefined
    ? `${stopped}, and ACS played on: ACS is the broken link`
    : `${stopped}; ACS dropped what was queued`;
}

/** What the parties themselves reported as wrong. */
function causesSection(events: readonly TraceEvent[]): string | undefined {
  const causes = events.map(causeLine).filter((line) => line !== undefined);
  if (causes.length === 0) return undefined;
  return ["reported by the parties", ...causes.slice(-8).map((line) => `  ${line}`)].join("\n");
}

function causeLine(event: TraceEvent): string | undefined {
  const at = `${(event.at / 1000).toFixed(3)} ${event.party}`;
  switch (event.type) {
    case "error":
      return `${at}: ${event.code} ${event.message}`;
    case "fault":
      return `${at}: planned fault ${event.name} ${JSON.stringify(event.detail ?? {})}`;
    case "http":
      return event.status >= 400 || event.status === 0
        ? `${at}: ${event.method} ${event.target} → ${event.status} ${event.error ?? ""}${summary(event.response)}`
        : failedEvent(event.request, at);
    case "model":
      return event.kind === "unmatched"
        ? `${at}: model ${JSON.stringify(event.detail)}`
        : undefined;
    default:
      return undefined;
  }
}

/** `CallTransferFailed`, `MediaStreamingFailed`, … with what the service said of it. */
function failedEvent(request: unknown, at: string): string | undefined {
  const text = typeof request === "string" ? request : JSON.stringify(request ?? "");
  const type = /Microsoft\.Communication\.(\w*Failed)/.exec(text)?.[1];
  if (type === undefined) return undefined;
  const result = /"resultInformation":(\{[^}]*\})/.exec(text)?.[1] ?? "";
  return `${at}: ${type} ${result}`;
}

function summary(body: unknown): string {
  if (body === undefined) return "";
  return (typeof body === "string" ? body : JSON.stringify(body)).slice(0, 300);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "  ");
}
