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

/** Runs a peer that nobody here wrote; aborting ends it. */
export function runProgram(
  program: string,
  args: readonly string[],
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    execFile(program, args, { signal, timeout: timeoutMs }, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : Number(error.code ?? 1);
      resolve({ exitCode, output: stdout + stderr });
    });
  });
}
