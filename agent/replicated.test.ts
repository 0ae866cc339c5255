import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isInstalled } from "../scenarios/harness/program.ts";
import { type RedisServer, startRedis } from "../scenarios/harness/redis.ts";
import { openRedisReplicas } from "./redis-replicas.ts";
import { memoryReplicas, type Replicas } from "./replicas.ts";
import { createLogger } from "./telemetry.ts";
import {
  type CallServiceOptions,
  CONNECTION_ID,
  cloudEvent,
  until,
} from "./testing/call-service.ts";
import { connect, INCOMING, post, startWorld, type World } from "./testing/world.ts";

type Open = (stack: AsyncDisposableStack) => Promise<Replicas>;

const CALLER = {
  eventId: "event",
  incomingCallContext: "",
  correlationId: "correlation",
  callerNumber: "+14255550100",
  context: { customerId: "C-1042", transferReason: "billing" },
};
/** A call that a replica held which is gone, as it noted it. */
const LOST = {
  owner: "gone",
  leaseMs: 60_000,
  note: JSON.stringify({ connectionId: CONNECTION_ID, incoming: CALLER }),
};

const batch = (type: string, data = {}) => JSON.stringify([cloudEvent(type, data)]);

async function callbackPath({ calls }: World): Promise<string> {
  const { body } = await calls.request(/:answer$/);
  return new URL(String(body["callbackUri"])).pathname;
}

