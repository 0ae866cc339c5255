import { expect, test } from "vitest";
import type { MidCallEvent } from "./events.ts";
import { LEASE_MS, Ownership } from "./ownership.ts";
import { memoryReplicas, type Replicas } from "./replicas.ts";
import { createLogger } from "./telemetry.ts";
import { ManualTime } from "./testing/manual-time.ts";
import { unreliableReplicas } from "./testing/unreliable-replicas.ts";

const EVENT: MidCallEvent = {
  id: "1",
  type: "CallConnected",
  callConnectionId: "connection",
  operationContext: undefined,
  code: 200,
  subCode: 0,
};

function openOwned(
  time = new ManualTime(),
  replicas: Replicas = memoryReplicas({ now: time.now }),
) {
  const events: MidCallEvent[] = [];
  const losses: number[] = [];
  let notes = 0;
  const ownership = new Ownership({
    replicas,
    callId: "call",
    owner: "a",
    note: () => `note ${(notes += 1)}`,
    logger: createLogger({ logLevel: "silent" }),
    onEvent: (event) => events.push(event),
    onLost: () => losses.push(time.now()),
    pause: time.pause,
  });
  return { time, replicas, ownership, events, losses };
}

test("a claim is renewed, with the note of the moment, for as long as the call lasts", async () => {
  const { time, replicas, ownership, losses } = openOwned();
  await ownership.claimed;
  expect(await replicas.directory.holder("call")).toMatchObject({ owner: "a", note: "note 1" });
  await time.pass(4 * LEASE_MS);
  expect(await replicas.directory.orphans()).toEqual([]);
  expect(await replicas.directory.holder("call")).toMatchObject({ owner: "a", note: "note 13" });
  await ownership[Symbol.asyncDispose]();
  expect(await replicas.directory.holder("call")).toBeUndefined();
  expect(losses).toEqual([]);
});

test("a replica that comes back to a call another one took lets go of it, once", async () => {
  const { time, replicas, ownership, losses, events } = openOwned();
  await ownership.claimed;
  const successor = { owner: "b", leaseMs: LEASE_MS, note: "", replaces: "a" };
  await replicas.directory.claim("call", successor);
  await time.pass(4999);
  expect(losses).toEqual([]);
  await time.pass(1);
  expect(losses).toEqual([5000]);
  expect(await ownership.confirm()).toBe(false);
  await replicas.inbox.post("call", "1", JSON.stringify(EVENT));
  await ownership[Symbol.asyncDispose]();
  expect(losses).toHaveLength(1);
  expect(events).toEqual([]);
  expect(await replicas.directory.holder("call")).toMatchObject({ owner: "b" });
  expect(await replicas.inbox.backlog("call")).toBe(1);
});

test("asked before a renewal is due, a claim that was lost is not confirmed", async () => {
  const { replicas, ownership, losses } = openOwned();
  await ownership.claimed;
  expect(await ownership.confirm()).toBe(true);
  const successor = { owner: "b", leaseMs: LEASE_MS, note: "", replaces: "a" };
  await replicas.directory.claim("call", successor);
  expect(await ownership.confirm()).toBe(false);
  expect(losses).toEqual([0]);
  await ownership[Symbol.asyncDispose]();
});

test("while the directory fails the call goes on; its events come when it is back", async () => {
  const time = new ManualTime();
  const { state, replicas } = unreliableReplicas(time.now);
  const { ownership, events, losses } = openOwned(time, replicas);
  await ownership.claimed;
  state.failing = true;
  await time.pass(14_000);
  expect(await ownership.confirm()).toBe(true);
  state.failing = false;
  await replicas.inbox.post("call", "1", JSON.stringify(EVENT));
  await time.pass(1000);
  expect(events).toEqual([EVENT]);
  expect(await replicas.directory.orphans()).toEqual([]);
  expect(losses).toEqual([]);
  await ownership[Symbol.asyncDispose]();
});

test("a directory that fails at the first claim and at the release costs nothing else", async () => {
  const { state, replicas } = unreliableReplicas(() => 0);
  state.failing = true;
  const { ownership, losses } = openOwned(new ManualTime(), replicas);
  await ownership.claimed;
  expect(await ownership.confirm()).toBe(true);
  await ownership[Symbol.asyncDispose]();
  expect(losses).toEqual([]);
});
