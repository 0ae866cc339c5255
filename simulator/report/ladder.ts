import type { Party, TraceEvent } from "../trace.ts";
import { type Arrow, isArrow, ladderRows, type Row } from "./arrows.ts";
import { COLUMNS, involves } from "./columns.ts";

const TIME_WIDTH = 9;
const COLUMN_WIDTH = 14;

export interface LadderOptions {
  /** Only the last rows. Default: all. */
  last?: number;
  /** Longest label in characters; what is cut ends in `…`. Default 72. */
  labelWidth?: number;
}

/** The trace as a ladder in text: a column for each party that took part, time in seconds. */
export function textLadder(
  events: readonly TraceEvent[],
  { last = Number.POSITIVE_INFINITY, labelWidth = 72 }: LadderOptions = {},
): string {
  const rows = ladderRows(events).slice(-Math.min(last, Number.MAX_SAFE_INTEGER));
  const parties = COLUMNS.filter((party) => rows.some((row) => involves(row, party)));
  const layout = { parties, labelWidth };
  return [header(layout), ...rows.map((row) => drawRow(row, layout))].join("\n");
}

interface Layout {
  readonly parties: readonly Party[];
  readonly labelWidth: number;
}

function header({ parties }: Layout): string {
  const names = parties.map((party) => party.padEnd(COLUMN_WIDTH)).join("");
  return `${"s".padStart(TIME_WIDTH - 2)}  ${names}`.trimEnd();
}

function drawRow(row: Row, layout: Layout): string {
  const time = (row.at / 1000).toFixed(3).padStart(TIME_WIDTH - 2);
  const label = clip(row.label, layout.labelWidth);
  const line = isArrow(row) ? drawArrow(row, label, layout) : drawNote(row.party, label, layout);
  return `${time}  ${line}`.trimEnd();
}

function clip(label: string, width: number): string {
  const flat = label.replaceAll(/\s+/g, " ");
  return flat.length <= width ? flat : `${flat.slice(0, width - 1)}…`;
}

/** A canvas of life lines: one bar at the left edge of each party's column. */
function lifelines({ parties }: Layout): string[] {
  return parties.flatMap(() => ["│", ...Array<string>(COLUMN_WIDTH - 1).fill(" ")]);
}

function drawNote(party: Party, label: string, layout: Layout): string {
  const canvas = lifelines(layout);
  const at = layout.parties.indexOf(party) * COLUMN_WIDTH;
  canvas[at] = "●";
  return place(canvas, ` ${label}`, at + 1);
}

function drawArrow(arrow: Arrow, label: string, layout: Layout): string {
  const canvas = lifelines(layout);
  const [start, end] = endpoints(arrow, layout);
  const [left, right] = start < end ? [start, end] : [end, start];
  for (let x = left + 1; x < right; x += 1) canvas[x] = "─";
  if (start < end) canvas[end - 1] = "▶";
  else canvas[end + 1] = "◀";
  const room = right - left - 4;
  return label.length <= room
    ? place(canvas, label, left + 2 + Math.floor((room - label.length) / 2))
    : place(canvas, ` ${label}`, right + 1);
}

/** Where an arrow starts and ends; an unknown end lies half a column outside the known one. */
function endpoints({ from, to }: Arrow, { parties }: Layout): [number, number] {
  const x = (party: Party) => parties.indexOf(party) * COLUMN_WIDTH;
  const outside = COLUMN_WIDTH / 2;
  if (from !== undefined && to !== undefined) {
    return from === to ? [x(from), x(to) + outside] : [x(from), x(to)];
  }
  if (from !== undefined) return [x(from), x(from) + outside];
  return to === undefined ? [0, outside] : [x(to) + outside, x(to)];
}

function place(canvas: string[], text: string, at: number): string {
  const characters = Array.from(text);
  for (const [index, character] of characters.entries()) canvas[at + index] = character;
  return canvas.map((character) => character ?? " ").join("");
}
