import { execFile, execFileSync } from "node:child_process";

/** Whether a program is on the PATH. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync("which", [program], { stdio: "ignore" });
    return true;
  } catch {
    // `which` says no by its exit code.
    return false;
  }
}

export interface ProgramResult {
  readonly exitCode: number;
  readonly output: string;
}

/**
 * Runs a peer that nobody here wrote; aborting ends it. A program that did not end by itself has
 * exit code -1, and the output says why.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    execFile(program, args, { signal, timeout: timeoutMs }, (error, stdout, stderr) => {
      const output = stdout + stderr;
      if (error === null) resolve({ exitCode: 0, output });
      else if (typeof error.code === "number") resolve({ exitCode: error.code, output });
      else resolve({ exitCode: -1, output: `${output}${error.message}` });
    });
  });
}
