import type { Party, TraceEvent } from "../trace.ts";
import { type Arrow, isArrow, ladderRows, type Note, type Row } from "./arrows.ts";
import { COLUMNS, involves } from "./columns.ts";
import { type Html, html } from "./html.ts";

/** The trace as a ladder in HTML: a row opens to show what crossed the wire. */
export function htmlLadder(events: readonly TraceEvent[]): Html {
  const rows = ladderRows(events);
  const parties = COLUMNS.filter((party) => rows.some((row) => involves(row, party)));
  const names = parties.map((party) => html`<b>${party}</b>`);
  return html`<div class="ladder" style="--lanes: ${parties.length}">
<div class="parties"><time>s</time><div>${names}</div></div>
${rows.map((row) => drawRow(row, parties))}
</div>`;
}

function drawRow(row: Row, parties: readonly Party[]): Html {
  const drawn = isArrow(row) ? drawArrow(row, parties) : drawNote(row, parties);
  const seconds = (row.at / 1000).toFixed(3);
  return html`<details class="row ${groupOf(row)}"><summary><time>${seconds}</time><div class="lanes">${drawn}</div></summary><pre>${wireText(row.event)}</pre></details>`;
}

/** By which the page lets a reader hide rows. */
function groupOf(row: Row): string {
  if (isArrow(row)) return row.kind;
  if (row.kind === "state" || row.kind === "media") return "state";
  return row.kind === "error" || row.kind === "fault" ? "trouble" : "speech";
}

function drawArrow({ from, to, label }: Arrow, parties: readonly Party[]): Html {
  const middle = (party: Party) => ((parties.indexOf(party) + 0.5) / parties.length) * 100;
  // An end outside the lab lies half a lane away from the one within.
  const outside = 50 / parties.length;
  const start = from === undefined ? (to === undefined ? 0 : middle(to) - outside) : middle(from);
  const end = to === undefined || to === from ? start + outside : middle(to);
  const left = Math.min(start, end).toFixed(2);
  const width = Math.abs(end - start).toFixed(2);
  const direction = end < start ? "left" : "right";
  return html`<i class="${direction}" style="left: ${left}%; width: ${width}%"><span>${label}</span></i>`;
}

function drawNote({ party, label }: Note, parties: readonly Party[]): Html {
  const left = (((parties.indexOf(party) + 0.5) / parties.length) * 100).toFixed(2);
  return html`<em style="left: ${left}%">${label}</em>`;
}

/** What crossed the wire, or what is known of an event that stayed at its party. */
function wireText(event: TraceEvent): string {
  if (event.type === "sip") {
    return `${event.transport} ${event.local} ${event.direction === "out" ? "→" : "←"} ${event.remote}\n\n${event.message}`;
  }
  if (event.type === "http") {
    const head = `${event.method} ${event.target} → ${event.error ?? event.status} in ${event.durationMs.toFixed(1)} ms`;
    const bodies = [event.request, event.response].filter((body) => body !== undefined);
    return [head, ...bodies.map(bodyText)].join("\n\n");
  }
  const { v: _version, at: _at, ...rest } = event;
  return JSON.stringify(rest, undefined, 2);
}

function bodyText(body: unknown): string {
  if (typeof body !== "string") return JSON.stringify(body, undefined, 2);
  try {
    return JSON.stringify(JSON.parse(body), undefined, 2);
  } catch {
    // Not every body is JSON: SSML, a form, a mutated one.
    return body;
  }
}
