import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { isInstalled } from "../scenarios/harness/program.ts";
import { freePort, startRedis } from "../scenarios/harness/redis.ts";
import { Ownership } from "./ownership.ts";
import { openRedisReplicas, RedisUnavailable } from "./redis-replicas.ts";
import { createLogger } from "./telemetry.ts";
import { cloudEvent, until } from "./testing/call-service.ts";
import { NOWHERE } from "./testing/nowhere.ts";
import { connect, INCOMING, post, startWorld, type World } from "./testing/world.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const logger = createLogger({ logLevel: "silent" });

const noReason = () => undefined;
const readiness = async ({ agent }: World) => (await fetch(`${agent.url}/readyz`)).status;

test("without Redis at the start the agent says so, without the password, and ends with 69", async () => {
  const port = await freePort();
  const agent = spawn(process.execPath, [MAIN], {
    env: { ...NOWHERE, AGENT_REDIS_URL: `redis://agent:hunter2@127.0.0.1:${port}` },
  });
  const output = Promise.all([text(agent.stdout), text(agent.stderr)]);
  const code = await new Promise((resolve) => {
    agent.once("close", resolve);
  });
  expect(code).toBe(69);
  const said = (await output).join("");
  expect(said).toContain(`Redis at redis://127.0.0.1:${port} cannot be used`);
  expect(said).not.toContain("hunter2");
});

describe.skipIf(!isInstalled("redis-server"))("a Redis that is lost", () => {
  test.each(["killed", "paused"])(
    "%s: calls here go on, new ones are answered, /readyz says 503 until it is back",
    async (how) => {
      await using stack = new AsyncDisposableStack();
      const redis = stack.use(await startRedis());
      const url = redis.url;
      const world = stack.use(await startWorld({ env: { AGENT_REDIS_URL: url } }));
      expect(await readiness(world)).toBe(200);
      const { media } = await connect(world);
      await until(() => media.totalBytes > 0);

      if (how === "killed") await redis[Symbol.asyncDispose]();
      else redis.pause();
      await until(async () => (await readiness(world)) === 503);
      expect(world.agent.activeCalls).toBe(1);
      const stranger = `${world.agent.url}/callbacks/another-call`;
      const event = JSON.stringify([cloudEvent("CallConnected", {})]);
      expect((await post(stranger, event)).status).toBe(503);
      const second = INCOMING.replaceAll(/"incomingCallContext": ?"/g, "$&second");
      expect(second).not.toBe(INCOMING);
      expect((await post(world.agent.webhookUrl, second)).status).toBe(200);
      await until(
        () => world.calls.requests.filter(({ path }) => path.endsWith(":answer")).length === 2,
      );

      if (how === "killed") stack.use(await startRedis({ port: redis.port }));
      else redis.resume();
      await until(async () => (await readiness(world)) === 200);
      expect((await post(stranger, event)).status).toBe(404);
      expect(world.log.filter((line) => line.includes("redis is lost"))).toHaveLength(1);
      expect(world.log.filter((line) => line.includes("redis is back"))).toHaveLength(1);
    },
  );

  test("events posted while the owner's connection was away reach it when it is back", async () => {
    await using stack = new AsyncDisposableStack();
    const redis = stack.use(await startRedis());
    const replicas = stack.use(await openRedisReplicas({ url: redis.url, logger }));
    const received: string[] = [];
    const ownership = stack.use(
      new Ownership({
        replicas,
        callId: "call",
        owner: "a",
        note: () => "",
        logger,
        onEvent: ({ id }) => received.push(id),
        onLost: () => received.push("lost"),
      }),
    );
    await ownership.claimed;
    await replicas.inbox.post("call", "first", JSON.stringify({ id: "first" }));
    await until(() => received.includes("first"));
    redis.pause();
    await until(() => replicas.check().then(noReason, () => true));
    redis.resume();
    const other = stack.use(await openRedisReplicas({ url: redis.url, logger }));
    await other.inbox.post("call", "second", JSON.stringify({ id: "second" }));
    await until(() => received.includes("second"));
    // An acknowledgement that was under way when the connection broke may not have arrived.
    expect([...new Set(received)]).toEqual(["first", "second"]);
  });

  test("a wrong password is a clear fault", async () => {
    await using redis = await startRedis({ settings: ["--requirepass", "correct"] });
    const wrong = redis.url.replace("//", "//:hunter2@");
    const error: unknown = await openRedisReplicas({ url: wrong, logger }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(RedisUnavailable);
    expect(String(error)).toMatch(/WRONGPASS/);
    expect(String(error)).not.toContain("hunter2");
    const right = redis.url.replace("//", "//:correct@");
    await using replicas = await openRedisReplicas({ url: right, logger });
    await expect(replicas.check()).resolves.toBeUndefined();
  });
});
