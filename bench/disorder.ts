/**
 * One call again and again, with what ACS posts in disorder:
 * `node bench/disorder.ts [--seeds 20] [--first 1] [--parallel 3]`.
 * The caller disputes a charge and is handed to a human. First the call runs undisturbed; then,
 * once a seed, with Event Grid's IncomingCall and the mid-call callbacks delayed, duplicated and
 * reordered. What comes out of it has to be identical: the agent's record and turns, its operations
 * at ACS, the REFER, the INVITE at the queue, and what the caller heard. A seed that differs is
 * printed with the difference and its folder, and makes the exit code 1. A call in which the
 * machine lost audio says nothing about what was heard, and is repeated.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { disorder } from "../simulator/acs/disorder.ts";
import { type DisturbedCall, type Fault, type Outcome, runDisturbedCall } from "./disorder-call.ts";

/** A million calls would take a month. */
const MOST_SEEDS = 1_000;
const MOST_PARALLEL = 16;
/** More than this is a syllable. */
const MOST_MISSED_MS = 150;
const ATTEMPTS = 3;

/** A call that the machine let be heard, if one of the attempts was. */
async function runSeed(title: string, faults: readonly Fault[]): Promise<DisturbedCall> {
  for (let attempt = 1; ; attempt++) {
    const call = await runDisturbedCall(title, faults);
    if (call.missedMs <= MOST_MISSED_MS || attempt === ATTEMPTS) return call;
  }
}

/** Each lab has an event loop of its own: one that starts must not stall one that has a call. */
class Lane implements AsyncDisposable {
  readonly #worker = new Worker(new URL(import.meta.url));

  async run(title: string, faults: readonly Fault[]): Promise<DisturbedCall> {
    this.#worker.postMessage({ title, faults }, []);
    const [call] = await once(this.#worker, "message");
    return call as DisturbedCall;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

function serveLane(port: NonNullable<typeof parentPort>): void {
  port.on("message", ({ title, faults }: { title: string; faults: readonly Fault[] }) => {
    void runSeed(title, faults).then((call) => port.postMessage(call));
  });
}

/** Field by field: expected, got. Empty when nothing differs. */
function differences(expected: Outcome, { outcome, error, missedMs }: DisturbedCall): string[] {
  const why = missedMs > MOST_MISSED_MS ? ` (the machine lost ${missedMs} ms of the audio)` : "";
  if (outcome === undefined) return [`the call did not come to its end${why}: ${error}`];
  return Object.keys(expected).flatMap((name) => {
    const key = name as keyof Outcome;
    const [before, after] = [expected[key], outcome[key]].map((value) => JSON.stringify(value));
    if (before === after) return [];
    return [`${key}${why}\n    undisturbed ${before}\n    disturbed   ${after}`];
  });
}

function report(seed: number, found: readonly string[], folder: string): void {
  const planned = disorder(seed).map(({ name, with: { ms } = {} }) =>
    ms === undefined ? name : `${name} ${ms} ms`,
  );
  console.log(`seed ${seed} differs; ${folder}; ${planned.join(", ")}`);
  for (const difference of found) console.log(`  ${difference}`);
}

/** Runs every seed, one lane's after the other; returns those that differ. */
async function runSeeds(expected: Outcome, seeds: readonly number[], lanes: readonly Lane[]) {
  const left = seeds.values();
  const different: number[] = [];
  let struck = 0;
  const drive = async (lane: Lane) => {
    for (const seed of left) {
      const call = await lane.run(`seed-${seed}`, disorder(seed));
      struck += call.struck;
      const found = differences(expected, call);
      if (found.length === 0) rmSync(call.folder, { recursive: true, force: true });
      else report(seed, found, call.folder);
      if (found.length > 0) different.push(seed);
    }
  };
  await Promise.all(lanes.map(drive));
  return { different, struck };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "20" },
      first: { type: "string", default: "1" },
      parallel: { type: "string", default: "3" },
    },
  });
  const count = Math.min(Number(values.seeds), MOST_SEEDS);
  const parallel = Math.min(Number(values.parallel), MOST_PARALLEL, count);
  const startedMs = performance.now();
  await using opened = new AsyncDisposableStack();
  const lanes = Array.from({ length: parallel }, () => opened.use(new Lane()));
  const undisturbed = await lanes[0]?.run("undisturbed", []);
  if (undisturbed?.outcome === undefined) {
    console.log(`the undisturbed call failed: ${undisturbed?.folder}: ${undisturbed?.error}`);
    return 1;
  }
  const seeds = Array.from({ length: count }, (_, index) => Number(values.first) + index);
  const { different, struck } = await runSeeds(undisturbed.outcome, seeds, lanes);
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  const odd =
    different.length > 0 ? `, ${different.length} different (${different.join(", ")})` : "";
  console.log(
    `${count} seeds, ${struck} disturbances, ${parallel} calls at a time, ${seconds} s:` +
      ` ${count - different.length} identical to the undisturbed call${odd}`,
  );
  return different.length > 0 ? 1 : 0;
}

if (isMainThread) process.exitCode = await main();
else if (parentPort !== null) serveLane(parentPort);
