import { expect, onTestFinished, test, vi } from "vitest";
import type { TestCase, TestModule } from "vitest/node";
import ProgressReporter from "./reporter.ts";

interface Outcome {
  state: "passed" | "failed" | "skipped";
  errors?: { message: string; diff?: string }[];
}

function testCase(name: string, outcome: Outcome): TestCase {
  // As much of the runner's object as the reporter looks at.
  return {
    id: name,
    name,
    module: { relativeModuleId: "scenarios/x.scenario.ts" },
    result: () => outcome,
  } as unknown as TestCase;
}

interface Annotation {
  test: TestCase;
  type: string;
  message: string;
}

/** Reports these cases; answers what was printed and the exit code that was asked for. */
function report(
  cases: readonly TestCase[],
  { title, annotations = [] }: { title?: string; annotations?: readonly Annotation[] } = {},
) {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  if (title !== undefined) vi.stubEnv("LINECHECK_TITLE", title);
  const { exitCode } = process;
  onTestFinished(() => {
    write.mockRestore();
    vi.unstubAllEnvs();
    process.exitCode = exitCode;
  });
  const reporter = new ProgressReporter();
  reporter.onTestRunStart([]);
  for (const { test: entry, type, message } of annotations) {
    reporter.onTestCaseAnnotate(entry, { type, message });
  }
  for (const entry of cases) reporter.onTestCaseResult(entry);
  const module = { children: { allTests: () => cases }, errors: () => [] };
  reporter.onTestRunEnd([module as unknown as TestModule], []);
  const output = write.mock.calls.map(([text]) => String(text)).join("");
  return { output, exitCode: process.exitCode };
}

test("a failure is told with its difference and its place", () => {
  const errors = [{ message: "expected a to be b", diff: "- b\n+ a" }];
  const { output } = report([
    testCase("one", { state: "passed" }),
    testCase("two", { state: "failed", errors }),
  ]);
  expect(output).toContain("1 passed, 1 failed\n");
  expect(output).toMatch(/expected a to be b\n\s+- b\n\s+\+ a/);
  expect(output).toContain("at     scenarios/x.scenario.ts");
});

test("scenarios that the title leaves out are not counted", () => {
  const { output, exitCode } = report(
    [testCase("a call", { state: "passed" }), testCase("other", { state: "skipped" })],
    { title: "call" },
  );
  expect(output).toContain("1 passed, 0 failed\n");
  expect(exitCode).not.toBe(1);
});

test("a title that no scenario has is a failure", () => {
  const { output, exitCode } = report([testCase("a call", { state: "skipped" })], {
    title: "zzz",
  });
  expect(output).toContain(`no scenario's title contains "zzz"`);
  expect(exitCode).toBe(1);
});

test("of a repeated scenario the traces of the failed runs are named", () => {
  const call = testCase("a call", { state: "failed", errors: [{ message: "x" }] });
  const annotations = [
    { test: call, type: "folder", message: "out/a-call" },
    { test: call, type: "folder", message: "out/a-call-run-2" },
    { test: call, type: "failed", message: "out/a-call-run-2" },
    { test: call, type: "folder", message: "out/a-call-run-3" },
  ];
  const { output } = report([call], { annotations });
  expect(output.match(/trace {3}.*/g)).toEqual(["trace   out/a-call-run-2/trace.jsonl"]);
});
