import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../agent/main.ts", import.meta.url));
/** Importing the SDKs takes most of it. */
const START_TIMEOUT_MS = 20_000;

/** The bundled agent in a process of its own. */
export interface AgentProcess extends AsyncDisposable {
  /** Where it takes IncomingCall. */
  readonly webhookUrl: string;
  /** Every line it has written so far. */
  readonly log: readonly string[];
  /** False once it has ended. */
  readonly isAlive: boolean;
  /** Stops it where it stands, with its sockets open, until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Ends it without warning (SIGKILL). Resolves when it is gone. */
  kill(): Promise<void>;
  /** Asks it to end (SIGTERM). Resolves with its exit code when it is gone. */
  terminate(): Promise<number | null>;
}

export interface AgentProcessOptions {
  /** Its whole environment; it logs at `info` at least. */
  readonly settings: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Resolves when it listens; rejects with what it wrote when it ended or took too long instead. */
export async function startAgentProcess({
  settings,
  signal,
}: AgentProcessOptions): Promise<AgentProcess> {
  const { LOG_LEVEL = "silent", EVENT_GRID_SECRET = "" } = settings;
  const child = spawn(process.execPath, [MAIN], {
    env: { ...settings, LOG_LEVEL: LOG_LEVEL === "silent" ? "info" : LOG_LEVEL },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  const log: string[] = [];
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  try {
    const url = await listening(child, log, signal);
    return {
      webhookUrl: `${url}/events?code=${encodeURIComponent(EVENT_GRID_SECRET)}`,
      log,
      get isAlive() {
        return child.exitCode === null && child.signalCode === null;
      },
      pause: () => void child.kill("SIGSTOP"),
      resume: () => void child.kill("SIGCONT"),
      kill,
      terminate: async () => {
        child.kill("SIGTERM");
        await exited;
        return child.exitCode;
      },
      [Symbol.asyncDispose]: kill,
    };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** The address in the line with which the agent says that it listens. */
async function listening(child: Child, log: string[], signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const note = (line: string) => {
    log.push(line);
    const url = /"url":"([^"]+)".*"agent is listening"/.exec(line)?.[1];
    if (url !== undefined) resolve(url);
  };
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on("line", note);
  const fail = (why: string) => reject(new Error(`the agent's process ${why}:\n${log.join("\n")}`));
  child.once("exit", (code) => fail(`ended with ${code} before it listened`));
  const late = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  late.addEventListener("abort", () => fail(`did not listen within ${START_TIMEOUT_MS} ms`), {
    once: true,
  });
  return promise;
}
