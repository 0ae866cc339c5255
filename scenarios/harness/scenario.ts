import { type TestContext, test } from "vitest";
import { DrachtioUnavailable, type LabOptions } from "../../simulator/lab.ts";
import { BundledAgentNeeded } from "./agents.ts";
import { type Fixtures, startRun } from "./fixtures.ts";
import { addMatchers } from "./matchers.ts";
import { type RunOptions, readRunOptions } from "./run-options.ts";

export { expect } from "vitest";

declare module "vitest" {
  interface TaskMeta {
    /** Which runs of a repeated scenario failed, from 0; in the JSON report, too. */
    failedTurns?: readonly number[];
  }
}

addMatchers();

export type ScenarioBody = (fixtures: Fixtures) => Promise<void>;

export interface ScenarioOptions {
  /** What goes wrong on purpose. */
  readonly faults?: LabOptions["faults"];
  /** How the lab differs from the default: certificates, trunk settings, service delays. */
  readonly lab?: Omit<LabOptions, "faults" | "folder">;
  /** Answers what `llm` does not: `fixtures/dialogues/NAME.json`, recorded with a real model. */
  readonly dialogue?: string;
  /**
   * Settings of the bundled agent that differ from the default, by environment name. A scenario
   * that names them, and be it none, is skipped where another agent is under test.
   */
  readonly agent?: Readonly<Record<string, string>>;
  /** True where the machine lacks what the scenario needs; it is counted as skipped, never as passed. */
  readonly skip?: boolean;
  /** Longest run of the whole scenario. Default 90 s. */
  readonly timeoutMs?: number;
}

/**
 * One promise to a caller, as a script. A fresh lab and a fresh agent are started for it; the
 * fixtures are its parties. It fails when a step fails, when the model was asked something that
 * nobody scripted, or when something is left over.
 */
export function scenario(title: string, body: ScenarioBody, options: ScenarioOptions = {}): void {
  const settings = readRunOptions(process.env);
  const timeout = options.timeoutMs ?? 90_000;
  test.skipIf(options.skip ?? false)(title, { timeout, repeats: settings.repeat - 1 }, (context) =>
    run(body, { ...options, settings }, context),
  );
}

async function run(
  body: ScenarioBody,
  { settings, ...options }: ScenarioOptions & { settings: RunOptions },
  { task, signal, annotate, skip }: TestContext,
): Promise<void> {
  await using background = new Background();
  const announce = (step: string) => background.add(annotate(step, "step"));
  // The runner's signal tells of time-outs only: whatever the script left waiting ends with it.
  const over = new AbortController();
  const turn = task.result?.repeatCount ?? 0;
  const start = {
    title: task.name,
    turn,
    signal: AbortSignal.any([signal, over.signal]),
    options,
    settings,
    announce,
  };
  if (options.agent !== undefined && settings.agentUrl !== undefined) {
    return skip(new BundledAgentNeeded().message);
  }
  const current = await startRun(start).catch((error: unknown) => {
    // A daemon that this machine cannot have is no failure of the scenario, and no success.
    if (error instanceof DrachtioUnavailable) return skip(error.message);
    throw error;
  });
  background.add(annotate(current.folder, "folder"));
  try {
    await body(current.fixtures);
    await current.finish();
    checkStruck(options.faults, current.fixtures.lab.faults.struck);
  } catch (error) {
    if (error instanceof BundledAgentNeeded) {
      await end(current, over);
      return skip(error.message);
    }
    background.add(annotate(current.folder, "failed"));
    task.meta.failedTurns = [...(task.meta.failedTurns ?? []), turn];
    // What failed in the script is the news; a party that cannot close after it is not.
    await end(current, over).catch(() => {});
    throw error;
  }
  await end(current, over);
}

/** A fault that its scenario plans and that strikes nowhere, by a typing error say, proves nothing. */
function checkStruck(planned: ScenarioOptions["faults"] = [], struck: readonly string[]): void {
  const idle = planned.map(({ name }) => name).filter((name) => !struck.includes(name));
  if (idle.length === 0) return;
  throw new Error(`planned and never struck, so nothing was proved: ${idle.join(", ")}`);
}

async function end(current: AsyncDisposable, over: AbortController): Promise<void> {
  over.abort(new Error("the scenario is over"));
  await current[Symbol.asyncDispose]();
}

/** Promises that nobody awaits at once; the scenario's end waits for all of them. */
class Background implements AsyncDisposable {
  readonly #pending: Promise<unknown>[] = [];

  add(promise: Promise<unknown>): void {
    this.#pending.push(promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pending);
  }
}
