/**
 * Every scenario again and again, with what ACS posts in disorder:
 * `node bench/disorder-scenarios.ts [--seeds 1-100] [--parallel 2] [--minutes M] [files…]`.
 * First each scenario runs undisturbed, then once a seed with `linecheck run --disorder SEED`. It
 * has to pass each time, and what crossed the wires has to be what it was: the agent's operations
 * at ACS, the REFERs, the INVITEs at the queue with their headers. What differs runs once more when
 * nothing else does: a machine that is too busy for real time says nothing about disorder, and is
 * counted apart. Results are appended to `out/disorder/scenarios.jsonl`, and what is there already
 * is not run again, so that a long range can be done in pieces; `--minutes` ends a piece. The seeds
 * are dealt out so that every scenario and every seed has its turn early on. Runs well under `nice`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runFolder } from "../scenarios/harness/folder.ts";
import type { TraceEvent } from "../simulator/trace.ts";
import { onTheWire } from "./disorder-call.ts";

const HOME = resolve(import.meta.dirname, "..");
const FOLDER = join(HOME, "out/disorder");
const RESULTS = join(FOLDER, "scenarios.jsonl");
/** Seeds of one process: loading the SDKs takes as long as a scenario. */
const SEEDS_AT_ONCE = 10;
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
  /** One for each failed turn. */
  readonly failureMessages?: readonly string[];
  /** Which turns of a repeated test failed, from 0. */
  readonly meta: { readonly failedTurns?: readonly number[] };
}

/** One process: a scenario file under some seeds that follow each other. */
interface Job {
  readonly file: string;
  readonly firstSeed: number;
  readonly seeds: number;
}

const nameOf = (file: string) => basename(file, ".scenario.ts");

/** Runs a job; a result for each of its seeds. */
async function runJob(job: Job): Promise<Result[]> {
  const { file, firstSeed, seeds } = job;
  const out = join(FOLDER, `${nameOf(file)}-${firstSeed}`);
  const disorder = firstSeed === UNDISTURBED ? [] : [`--disorder=${firstSeed}`];
  const child = spawn(
    process.execPath,
    [
      "simulator/cli.ts",
      "run",
      file,
      ...disorder,
      `--repeat=${seeds}`,
      `--out=${out}`,
      "--reporter=json",
    ],
    { cwd: HOME, stdio: "ignore" },
  );
  await once(child, "exit");
  const results = resultsOf(job, out);
  rmSync(out, { recursive: true, force: true });
  return results;
}

function resultsOf(job: Job, out: string): Result[] {
  const report: { testResults: readonly { assertionResults: readonly Assertion[] }[] } = JSON.parse(
    readFileSync(join(out, "results.json"), "utf8"),
  );
  const assertions = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const scenario = nameOf(job.file);
  const ran = assertions.filter(({ status }) => status === "passed" || status === "failed");
  return seedsOf(job).map((seed, turn) => {
    const why = ran.flatMap((assertion) => failureOf(assertion, turn)).join("; ");
    if (why !== "" || assertions.length === 0) {
      return { seed, scenario, outcome: "different", why: why.slice(0, 2_000) };
    }
    if (ran.length === 0) return { seed, scenario, outcome: "skipped" };
    const wire = ran.map(({ title }) => wireOf(join(out, runFolder(title, turn))));
    return { seed, scenario, outcome: "same", wire: JSON.stringify(wire) };
  });
}

