import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import { callPage, type ReportedCall } from "../../simulator/report/call-page.ts";
import { type OverviewEntry, overviewPage } from "../../simulator/report/overview.ts";
import { readTrace } from "../../simulator/report/read-trace.ts";
import { outFolder } from "./folder.ts";
import { describe, isChosen } from "./reporter.ts";

/** One run of a scenario; with `--repeat` a scenario has several. */
interface Run {
  readonly folder: string;
  failed: boolean;
}

/**
 * Writes `report/` into the output folder when the run is over: a page for each call, and
 * `index.html`, made from the traces that the scenarios left.
 */
export default class PageReporter implements Reporter {
  readonly #runs = new Map<string, Run[]>();

  onTestCaseAnnotate(test: TestCase, { type, message }: { type: string; message: string }): void {
    const runs = this.#runs.get(test.id) ?? [];
    if (type === "folder") this.#runs.set(test.id, [...runs, { folder: message, failed: false }]);
    const failed = type === "failed" ? runs.find(({ folder }) => folder === message) : undefined;
    if (failed !== undefined) failed.failed = true;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const target = join(outFolder(process.env), "report");
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    const cases = modules.flatMap((module) => [...module.children.allTests()]).filter(isChosen);
    const entries = cases.flatMap((test) => this.#entries(test, target));
    for (const { call, page } of entries) {
      if (page !== undefined) writeFileSync(join(target, page), callPage(call));
    }
    const broken = modules.flatMap(brokenFile);
    writeFileSync(join(target, "index.html"), overviewPage([...broken, ...entries]));
  }

  #entries(test: TestCase, target: string): OverviewEntry[] {
    const runs = this.#runs.get(test.id) ?? [];
    const reasons = reasonsOf(test);
    const last = runs.at(-1);
    const failures = runs.filter(({ failed }) => failed);
    // What fails after the script, such as a leak, no run has said of itself.
    if (last !== undefined && failures.length === 0) last.failed = test.result().state === "failed";
    if (runs.length === 0) return [{ call: neverBegan(test, reasons) }];
    return runs.map((run, index) => {
      // Each failed run has its own reason, unless one of them failed in several ways.
      const own = reasons.length === failures.length ? reasons[failures.indexOf(run)] : undefined;
      const reason = run.failed ? (own ?? reasons.join("\n\n")) : undefined;
      const turn = runs.length === 1 ? "" : ` (run ${index + 1})`;
      return {
        call: { ...reportOf(test, run, target), title: test.name + turn, ...given(reason) },
        page: `${basename(run.folder)}.html`,
      };
    });
  }
}

/** A file that could not be loaded has no scenarios, and is no success. */
function brokenFile(module: TestModule): OverviewEntry[] {
  return module.errors().map((error) => ({
    call: {
      title: module.relativeModuleId,
      file: module.relativeModuleId,
      outcome: "failed",
      reason: error.stack ?? error.message,
      events: [],
      recordings: [],
    },
  }));
}

function neverBegan(test: TestCase, reasons: readonly string[]): ReportedCall {
  const { state, note } = { note: undefined, ...test.result() };
  return {
    title: test.name,
    file: test.module.relativeModuleId,
    outcome: state === "failed" ? "failed" : "skipped",
    ...given(state === "failed" ? reasons.join("\n\n") : note),
    events: [],
    recordings: [],
  };
}

function reportOf(test: TestCase, { folder, failed }: Run, target: string): ReportedCall {
  const files = readdirSync(folder).toSorted();
  const traceFile = join(folder, "trace.jsonl");
  const link = (file: string) => relative(target, join(folder, file)).replaceAll("\\", "/");
  return {
    title: test.name,
    file: test.module.relativeModuleId,
    outcome: failed ? "failed" : "passed",
    events: existsSync(traceFile) ? readTrace(readFileSync(traceFile, "utf8")) : [],
    recordings: files.filter((file) => file.endsWith(".wav")).map(link),
    traceFile: link("trace.jsonl"),
  };
}

function given(reason: string | undefined): { reason?: string } {
  return reason === undefined ? {} : { reason };
}

function reasonsOf(test: TestCase): string[] {
  return (test.result().errors ?? []).map((error) => describe(error, test));
}
