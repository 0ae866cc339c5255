import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import type { TestCase, TestModule } from "vitest/node";
import PageReporter from "./page-reporter.ts";

const STEP = '{"v":1,"at":1200,"party":"scenario","type":"step","title":"x","outcome":"pass"}\n';

function outFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "linecheck-"));
  vi.stubEnv("LINECHECK_OUT", folder);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function runFolder(out: string, name: string): string {
  const folder = join(out, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "trace.jsonl"), STEP);
  writeFileSync(join(folder, "customer.wav"), "");
  return folder;
}

interface Result {
  state: "passed" | "failed" | "skipped";
  errors?: { message: string }[];
}

/** As much of the runner's objects as the reporter looks at. */
function testCase(name: string, result: Result): TestCase {
  const module = { relativeModuleId: "scenarios/x.scenario.ts" };
  return { id: name, name, module, result: () => result } as unknown as TestCase;
}

function testModule(cases: readonly TestCase[], errors: readonly Error[] = []): TestModule {
  const children = { allTests: () => cases };
  const relativeModuleId = "scenarios/x.scenario.ts";
  return { relativeModuleId, children, errors: () => errors } as unknown as TestModule;
}

function pageOf(out: string, name: string): string {
  return readFileSync(join(out, "report", name), "utf8");
}

test("each run of a repeated scenario has its page, and the failed one its own reason", () => {
  const out = outFolder();
  const call = testCase("a call", { state: "failed", errors: [{ message: "heard nothing" }] });
  const reporter = new PageReporter();
  for (const name of ["a-call", "a-call-run-2"]) {
    reporter.onTestCaseAnnotate(call, { type: "folder", message: runFolder(out, name) });
  }
  reporter.onTestCaseAnnotate(call, { type: "failed", message: join(out, "a-call-run-2") });
  reporter.onTestRunEnd([testModule([call])]);
  expect(pageOf(out, "index.html")).toContain("1 passed, 1 failed");
  expect(pageOf(out, "a-call.html")).not.toContain("heard nothing");
  expect(pageOf(out, "a-call-run-2.html")).toContain("heard nothing");
  expect(pageOf(out, "a-call.html")).toContain('src="../a-call/customer.wav"');
});

test("a failure after the script is the last run's", () => {
  const out = outFolder();
  const call = testCase("a call", { state: "failed", errors: [{ message: "a socket is open" }] });
  const reporter = new PageReporter();
  reporter.onTestCaseAnnotate(call, { type: "folder", message: runFolder(out, "a-call") });
  reporter.onTestRunEnd([testModule([call])]);
  expect(pageOf(out, "index.html")).toContain("0 passed, 1 failed");
  expect(pageOf(out, "a-call.html")).toContain("a socket is open");
});

test("a scenario that never began has a row and no page", () => {
  const out = outFolder();
  const call = testCase("a call", { state: "skipped" });
  new PageReporter().onTestRunEnd([testModule([call])]);
  expect(pageOf(out, "index.html")).toContain("0 passed, 0 failed, 1 skipped");
  expect(readdirSync(join(out, "report"))).toEqual(["index.html"]);
});

test("a file that does not load is a failure", () => {
  const out = outFolder();
  new PageReporter().onTestRunEnd([testModule([], [new Error("no such export")])]);
  expect(pageOf(out, "index.html")).toContain("0 passed, 1 failed");
  expect(pageOf(out, "index.html")).toContain("no such export");
});

test("pages of an earlier run are gone", () => {
  const out = outFolder();
  mkdirSync(join(out, "report"));
  writeFileSync(join(out, "report", "old.html"), "");
  new PageReporter().onTestRunEnd([]);
  expect(readdirSync(join(out, "report"))).toEqual(["index.html"]);
});