/** Why a test failed in one of its turns; where the report does not tell which, in all of them. */
function failureOf({ title, status, failureMessages = [], meta }: Assertion, turn: number) {
  if (status !== "failed") return [];
  const { failedTurns = [] } = meta;
  const known = failedTurns.length === failureMessages.length;
  if (!known) return [`${title}: ${failureMessages[0]}`];
  const index = failedTurns.indexOf(turn);
  return index < 0 ? [] : [`${title}: ${failureMessages[index]}`];
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

/** Runs one job; returns the jobs that have to be run again before they are believed. */
async function runOnce(job: Job, ledger: Ledger): Promise<Job[]> {
  const scenario = nameOf(job.file);
  const undisturbed = ledger.find(UNDISTURBED, scenario);
  const again: Job[] = [];
  for (const result of await runJob(job)) {
    const { seed, outcome, why } = judged(result, undisturbed);
    if (outcome === "different") {
      console.log(`seed ${seed}, ${scenario}: to run again: ${why}`);
      again.push({ ...job, firstSeed: seed, seeds: 1 });
    } else {
      ledger.add(result);
    }
  }
  return again;
}

/** Runs a job of one seed that differed, while nothing else runs. */
async function runAgain(job: Job, ledger: Ledger): Promise<void> {
  const scenario = nameOf(job.file);
  for (const first of await runJob(job)) {
    const result = judged(first, ledger.find(UNDISTURBED, scenario));
    ledger.add(result.outcome === "same" ? { ...result, outcome: "busy" } : result);
  }
}

const seedsOf = ({ firstSeed, seeds }: Job) =>
  Array.from({ length: seeds }, (_, index) => firstSeed + index);

/** `7` or `1-100`. */
function seedRange(range: string): number[] {
  const [first = 1, last = first] = range.split("-").map(Number);
  if (!(first >= 1 && last >= first)) throw new Error(`--seeds: expected 1-100, got ${range}`);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** In each round every scenario has a part of the seeds, and together they have all of them. */
function plan(files: readonly string[], seeds: readonly number[]): Job[] {
  const parts = Array.from({ length: Math.ceil(seeds.length / SEEDS_AT_ONCE) }, (_, index) =>
    seeds.slice(index * SEEDS_AT_ONCE, (index + 1) * SEEDS_AT_ONCE),
  );
  return parts.flatMap((_, round) =>
    files.map((file, index) => {
      const part = parts[(index + round) % parts.length] ?? [];
      return { file, firstSeed: part[0] ?? 1, seeds: part.length };
    }),
  );
}

/** What of a job is not done yet: stretches of seeds that follow each other. */
function openPartsOf(job: Job, ledger: Ledger): Job[] {
  const parts: Job[] = [];
  for (const seed of seedsOf(job)) {
    if (ledger.find(seed, nameOf(job.file)) !== undefined) continue;
    const last = parts.at(-1);
    if (last !== undefined && last.firstSeed + last.seeds === seed) {
      parts[parts.length - 1] = { ...last, seeds: last.seeds + 1 };
    } else {
      parts.push({ ...job, firstSeed: seed, seeds: 1 });
    }
  }
  return parts;
}

/** Up to `parallel` jobs at a time until all are done or the time is over; what has to run again. */
async function runAll(
  jobs: readonly Job[],
  { ledger, parallel, endMs }: { ledger: Ledger; parallel: number; endMs: number },
): Promise<Job[]> {
  const open = jobs.flatMap((job) => openPartsOf(job, ledger));
  const again: Job[] = [];
  const lane = async () => {
    while (performance.now() < endMs) {
      const job = open.shift();
      if (job === undefined) return;
      again.push(...(await runOnce(job, ledger)));
    }
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return again;
}

function summarise(ledger: Ledger, files: readonly string[], seeds: readonly number[]): number {
  const results = files.flatMap((file) =>
    seeds.flatMap((seed) => ledger.find(seed, nameOf(file)) ?? []),
  );
  const count = (outcome: Result["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  console.log(
    `${results.length} of ${files.length * seeds.length} runs (${files.length} scenarios, seeds` +
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
  const limits = { ledger: new Ledger(), parallel: Number(values.parallel), endMs };
  const undisturbed = files.map((file) => ({ file, firstSeed: UNDISTURBED, seeds: 1 }));
  for (const jobs of [undisturbed, plan(files, seeds)]) {
    for (const job of await runAll(jobs, limits)) await runAgain(job, limits.ledger);
  }
  return summarise(limits.ledger, files, seeds) > 0 ? 1 : 0;
}

process.exitCode = await main();
