/**
 * Every scenario again and again, with what ACS posts in disorder:
 * `node bench/disorder-scenarios.ts [--seeds 1-100] [--share N] [--parallel 2] [--minutes M] [files…]`.
 * First each scenario runs undisturbed, then once a seed with `linecheck run --disorder SEED`. It
 * has to pass each time, and what crossed the wires has to be what it was: the agent's operations
 * at ACS, the REFERs, the INVITEs at the queue with their headers. One that differs runs once more
 * alone: a machine that is too busy for real time says nothing about disorder, and is counted apart.
 * Results are appended to `out/disorder/scenarios.jsonl`, and what is there already is not run
 * again, so that a long range can be done in pieces; `--minutes` ends a piece. With `--share 8` a seed
 * is for every eighth scenario, and the next seed for those after them. Runs well under `nice`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { slug } from "../scenarios/harness/folder.ts";
import type { TraceEvent } from "../simulator/trace.ts";
import { onTheWire } from "./disorder-call.ts";

const HOME = resolve(import.meta.dirname, "..");
const FOLDER = join(HOME, "out/disorder");
const RESULTS = join(FOLDER, "scenarios.jsonl");
/** Scenarios of one run of `linecheck run`, at least: enough to keep it busy, few enough to stop after. */
const BATCH = 4;
const UNDISTURBED = 0;

/** Scenarios that are not held to this, and why. */
const EXCLUDED: Readonly<Record<string, string>> = {
  "callbacks-disordered": "is itself about the order, and plans its own disorder",
};

interface Result {
  readonly seed: number;
  readonly scenario: string;
  readonly outcome: "same" | "different" | "busy" | "skipped";
  /** What crossed the wires, in an order that does not depend on the moment. */
  readonly wire?: string;
  /** Why it failed, or what differs. */
  readonly why?: string;
}

interface Assertion {
  readonly title: string;
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

interface Run {
  readonly seed: number;
  readonly files: readonly string[];
  readonly parallel: number;
}

const nameOf = (file: string) => basename(file, ".scenario.ts");

/** Runs scenario files under one seed; what each came to, by file. */
async function runFiles({ seed, files, parallel }: Run): Promise<Map<string, Result>> {
  const out = join(FOLDER, `seed-${seed}`);
  const disorder = seed === UNDISTURBED ? [] : [`--disorder=${seed}`];
  const child = spawn(
    process.execPath,
    ["simulator/cli.ts", "run", ...files, ...disorder, `--out=${out}`, "--reporter=json"],
    { cwd: HOME, stdio: "ignore", env: { ...process.env, VITEST_MAX_WORKERS: String(parallel) } },
  );
  await once(child, "exit");
  const report: {
    testResults: readonly { name: string; assertionResults: readonly Assertion[] }[];
  } = JSON.parse(readFileSync(join(out, "results.json"), "utf8"));
  const results = report.testResults.map(({ name, assertionResults }) => {
    const scenario = nameOf(name);
    return [scenario, resultOf({ seed, scenario, out }, assertionResults)] as const;
  });
  return new Map(results);
}

function resultOf(
  { seed, scenario, out }: { seed: number; scenario: string; out: string },
  assertions: readonly Assertion[],
): Result {
  const failed = assertions.filter(({ status }) => status === "failed");
  const passed = assertions.filter(({ status }) => status === "passed");
  const base = { seed, scenario };
  if (failed.length > 0 || assertions.length === 0) {
    const why = failed.map(({ title, failureMessages = [] }) => `${title}: ${failureMessages[0]}`);
    return { ...base, outcome: "different", why: why.join("; ").slice(0, 2_000) };
  }
  if (passed.length === 0) return { ...base, outcome: "skipped" };
  const wire = passed.map(({ title }) => wireOf(join(out, slug(title))));
  for (const { title } of passed) rmSync(join(out, slug(title)), { recursive: true, force: true });
  return { ...base, outcome: "same", wire: JSON.stringify(wire) };
}

/** Calls that run beside each other may change places; within a scenario the set is what counts. */
function wireOf(folder: string): unknown {
  const lines = readFileSync(join(folder, "trace.jsonl"), "utf8").trim().split("\n");
  const events: TraceEvent[] = lines.map((line) => JSON.parse(line));
  return Object.entries(onTheWire(events)).map(([what, list]) => [what, list.toSorted()]);
}

/** The result against the undisturbed run's. */
function judged(result: Result, undisturbed: Result | undefined): Result {
  if (result.outcome !== "same" || undisturbed?.wire === undefined) return result;
  if (result.wire === undisturbed.wire) return result;
  const why = `undisturbed ${undisturbed.wire}\n    disturbed   ${result.wire}`;
  return { ...result, outcome: "different", why };
}

class Ledger {
  readonly #results = new Map<string, Result>();

