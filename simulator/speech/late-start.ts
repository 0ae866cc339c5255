import { PRE_ROLL_FRAMES, rowsFrom } from "./front-end.ts";
import { type Candidate, type Extent, type Segment, searchAll } from "./shortlist.ts";
import type { Template } from "./template.ts";
import { type Verdict, verify } from "./verification.ts";

/** A sentence is looked for that began 400 to 800 ms ago: twice for each place, at this pace. */
export const LATE_SEARCH_EVERY_FRAMES = 20;
const LONGEST_AGO_FRAMES = 80;
const SHORTEST_AGO_FRAMES = 40;
/** What is before it, at least, to be worth a segment of its own. */
const SHORTEST_BEFORE_FRAMES = 5;
const LEAST_SIMILARITY = 0.6;
const LEAST_BLOCKS = 3;
const LEAST_COHERENCE = 0.75;
const LEAST_EXPLAINED = 0.6;
const TRIED = 3;

/** The row, after the segment's own start, on which a known sentence begins that explains all since. */
export function lateStart(
  { history, noise }: Segment,
  templates: readonly Template[],
): number | undefined {
  const latest = history.length - SHORTEST_AGO_FRAMES;
  const earliest = Math.max(
    PRE_ROLL_FRAMES + SHORTEST_BEFORE_FRAMES,
    history.length - LONGEST_AGO_FRAMES,
  );
  const within = (latest - earliest) >> 1;
  if (within < 1) return undefined;
  const recent = { history: rowsFrom(history, earliest), noise };
  const extent = { frames: recent.history.length, whole: false };
  const start = { row: within, within };
  for (const candidate of searchAll(recent, templates, { ...extent, start }).slice(0, TRIED)) {
    if (candidate.similarity < LEAST_SIMILARITY) return undefined;
    const { counted, cover, coherence, explained } = sinceItsStart(candidate, recent, extent);
    const coherent = counted >= LEAST_BLOCKS && cover === 1 && coherence >= LEAST_COHERENCE;
    if (coherent && explained >= LEAST_EXPLAINED) return earliest + candidate.offset;
  }
  return undefined;
}

/** Compares a candidate with what was heard from its first row on, and nothing before it. */
export function sinceItsStart(
  { template, offset, gainDb, similarity }: Candidate,
  { history, noise }: Segment,
  { frames, whole }: Extent,
): Verdict {
  const since = { history: rowsFrom(history, offset), noise };
  const moved = { template, offset: 0, gainDb, similarity };
  return verify(moved, since, { frames: frames - offset, whole });
}
