import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isInstalled } from "../scenarios/harness/program.ts";
import { type RedisServer, startRedis } from "../scenarios/harness/redis.ts";
import { openRedisReplicas } from "./redis-replicas.ts";
import { INBOX_LIMIT, type Lease, memoryReplicas, type Replicas } from "./replicas.ts";
import { createLogger } from "./telemetry.ts";

/** One adapter, empty, whose clock the test moves. */
interface Opened extends AsyncDisposable {
  readonly replicas: Replicas;
  readonly pass: (durationMs: number) => void;
}

const leaseOf = (owner: string, more: Partial<Lease> = {}): Lease => ({
  owner,
  leaseMs: 1000,
  note: `${owner}'s note`,
  ...more,
});

/** Reads `count` payloads and acknowledges them. */
async function readSome({ inbox }: Replicas, owner: string, count: number): Promise<string[]> {
  const controller = new AbortController();
  const read: string[] = [];
  for await (const payload of inbox.read("call", { owner, signal: controller.signal })) {
    read.push(payload);
    if (read.length === count) controller.abort();
  }
  return read;
}

/** What every adapter has to keep. */
function contract(open: () => Promise<Opened>) {
  test("a call has one owner at a time", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    expect(await directory.claim("call", leaseOf("a"))).toBe(true);
    expect(await directory.claim("call", leaseOf("b"))).toBe(false);
    const holder = { callId: "call", owner: "a", note: "a's note" };
    expect(await directory.holder("call")).toEqual(holder);
    expect(await directory.holder("another")).toBeUndefined();
  });

  test("of many who claim at once one wins", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    const owners = Array.from({ length: 20 }, (_, number) => `replica ${number}`);
    const won = await Promise.all(owners.map((owner) => directory.claim("call", leaseOf(owner))));
    expect(won.filter(Boolean)).toHaveLength(1);
  });

  test("a lease that is not renewed ends", async () => {
    await using opened = await open();
    const { replicas, pass } = opened;
    await replicas.directory.claim("call", leaseOf("a"));
    pass(900);
    expect(await replicas.directory.claim("call", leaseOf("a"))).toBe(true);
    pass(900);
    expect(await replicas.directory.claim("call", leaseOf("b"))).toBe(false);
    pass(200);
    expect(await replicas.directory.claim("call", leaseOf("b"))).toBe(true);
    expect(await replicas.directory.claim("call", leaseOf("a"))).toBe(false);
  });

  test("only the owner releases, and nobody claims what is over", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    await directory.release("call", "b");
    expect(await directory.holder("call")).toMatchObject({ owner: "a" });
    await directory.release("call", "a");
    expect(await directory.holder("call")).toBeUndefined();
    expect(await directory.claim("call", leaseOf("a"))).toBe(false);
    expect(await directory.claim("call", leaseOf("b", { replaces: "a" }))).toBe(false);
  });

  test("a successor takes a call from the owner it names and from no other", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    expect(await directory.claim("call", leaseOf("b", { replaces: "a" }))).toBe(false);
    await directory.claim("call", leaseOf("a"));
    expect(await directory.claim("call", leaseOf("b", { replaces: "c" }))).toBe(false);
    expect(await directory.claim("call", leaseOf("b", { replaces: "a" }))).toBe(true);
    expect(await directory.claim("call", leaseOf("c", { replaces: "a" }))).toBe(false);
    expect(await directory.claim("call", leaseOf("a"))).toBe(false);
    expect(await directory.holder("call")).toMatchObject({ owner: "b", note: "b's note" });
  });

  test("calls whose lease ran out are orphans until somebody holds them", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    await directory.claim("over", leaseOf("a"));
    await directory.claim("long", leaseOf("a", { leaseMs: 2000 }));
    await directory.release("over", "a");
    expect(await directory.orphans()).toEqual([]);
    opened.pass(1000);
    expect(await directory.orphans()).toEqual([{ callId: "call", owner: "a", note: "a's note" }]);
    expect(await directory.holder("call")).toMatchObject({ owner: "a" });
    await directory.claim("call", leaseOf("b", { replaces: "a" }));
    expect(await directory.orphans()).toEqual([]);
  });

  test("a key has one first asker, until it is forgotten", async () => {
    await using opened = await open();
    const { directory } = opened.replicas;
    expect(await directory.first("key", 60_000)).toBe(true);
    expect(await directory.first("key", 60_000)).toBe(false);
    expect(await directory.first("short", 1)).toBe(true);
    opened.pass(1);
    while (!(await directory.first("short", 60_000))) {
      // Redis forgets by its own clock.
    }
  });

  test("events arrive once, in order, also those posted before the reader came", async () => {
    await using opened = await open();
    const { inbox, directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    expect(await inbox.post("call", "1", "first")).toBe(true);
    expect(await inbox.post("call", "1", "first again")).toBe(false);
    expect(await inbox.post("another", "1", "elsewhere")).toBe(true);
    const reading = readSome(opened.replicas, "a", 2);
    await inbox.post("call", "2", "second");
    expect(await reading).toEqual(["first", "second"]);
    expect(await inbox.post("call", "1", "long read")).toBe(false);
  });

  test("what a reader left unacknowledged comes again to its successor", async () => {
    await using opened = await open();
    const { inbox, directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    for (const id of ["1", "2", "3"]) await inbox.post("call", id, id);
    const { signal } = new AbortController();
    const first: string[] = [];
    for await (const payload of inbox.read("call", { owner: "a", signal })) {
      first.push(payload);
      // As a killed process would: the second is in its hands.
      if (first.length === 2) break;
    }
    expect(first).toEqual(["1", "2"]);
    expect(await inbox.backlog("call")).toBe(2);
    await directory.claim("call", leaseOf("b", { replaces: "a" }));
    expect(await readSome(opened.replicas, "b", 2)).toEqual(["2", "3"]);
  });

  test("a replica reads its own calls only, and no more when it has lost one", async () => {
    await using opened = await open();
    const { inbox, directory } = opened.replicas;
    const { signal } = new AbortController();
    await directory.claim("call", leaseOf("a"));
    await inbox.post("call", "1", "first");
    expect(await Array.fromAsync(inbox.read("call", { owner: "b", signal }))).toEqual([]);
    const read: string[] = [];
    for await (const payload of inbox.read("call", { owner: "a", signal })) {
      read.push(payload);
      await directory.claim("call", leaseOf("b", { replaces: "a" }));
      await inbox.post("call", "2", "for the successor");
    }
    expect(read).toEqual(["first"]);
  });

  test("a flood pushes out the oldest", async () => {
    await using opened = await open();
    const { inbox, directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    const events = Array.from({ length: INBOX_LIMIT + 2 }, (_, number) => String(number));
    await Promise.all(events.map((event) => inbox.post("call", event, event)));
    expect(await inbox.backlog("call")).toBe(INBOX_LIMIT);
    expect(await readSome(opened.replicas, "a", 1)).toEqual(["2"]);
  });

  test("a call that is closed has nothing left to read", async () => {
    await using opened = await open();
    const { inbox } = opened.replicas;
    await inbox.post("call", "1", "first");
    await inbox.close("call");
    expect(await inbox.backlog("call")).toBe(0);
  });

  test("a reader that is not wanted any more ends", async () => {
    await using opened = await open();
    const { inbox, directory } = opened.replicas;
    await directory.claim("call", leaseOf("a"));
    const controller = new AbortController();
    const reading = Array.fromAsync(inbox.read("call", { owner: "a", signal: controller.signal }));
    controller.abort();
    expect(await reading).toEqual([]);
  });

  test("an adapter in order says so", async () => {
    await using opened = await open();
    await expect(opened.replicas.check()).resolves.toBeUndefined();
  });
}

function manualClock() {
  let nowMs = 0;
  const pass = (durationMs: number) => {
    nowMs += durationMs;
  };
  return { now: () => nowMs, pass };
}

describe("in memory", () => {
  contract(async () => {
    const { now, pass } = manualClock();
    return { replicas: memoryReplicas({ now }), pass, [Symbol.asyncDispose]: async () => {} };
  });
});

describe.skipIf(!isInstalled("redis-server"))("in Redis", () => {
  const logger = createLogger({ logLevel: "silent" });
  let server: RedisServer;
  let databases = 0;

  beforeAll(async () => {
    server = await startRedis({ settings: ["--databases", "64"] });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  contract(async () => {
    const { now, pass } = manualClock();
    databases += 1;
    const url = `${server.url}/${databases}`;
    const replicas = await openRedisReplicas({ url, logger, now });
    return { replicas, pass, [Symbol.asyncDispose]: () => replicas[Symbol.asyncDispose]() };
  });
});
