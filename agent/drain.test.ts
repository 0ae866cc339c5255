import { expect, test } from "vitest";
import { memoryReplicas } from "./replicas.ts";
import { until } from "./testing/call-service.ts";
import { connect, INCOMING, post, startWorld } from "./testing/world.ts";

const ESCALATION = { calls: [{ name: "escalate_to_human", arguments: '{"summary":"s"}' }] };

test("a call whose human's phone rings is not hung up", async () => {
  await using world = await startWorld({ turns: [ESCALATION] });
  const { ear } = await connect(world);
  ear.phrase("A human, please.");
  const { body } = await world.calls.request(/:transferToParticipant$/);
  const drained = world.agent.drain({ timeoutMs: 0, farewellMs: 1 });
  // Both times are over long before these are answered.
  for (const _ of Array.from({ length: 10 })) await fetch(`${world.agent.url}/readyz`);
  expect(world.agent.activeCalls).toBe(1);
  await world.calls.event("CallTransferAccepted", { operationContext: body["operationContext"] });
  await world.calls.event("CallDisconnected");
  await drained;
  expect(world.agent.store.calls()).toEqual([expect.objectContaining({ outcome: "escalated" })]);
  expect(world.calls.requests.some(({ path }) => path.endsWith(":terminate"))).toBe(false);
});

test("a call on its way in is waited for", async () => {
  const { directory, ...others } = memoryReplicas({ now: () => 0 });
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<boolean>();
  const first = () => {
    asked.resolve();
    return answer.promise;
  };
  const slow = Object.assign(Object.create(directory), { first });
  await using world = await startWorld({ replicas: { ...others, directory: slow } });
  const announced = post(world.agent.webhookUrl, INCOMING);
  await asked.promise;
  const drained = world.agent.drain().then(() => world.agent.store.calls());
  for (const _ of Array.from({ length: 10 })) await fetch(`${world.agent.url}/readyz`);
  answer.resolve(true);
  await announced;
  await until(() => world.agent.activeCalls === 1);
  await world.calls.openMedia();
  await world.calls.event("CallConnected");
  await world.calls.event("CallDisconnected");
  expect(await drained).toEqual([expect.objectContaining({ outcome: "caller-left" })]);
});