/** What holds for replicas of any kind. */
function behaviour(open: Open) {
  /** Two agents that share a directory, each with its own stand-ins. */
  async function startPair() {
    const stack = new AsyncDisposableStack();
    const one = stack.use(await startWorld({ replicas: await open(stack) }));
    const two = stack.use(await startWorld({ replicas: await open(stack) }));
    return { one, two, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  /** A survivor, and the call of a replica that is gone; its media socket is reported lost. */
  async function startSurvivor(options: CallServiceOptions, lost = LOST, hasRecord = false) {
    const stack = new AsyncDisposableStack();
    const replicas = await open(stack);
    const world = stack.use(await startWorld({ replicas, calls: options }));
    const { store } = world.agent;
    if (hasRecord) store.startCall({ ...CALLER, id: "lost-call", at: new Date() });
    store.closeInterrupted(new Date());
    await replicas.directory.claim("lost-call", lost);
    const url = `${world.agent.url}/callbacks/lost-call`;
    const { status } = await post(url, batch("MediaStreamingFailed"));
    expect(status).toBe(200);
    const record = () => world.agent.store.call("lost-call");
    return { ...world, url, replicas, record, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  test("a call announced to both replicas is answered by one", async () => {
    await using pair = await startPair();
    const { one, two } = pair;
    await Promise.all([post(one.agent.webhookUrl, INCOMING), post(two.agent.webhookUrl, INCOMING)]);
    expect(one.agent.activeCalls + two.agent.activeCalls).toBe(1);
  });

  test("events that reach the other replica, some of them twice, move the call", async () => {
    await using pair = await startPair();
    const { one, two } = pair;
    await post(one.agent.webhookUrl, INCOMING);
    const path = await callbackPath(one);
    const media = await one.calls.openMedia();
    const connected = batch("CallConnected");
    expect((await post(`${two.agent.url}${path}`, connected)).status).toBe(200);
    expect((await post(`${two.agent.url}${path}`, connected)).status).toBe(200);
    expect((await post(`${one.agent.url}${path}`, connected)).status).toBe(200);
    await until(() => media.totalBytes > 0);
    await post(`${two.agent.url}${path}`, batch("CallDisconnected"));
    await until(() => one.agent.activeCalls === 0);
    expect(one.agent.store.calls()[0]).toMatchObject({ outcome: "caller-left" });
  });

  test("events of a call that is over are unknown to the other replica", async () => {
    await using pair = await startPair();
    const { one, two } = pair;
    await post(one.agent.webhookUrl, INCOMING);
    const path = await callbackPath(one);
    await one.calls.event("CallDisconnected");
    await until(() => one.agent.activeCalls === 0);
    const late = batch("ParticipantsUpdated");
    await until(async () => (await post(`${two.agent.url}${path}`, late)).status === 404);
    expect((await post(`${one.agent.url}${path}`, late)).status).toBe(200);
  });

  test("the caller of a replica that is gone is handed to a human, with what is known", async () => {
    await using survivor = await startSurvivor({ state: "connected" });
    const { calls, agent, url, record, replicas } = survivor;
    const { body } = await calls.request(/:transferToParticipant$/);
    expect(JSON.stringify(body["customCallingContext"])).toContain("C-1042");
    const { operationContext } = body;
    await post(url, batch("CallTransferAccepted", { operationContext }));
    await post(url, batch("CallDisconnected"));
    await until(() => agent.activeCalls === 0);
    expect(record()).toMatchObject({
      outcome: "escalated",
      detail: "taken over from a lost replica",
      callerNumber: "+14255550100",
      customerId: "C-1042",
    });
    await until(async () => (await replicas.directory.holder("lost-call")) === undefined);
  });

  test("a caller whom the replica had itself, before it was restarted, gets a human", async () => {
    await using survivor = await startSurvivor({ state: "connected" }, LOST, true);
    const { calls, agent, url, record } = survivor;
    const { body } = await calls.request(/:transferToParticipant$/);
    const { operationContext } = body;
    await post(url, batch("CallTransferAccepted", { operationContext }));
    await post(url, batch("CallDisconnected"));
    await until(() => agent.activeCalls === 0);
    expect(record()).toMatchObject({ outcome: "escalated" });
  });

  test("a customer id that is in no database of ours travels with the caller", async () => {
    const context = { customerId: "C-9999", transferReason: "billing" };
    const note = JSON.stringify({
      connectionId: CONNECTION_ID,
      incoming: { ...CALLER, context, callerNumber: "anonymous" },
    });
    await using survivor = await startSurvivor({ state: "connected" }, { ...LOST, note });
    const { body } = await survivor.calls.request(/:transferToParticipant$/);
    expect(JSON.stringify(body["customCallingContext"])).toContain("C-9999");
  });

  test("where no human can be had the call is hung up, not left in silence", async () => {
    await using survivor = await startSurvivor({
      state: "connected",
      refuseTransfer: { status: 400, code: "8500" },
    });
    await survivor.calls.request(/:terminate$/);
    await until(() => survivor.agent.activeCalls === 0);
    expect(survivor.record()).toMatchObject({ outcome: "failed" });
  });

  test("a call that ended with its replica is closed, and nothing is asked for", async () => {
    await using survivor = await startSurvivor({});
    await until(() => survivor.record()?.endedAt);
    expect(survivor.record()).toMatchObject({ outcome: "caller-left" });
    const paths = survivor.calls.requests.map(({ path }) => path);
    expect(paths.filter((path) => /:transfer|:terminate/.test(path))).toEqual([]);
  });

  test("a transfer that the lost replica had begun comes to its end", async () => {
    const options: CallServiceOptions = { state: "transferring" };
    await using survivor = await startSurvivor(options);
    await survivor.calls.request(new RegExp(`${CONNECTION_ID}$`));
    options.state = "transferAccepted";
    await until(() => survivor.record()?.endedAt);
    expect(survivor.record()).toMatchObject({ outcome: "escalated" });
    const paths = survivor.calls.requests.map(({ path }) => path);
    expect(paths.filter((path) => /:transfer|:terminate/.test(path))).toEqual([]);
  });

  test("a connection that was not noted yet is known from the event", async () => {
    const note = JSON.stringify({ incoming: CALLER });
    await using survivor = await startSurvivor({ state: "connected" }, { ...LOST, note });
    const { path } = await survivor.calls.request(/:transferToParticipant$/);
    expect(path).toContain(CONNECTION_ID);
  });

  test("a replica that lost its call asks nothing more of the service", async () => {
    const stack = new AsyncDisposableStack();
    const replicas = await open(stack);
    const world = stack.use(await startWorld({ replicas }));
    await using _stack = stack;
    const { media } = await connect(world);
    await until(() => media.totalBytes > 0);
    const callId = (await callbackPath(world)).replace("/callbacks/", "");
    const owner = (await replicas.directory.holder(callId))?.owner;
    const successor = { owner: "successor", leaseMs: 60_000, note: "" };
    expect(await replicas.directory.claim(callId, { ...successor, replaces: String(owner) })).toBe(
      true,
    );
    await world.agent.drain({ timeoutMs: 0, farewellMs: 0 });
    expect(world.calls.requests.filter(({ path }) => path.endsWith(":terminate"))).toEqual([]);
    expect(world.agent.store.call(callId)).toMatchObject({ outcome: "interrupted" });
    expect(await replicas.directory.holder(callId)).toMatchObject({ owner: "successor" });
  });
}

describe("in memory", () => {
  // The two of a pair share one; each test has its own.
  const shared = new WeakMap<AsyncDisposableStack, Replicas>();
  behaviour(async (stack) => {
    const replicas = shared.get(stack) ?? memoryReplicas({ now: () => performance.now() });
    shared.set(stack, replicas);
    return replicas;
  });
});

describe.skipIf(!isInstalled("redis-server"))("in Redis", () => {
  const logger = createLogger({ logLevel: "silent" });
  const databases = new WeakMap<AsyncDisposableStack, number>();
  let server: RedisServer;
  let opened = 0;

  beforeAll(async () => {
    server = await startRedis({ settings: ["--databases", "64"] });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  behaviour(async (stack) => {
    const database = databases.get(stack) ?? (opened += 1);
    databases.set(stack, database);
    return stack.use(await openRedisReplicas({ url: `${server.url}/${database}`, logger }));
  });
});
