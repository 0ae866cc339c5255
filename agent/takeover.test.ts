import { expect, test } from "vitest";
import type { MidCallEvent } from "./events.ts";
import { LEASE_MS } from "./ownership.ts";
import type { Holder, Replicas } from "./replicas.ts";
import { Takeover } from "./takeover.ts";
import { createLogger } from "./telemetry.ts";
import { ManualTime } from "./testing/manual-time.ts";
import { unreliableReplicas } from "./testing/unreliable-replicas.ts";

const OWNED = { owner: "a", leaseMs: LEASE_MS, note: "a's note" };
const CALL: Holder = { callId: "call", owner: "a", note: "a's note" };

function eventOf(type: string, id = type): MidCallEvent {
  const connection = { callConnectionId: "connection", operationContext: undefined };
  return { id, type, ...connection, code: undefined, subCode: undefined };
}

function openWatch() {
  const time = new ManualTime();
  const { state, replicas } = unreliableReplicas(time.now);
  return { time, state, replicas, ...watchWith(replicas, time, "b") };
}

function watchWith(replicas: Replicas, { now, pause }: ManualTime, owner: string) {
  const taken: Holder[] = [];
  const logger = createLogger({ logLevel: "silent" });
  const onTaken = (call: Holder) => taken.push(call);
  const takeover = new Takeover({ replicas, owner, logger, now, onTaken, pause });
  return { taken, takeover };
}

test("a call whose lease ran out is taken over, with its note", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  await time.pass(LEASE_MS);
  await replicas.directory.claim("call", OWNED);
  await time.pass(LEASE_MS - 1);
  expect(taken).toEqual([]);
  await time.pass(5000);
  expect(taken).toEqual([CALL]);
  expect(await replicas.directory.holder("call")).toEqual({ ...CALL, owner: "b" });
});

test("calls that are renewed or released are left alone", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  await replicas.directory.claim("over", OWNED);
  await replicas.directory.release("over", "a");
  for (let renewal = 0; renewal < 10; renewal += 1) {
    await replicas.directory.claim("call", OWNED);
    await time.pass(5000);
  }
  expect(taken).toEqual([]);
});

test("of two survivors one takes the call over", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  const other = watchWith(replicas, time, "c");
  await using _other = other.takeover;
  await replicas.directory.claim("call", OWNED);
  await time.pass(LEASE_MS + 5000);
  expect([...taken, ...other.taken]).toEqual([CALL]);
});

test("after the directory failed, living replicas have the time to renew their leases", async () => {
  const { time, state, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  await time.pass(LEASE_MS);
  await replicas.directory.claim("call", OWNED);
  await replicas.directory.claim("another", OWNED);
  state.failing = true;
  await time.pass(2 * LEASE_MS);
  state.failing = false;
  await time.pass(LEASE_MS - 2000);
  expect(taken).toEqual([]);
  await replicas.directory.claim("call", OWNED);
  await time.pass(5000);
  expect(taken).toEqual([{ ...CALL, callId: "another" }]);
});

test.each(["MediaStreamingFailed", "MediaStreamingStopped"])(
  "%s that its owner does not take is proof that it is gone",
  async (type) => {
    const { time, replicas, taken, takeover } = openWatch();
    await using _takeover = takeover;
    await replicas.directory.claim("call", OWNED);
    expect(await takeover.forward("call", [eventOf(type)])).toBe("delivered");
    expect(await takeover.forward("call", [eventOf(type)])).toBe("delivered");
    await time.pass(999);
    expect(taken).toEqual([]);
    await time.pass(1);
    expect(taken).toEqual([CALL]);
    expect(await replicas.inbox.backlog("call")).toBe(1);
  },
);

test("an owner that takes the news of its media socket keeps its call", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  await replicas.directory.claim("call", OWNED);
  const controller = new AbortController();
  const reading = Array.fromAsync(
    replicas.inbox.read("call", { owner: "a", signal: controller.signal }),
  );
  await takeover.forward("call", [eventOf("MediaStreamingFailed")]);
  await time.pass(2000);
  expect(taken).toEqual([]);
  controller.abort();
  expect(await reading).toHaveLength(1);
});

test("other events that are not taken wait for the lease's end", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await using _takeover = takeover;
  await replicas.directory.claim("call", OWNED);
  await takeover.forward("call", [eventOf("ParticipantsUpdated")]);
  await time.pass(2000);
  expect(taken).toEqual([]);
});

test("a replica that drains takes nothing over and goes on forwarding", async () => {
  const { time, replicas, taken, takeover } = openWatch();
  await replicas.directory.claim("call", OWNED);
  await takeover.forward("call", [eventOf("MediaStreamingFailed")]);
  await takeover[Symbol.asyncDispose]();
  await time.pass(3 * LEASE_MS);
  expect(taken).toEqual([]);
  expect(await takeover.forward("call", [eventOf("CallDisconnected")])).toBe("delivered");
  expect(await replicas.inbox.backlog("call")).toBe(2);
});

test("events without an id are told apart by what they say", async () => {
  const { replicas, takeover } = openWatch();
  await using _takeover = takeover;
  await replicas.directory.claim("call", OWNED);
  const events = ["CallConnected", "CallConnected", "CallDisconnected"];
  await takeover.forward(
    "call",
    events.map((type) => eventOf(type, "")),
  );
  expect(await replicas.inbox.backlog("call")).toBe(2);
});

test("events of a call nobody has are unknown; without the directory nothing can be said", async () => {
  const { state, takeover } = openWatch();
  await using _takeover = takeover;
  expect(await takeover.forward("call", [eventOf("CallConnected")])).toBe("unknown");
  state.failing = true;
  expect(await takeover.forward("call", [eventOf("CallConnected")])).toBe("unavailable");
});
