import type { AskedRequest } from "./dialogue.ts";

const LIMIT_SHOWN_CHARACTERS = 300;

/** The recorded request that is nearest to what was asked, and the first place where they differ. */
export function describeNearest(asked: AskedRequest, recorded: readonly AskedRequest[]): string {
  const nearest = recorded
    .map((request, index) => ({ index, ...compare(request, asked) }))
    .toSorted((a, b) => b.equal - a.equal || b.alike - a.alike)[0];
  if (nearest === undefined) return "nothing is recorded";
  const { index, difference } = nearest;
  if (difference === undefined) return `request ${index + 1} is the same`;
  const { path, was, is } = difference;
  return `nearest is request ${index + 1}, which differs at ${path}\n  recorded  ${shown(was)}\n  asked     ${shown(is)}`;
}

interface Difference {
  readonly path: string;
  readonly was: unknown;
  readonly is: unknown;
}

interface Comparison {
  /** Leading messages that are equal. */
  readonly equal: number;
  /** 0 … 1: words that the first unequal messages share. */
  readonly alike: number;
  readonly difference: Difference | undefined;
}

function compare(recorded: AskedRequest, asked: AskedRequest): Comparison {
  const differs = asked.messages.findIndex((message, index) => {
    return JSON.stringify(message) !== JSON.stringify(recorded.messages[index]);
  });
  const equal =
    differs === -1 ? Math.min(asked.messages.length, recorded.messages.length) : differs;
  const difference = firstDifference("", recorded, asked);
  const alike = shareOfWords(shown(recorded.messages[equal]), shown(asked.messages[equal]));
  return { equal, alike, difference };
}

/** Messages come first: a conversation that went elsewhere is the news, whatever else changed. */
function firstDifference(path: string, was: unknown, is: unknown): Difference | undefined {
  if (JSON.stringify(was) === JSON.stringify(is)) return undefined;
  if (!isTree(was) || !isTree(is)) return { path: path || "the request", was, is };
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])];
  const ordered = names.toSorted((a, b) => Number(b === "messages") - Number(a === "messages"));
  for (const name of ordered) {
    const below = Array.isArray(is) ? `${path}[${name}]` : `${path}${path && "."}${name}`;
    const found = firstDifference(below, memberOf(was, name), memberOf(is, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function memberOf(tree: object, name: string): unknown {
  return Object.entries(tree).find(([key]) => key === name)?.[1];
}

function shareOfWords(one: string, other: string): number {
  const [a, b] = [one, other].map(
    (text) => new Set(text.toLowerCase().match(/[\p{L}\d]+/gu) ?? []),
  );
  if (a === undefined || b === undefined) return 0;
  return a.intersection(b).size / Math.max(1, a.union(b).size);
}

function shown(value: unknown): string {
  if (value === undefined) return "(nothing)";
  const text = JSON.stringify(value);
  return text.length <= LIMIT_SHOWN_CHARACTERS ? text : `${text.slice(0, LIMIT_SHOWN_CHARACTERS)}…`;
}
