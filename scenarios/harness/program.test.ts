import { expect, test } from "vitest";
import { isInstalled, runProgram } from "./program.ts";

const node = (code: string, signal = new AbortController().signal, timeoutMs = 5000) =>
  runProgram(process.execPath, ["-e", code], { signal, timeoutMs });

test("a program is on the PATH or it is not", () => {
  expect(isInstalled("sh")).toBe(true);
  expect(isInstalled("no-such-program-anywhere")).toBe(false);
});

test("the exit code and both outputs are told", async () => {
  expect(await node("console.log('a'); console.error('b'); process.exitCode = 3")).toEqual({
    exitCode: 3,
    output: "a\nb\n",
  });
});

test("a program that is not there, takes too long or is aborted has no exit code of its own", async () => {
  const endless = "setInterval(() => {}, 1000)";
  const { signal } = new AbortController();
  const missing = await runProgram("no-such-program-anywhere", [], { signal, timeoutMs: 1000 });
  expect(missing).toMatchObject({ exitCode: -1, output: expect.stringContaining("ENOENT") });
  expect(await node(endless, signal, 50)).toMatchObject({ exitCode: -1 });
  const aborted = node(endless, AbortSignal.abort());
  expect(await aborted).toMatchObject({ exitCode: -1, output: expect.stringContaining("abort") });
});
