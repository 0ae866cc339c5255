import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const NAME_LIMIT = 60;

/** Where traces, ladders, recordings and the report go: the environment tells each process of a run. */
export function outFolder(environment: NodeJS.ProcessEnv): string {
  return environment["LINECHECK_OUT"] ?? "out";
}

/**
 * The folder of one run of a scenario, made and free of what an earlier run left in it: a recording
 * of last week's call would be taken for this one's.
 */
export function openFolder(parent: string, title: string, turn = 0): string {
  const folder = join(parent, runFolder(title, turn));
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(folder)) {
    if (/\.wav$|^ladder\.txt$|^trace\.jsonl$/.test(file)) rmSync(join(folder, file));
  }
  return folder;
}

/** The name of the folder of a scenario's run; `turn` counts its repeats from 0. */
export function runFolder(title: string, turn = 0): string {
  return turn === 0 ? slug(title) : `${slug(title)}-run-${turn + 1}`;
}

/** A title as a folder's name; what a name cannot hold is told apart by a few digits of its hash. */
export function slug(title: string): string {
  const words = title
    .toLowerCase()
    .replaceAll(/[^a-z\d]+/g, "-")
    .replaceAll(/^-|-$/g, "");
  if (words !== "" && words.length <= NAME_LIMIT) return words;
  const hash = createHash("sha256").update(title).digest("hex").slice(0, 6);
  return `${words.slice(0, NAME_LIMIT)}-${hash}`.replace(/^-/, "");
}