  constructor() {
    if (!existsSync(RESULTS)) return;
    for (const line of readFileSync(RESULTS, "utf8").trim().split("\n")) {
      const result: Result = JSON.parse(line);
      this.#results.set(`${result.seed} ${result.scenario}`, result);
    }
  }

  find(seed: number, scenario: string): Result | undefined {
    return this.#results.get(`${seed} ${scenario}`);
  }

  add(result: Result): void {
    this.#results.set(`${result.seed} ${result.scenario}`, result);
    appendFileSync(RESULTS, `${JSON.stringify(result)}\n`);
    if (result.outcome === "same" || result.outcome === "skipped") return;
    console.log(`seed ${result.seed}, ${result.scenario}: ${result.outcome}\n    ${result.why}`);
  }
}

/** Runs one batch; what differs runs once more alone before it is believed. */
async function runBatch(run: Run, ledger: Ledger): Promise<void> {
  const results = await runFiles(run);
  for (const file of run.files) {
    const scenario = nameOf(file);
    const undisturbed = ledger.find(UNDISTURBED, scenario);
    const missing: Result = { seed: run.seed, scenario, outcome: "different", why: "did not run" };
    const first = judged(results.get(scenario) ?? missing, undisturbed);
    if (first.outcome !== "different") {
      ledger.add(first);
      continue;
    }
    const alone = await runFiles({ ...run, files: [file], parallel: 1 });
    const second = judged(alone.get(scenario) ?? missing, undisturbed);
    const { why } = first;
    ledger.add(second.outcome === "same" ? { ...second, outcome: "busy", why } : second);
  }
}

function* batches<Item>(items: readonly Item[], size: number): Generator<Item[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}

/** `7` or `1-100`. */
function seedRange(range: string): number[] {
  const [first = 1, last = first] = range.split("-").map(Number);
  if (!(first >= 1 && last >= first)) throw new Error(`--seeds: expected 1-100, got ${range}`);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** What a seed is for: everything, or its share. */
type Plan = (seed: number) => readonly string[];

function planOf(files: readonly string[], share: number): Plan {
  return (seed) =>
    seed === UNDISTURBED ? files : files.filter((_, index) => (index + seed) % share === 0);
}

function summarise(ledger: Ledger, seeds: readonly number[], plan: Plan): number {
  const planned = seeds.flatMap((seed) => plan(seed).map((file) => ({ seed, file })));
  const results = planned.flatMap(({ seed, file }) => ledger.find(seed, nameOf(file)) ?? []);
  const count = (outcome: Result["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  console.log(
    `${results.length} of ${planned.length} runs (${plan(UNDISTURBED).length} scenarios, seeds` +
      ` ${seeds[0]} to ${seeds.at(-1)}): ${count("same")} the same, ${count("different")} different,` +
      ` ${count("busy")} the same alone only, ${count("skipped")} skipped`,
  );
  return count("different");
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: "string", default: "1-3" },
      share: { type: "string", default: "1" },
      parallel: { type: "string", default: "2" },
      minutes: { type: "string", default: "Infinity" },
    },
  });
  mkdirSync(FOLDER, { recursive: true });
  const endMs = performance.now() + Number(values.minutes) * 60_000;
  const all = globSync("scenarios/**/*.scenario.ts", { cwd: HOME }).toSorted();
  const files = (positionals.length > 0 ? positionals : all).filter(
    (file) => EXCLUDED[nameOf(file)] === undefined,
  );
  for (const [name, why] of Object.entries(EXCLUDED)) console.log(`left out: ${name} (${why})`);
  const seeds = seedRange(values.seeds);
  const plan = planOf(files, Number(values.share));
  const parallel = Number(values.parallel);
  const ledger = new Ledger();
  for (const seed of [UNDISTURBED, ...seeds]) {
    const open = plan(seed).filter((file) => ledger.find(seed, nameOf(file)) === undefined);
    for (const batch of batches(open, Math.max(BATCH, parallel))) {
      if (performance.now() > endMs) return summarise(ledger, seeds, plan) > 0 ? 1 : 0;
      await runBatch({ seed, files: batch, parallel }, ledger);
    }
  }
  return summarise(ledger, seeds, plan) > 0 ? 1 : 0;
}

process.exitCode = await main();
