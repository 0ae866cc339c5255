import { readFileSync } from "node:fs";
import type { StepEvent, TraceEvent } from "../trace.ts";
import { Html, html } from "./html.ts";
import { htmlLadder } from "./lanes.ts";

const STYLE = new Html(readFileSync(new URL("page.css", import.meta.url), "utf8"));

export type Outcome = "passed" | "failed" | "skipped";

/** One run of a scenario, as its page shows it. */
export interface ReportedCall {
  readonly title: string;
  /** The scenario's file, for a reader who wants to open it. */
  readonly file: string;
  readonly outcome: Outcome;
  /** Why it failed, in the words of the terminal, or why it was skipped. */
  readonly reason?: string;
  readonly events: readonly TraceEvent[];
  /** Links to what the run left behind, relative to the page. */
  readonly recordings: readonly string[];
  readonly traceFile?: string;
}

export const MARKS: Record<Outcome, string> = { passed: "✓", failed: "✗", skipped: "–" };

/** The page of one call: what was wanted, what was said, what one can listen to, and the ladder. */
export function callPage(call: ReportedCall): string {
  const { title, file, outcome, reason, events, recordings, traceFile } = call;
  const trace = traceFile === undefined ? html`` : html` · <a href="${traceFile}">trace.jsonl</a>`;
  return page(
    title,
    html`<p><a href="index.html">all calls</a></p>
<h1 class="${outcome}">${MARKS[outcome]} ${title}</h1>
<p class="aside">${file} · ${seconds(durationMs(events))}${trace}</p>
${reason === undefined ? html`` : html`<pre class="reason">${reason}</pre>`}
<section class="columns">
<div><h2>Steps</h2>${stepList(events)}</div>
<div><h2>What was said and heard</h2>${conversation(events)}${recordings.map(player)}</div>
</section>
<h2>On the wire</h2>
${filters()}
${htmlLadder(events)}`,
  );
}

/** A whole page that needs nothing from anywhere: it can be mailed, or kept with a build. */
export function page(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title} · linecheck</title>
<style>${STYLE}</style>
${body}
</html>
`.markup;
}

/** Milliseconds from the lab's start to the last thing it recorded. */
export function durationMs(events: readonly TraceEvent[]): number {
  return events.at(-1)?.at ?? 0;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

interface Step {
  readonly title: string;
  readonly fromMs: number;
  readonly end?: TraceEvent & StepEvent;
}

/** Steps begin and end in turn; one that never ended is what the run was cut off in. */
function stepsOf(events: readonly TraceEvent[]): Step[] {
  const steps = events.filter((event) => event.type === "step");
  return steps.flatMap((event, index): Step[] => {
    if (event.outcome !== "begin") return [];
    const end = steps.slice(index + 1).find((later) => later.title === event.title);
    const ended = end === undefined || end.outcome === "begin" ? {} : { end };
    return [{ title: event.title, fromMs: event.at, ...ended }];
  });
}

function stepList(events: readonly TraceEvent[]): Html {
  const items = stepsOf(events).map(({ title, fromMs, end }) => {
    const outcome = end?.outcome === "pass" ? "passed" : "failed";
    const took = end === undefined ? "did not end" : seconds(end.at - fromMs);
    return html`<li class="${outcome}"><time>${seconds(fromMs)}</time> ${MARKS[outcome]} ${title} <small>${took}</small></li>`;
  });
  return html`<ol class="list">${items}</ol>`;
}

/** Whose ear it is that a recogniser listens at. */
const EARS: Partial<Record<TraceEvent["party"], string>> = {
  phone: "caller hears",
  speech: "agent hears",
  human: "colleague hears",
};

function conversation(events: readonly TraceEvent[]): Html {
  return html`<ol class="list">${events.flatMap(said)}</ol>`;
}

function said(event: TraceEvent): Html[] {
  const { at, party } = event;
  const line = (who: string, what: string) => [
    html`<li><time>${seconds(at)}</time> <b>${who}</b> ${what}</li>`,
  ];
  if (event.type === "dtmf" && event.direction === "out")
    return line("caller presses", event.digit);
  if (event.type !== "heard") return [];
  const ear = EARS[party] ?? `${party} hears`;
  if (event.kind === "noMatch") return line(ear, "something unknown");
  return event.kind === "phrase" ? line(ear, `“${event.text}”`) : [];
}

function player(file: string): Html {
  const name = file.slice(file.lastIndexOf("/") + 1);
  return html`<figure><figcaption>${name}: said left, heard right</figcaption><audio controls preload="none" src="${file}"></audio></figure>`;
}

const GROUPS = [
  ["sip", "SIP"],
  ["http", "HTTP"],
  ["socket", "WebSocket"],
  ["speech", "speech and digits"],
  ["state", "states"],
  ["trouble", "faults and errors"],
] as const;

/** Boxes that hide rows; the style sheet does it, so the page needs no script. */
function filters(): Html {
  const boxes = GROUPS.map(
    ([id, name]) => html`<label><input type="checkbox" id="${id}" checked> ${name}</label>`,
  );
  return html`<p class="filters">${boxes}</p>`;
}
