import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { readConfig } from "../agent/config.ts";
import { startAgent } from "../agent/service.ts";

/** The bundled agent in a thread of its own, as in production it has a process of its own. */
export interface AgentThread extends AsyncDisposable {
  readonly webhookUrl: string;
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
  const agent = await startAgent(readConfig(workerData as Record<string, string>));
  port.postMessage(agent.webhookUrl);
  port.once("message", () => void agent[Symbol.asyncDispose]());
}

if (!isMainThread && parentPort !== null) await run(parentPort);
