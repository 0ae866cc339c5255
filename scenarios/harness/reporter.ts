import { join, relative } from "node:path";
import type { SerializedError, UserConsoleLog } from "vitest";
import type { Reporter, TestCase, TestModule, TestSpecification } from "vitest/node";
import { outFolder } from "./folder.ts";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 100;

/**
 * The terminal view of a run: one line for each scenario; the running ones show the step they are
 * at. Without a terminal a line is printed when a scenario ends, and nothing is ever rewritten.
 */
export default class ProgressReporter implements Reporter {
  readonly #running = new Map<string, { title: string; step: string; startedMs: number }>();
  readonly #folders = new Map<string, string>();
  /** Of a repeated scenario, only the runs that failed. */
  readonly #failed: { test: string; folder: string }[] = [];
  readonly #live = process.stdout.isTTY;
  #startedMs = 0;
  #drawn = 0;
  #frame = 0;
  #timer: NodeJS.Timeout | undefined;

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#startedMs = performance.now();
    this.#print(`linecheck: ${count(specifications.length, "scenario file")}\n`);
    if (this.#live) this.#timer = setInterval(() => this.#redraw(), FRAME_MS);
  }

  onTestCaseReady(test: TestCase): void {
    this.#running.set(test.id, {
      title: test.name,
      step: "starting the lab",
      startedMs: performance.now(),
    });
  }

  onTestCaseAnnotate(test: TestCase, annotation: { type: string; message: string }): void {
    if (annotation.type === "folder") this.#folders.set(test.id, annotation.message);
    if (annotation.type === "failed") {
      this.#failed.push({ test: test.id, folder: annotation.message });
    }
    const entry = this.#running.get(test.id);
    if (entry !== undefined && annotation.type === "step") entry.step = annotation.message;
  }

  /** What a script prints belongs to its author. */
  onUserConsoleLog({ content }: UserConsoleLog): void {
    this.#erase();
    this.#print(content.trimEnd());
    this.#redraw();
  }

  onTestCaseResult(test: TestCase): void {
    if (!isChosen(test)) return;
    const { state, errors = [], note } = { note: undefined, ...test.result() };
    const entry = this.#running.get(test.id);
    this.#running.delete(test.id);
    this.#erase();
    const seconds = seconds1(performance.now() - (entry?.startedMs ?? performance.now()));
    const mark = state === "passed" ? green("✓") : state === "failed" ? red("✗") : "-";
    this.#print(` ${mark} ${test.name.padEnd(66)} ${seconds.padStart(7)}`);
    if (note !== undefined) this.#print(`   skipped: ${note}`);
    for (const error of errors) this.#print(`\n${indent(describe(error, test))}\n`);
    this.#redraw();
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    clearInterval(this.#timer);
    this.#erase();
    const cases = modules.flatMap((module) => [...module.children.allTests()]).filter(isChosen);
    const broken = modules.flatMap((module) => module.errors().map((error) => ({ module, error })));
    for (const { module, error } of broken) {
      this.#print(
        ` ${red("✗")} ${module.relativeModuleId}\n\n${indent(error.stack ?? error.message)}\n`,
      );
    }
    for (const error of unhandled)
      this.#print(`${red("unhandled")} ${indent(error.stack ?? error.message)}`);
    const by = (state: string) => cases.filter((test) => test.result().state === state).length;
    const failed = by("failed") + broken.length + unhandled.length;
    if (cases.length === 0 && failed === 0) this.#complainOfNothing();
    const skipped = by("skipped") > 0 ? `, ${by("skipped")} skipped` : "";
    for (const test of cases) this.#printLadder(test);
    this.#print(`\n${by("passed")} passed, ${failed} failed${skipped}`);
    this.#print(`in ${seconds1(performance.now() - this.#startedMs)}`);
    const report = join(outFolder(process.env), "report/index.html");
    this.#print(`report  ${relative(process.cwd(), report)}`);
  }

  /** The runner takes a title that no scenario has for a success. */
  #complainOfNothing(): void {
    const title = process.env["LINECHECK_TITLE"];
    this.#print(
      title === undefined
        ? " no scenario was found"
        : ` no scenario's title contains ${JSON.stringify(title)}`,
    );
    process.exitCode = 1;
  }

  /** Where to read on: the ladder of each call, nearest to what a reader would open first. */
  #printLadder(test: TestCase): void {
    const folder = this.#folders.get(test.id);
    if (folder === undefined) return;
    const place = relative(process.cwd(), folder);
    for (const failed of this.#failed.filter((run) => run.test === test.id)) {
      this.#print(`   trace   ${relative(process.cwd(), failed.folder)}/trace.jsonl`);
    }
    if (/escalat|reaches a human/.test(test.name)) this.#print(`   ladder  ${place}/ladder.txt`);
  }

  #redraw(): void {
    if (!this.#live) return;
    this.#erase();
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const width = process.stdout.columns ?? 80;
    const lines = [...this.#running.values()].map(({ title, step }) =>
      ` ${FRAMES[this.#frame]} ${title} · ${step}`.slice(0, width - 1),
    );
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
    this.#drawn = lines.length;
  }

  #erase(): void {
    if (this.#drawn > 0) process.stdout.write(`\u001B[${this.#drawn}A\u001B[0J`);
    this.#drawn = 0;
  }

  #print(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

/** False for what `--title` leaves out: it is neither passed nor skipped. */
export function isChosen({ name }: TestCase): boolean {
  return name.includes(process.env["LINECHECK_TITLE"] ?? "");
}

/** A failure in the words of the terminal. */
export function describe(error: SerializedError, test: TestCase): string {
  const at = error.stacks?.find(({ file }) => file.endsWith(".scenario.ts"));
  const place =
    at === undefined
      ? test.module.relativeModuleId
      : `${relative(process.cwd(), at.file)}:${at.line}`;
  const difference = typeof error.diff === "string" ? `\n\n${error.diff}\n` : "";
  return `${error.message}${difference}\nat     ${place}`;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "     ");
}

function seconds1(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? "" : "s"}`;
}

const colour = (code: number) => (text: string) =>
  process.stdout.isTTY ? `\u001B[${code}m${text}\u001B[0m` : text;
const green = colour(32);
const red = colour(31);
