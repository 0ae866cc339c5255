import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { Store } from "./store.ts";
import { NOWHERE } from "./testing/nowhere.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const ENV = {
  AGENT_PORT: "0",
  ...NOWHERE,
  AGENT_PREPARED_PHRASES: "off",
};

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s drains the agent and ends it with 0",
  async (signal) => {
    const agent = spawn(process.execPath, [MAIN], { env: ENV });
    const [line] = await once(agent.stdout, "data");
    const { msg, url } = JSON.parse(String(line));
    expect(msg).toBe("agent is listening");
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    // Nothing listens where its services are said to be.
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    agent.kill(signal);
    const [code] = await once(agent, "exit");
    expect(code).toBe(0);
  },
);

test("a wrong configuration ends it with 78 and every fault", async () => {
  const agent = spawn(process.execPath, [MAIN], {
    env: { ...ENV, AGENT_PORT: "x", SPEECH_KEY: "" },
  });
  const errors: string[] = [];
  agent.stderr.on("data", (chunk) => errors.push(String(chunk)));
  const [code] = await once(agent, "close");
  expect(code).toBe(78);
  expect(errors.join("")).toContain("AGENT_PORT");
  expect(errors.join("")).toContain("SPEECH_KEY");
});

test("forget removes a customer and their calls beside a running agent", async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "agent-forget-"));
  const env = { ...ENV, AGENT_DATABASE: join(folder.path, "agent.sqlite") };
  using store = Store.open(env.AGENT_DATABASE);
  const at = new Date();
  for (const customerId of ["C-1", "C-2"]) {
    const callerNumber = "+14255550100";
    store.startCall({ id: customerId, correlationId: "", callerNumber, customerId, at });
  }
  const forgetting = spawn(process.execPath, [MAIN, "forget", "C-1"], { env });
  const [said, [code]] = await Promise.all([
    text(forgetting.stdout),
    once(forgetting, "close") as Promise<[number]>,
  ]);
  expect({ said, code }).toEqual({ said: '{"deletedCalls":1}\n', code: 0 });
  expect(store.calls().map(({ id }) => id)).toEqual(["C-2"]);
  const nowhere = spawn(process.execPath, [MAIN, "forget", "C-1"], { env: ENV });
  expect(await once(nowhere, "close")).toEqual([78, null]);
  const nobody = spawn(process.execPath, [MAIN, "forget"], { env });
  expect(await once(nobody, "close")).toEqual([64, null]);
});
