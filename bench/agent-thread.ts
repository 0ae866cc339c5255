import { performance } from "node:perf_hooks";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { readConfig } from "../agent/config.ts";
import { startAgent } from "../agent/service.ts";
import { type RecordedSpan, recordSpans } from "../agent/testing/span-recorder.ts";

/** The bundled agent in a thread of its own, as in production it has a process of its own. */
export interface AgentThread extends AsyncDisposable {
  readonly webhookUrl: string;
  /** The agent's spans so far, with times in milliseconds since 1970. */
  spans(): Promise<RecordedSpan[]>;
}

export async function startAgentThread(
  env: Readonly<Record<string, string>>,
): Promise<AgentThread> {
  const worker = new Worker(new URL(import.meta.url), { workerData: env });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  worker.once("message", resolve);
  worker.once("error", reject);
  const webhookUrl = await promise;
  return {
    webhookUrl,
    async spans() {
      const { promise: told, resolve: take } = Promise.withResolvers<RecordedSpan[]>();
      worker.once("message", take);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
      worker.postMessage("spans");
      return told;
    },
    async [Symbol.asyncDispose]() {
      const { promise: exited, resolve: exit } = Promise.withResolvers<void>();
      worker.once("exit", () => exit());
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, not a window
      worker.postMessage("stop");
      await exited;
    },
  };
}

async function run(port: NonNullable<typeof parentPort>): Promise<void> {
  const spans = recordSpans(() => performance.timeOrigin + performance.now());
  const agent = await startAgent(readConfig(workerData as Record<string, string>));
  port.postMessage(agent.webhookUrl);
  port.on("message", (asked: "spans" | "stop") => {
    if (asked === "spans") return port.postMessage(spans);
    port.close();
    void agent[Symbol.asyncDispose]();
  });
}

if (!isMainThread && parentPort !== null) await run(parentPort);
