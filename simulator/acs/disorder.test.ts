import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { disorder } from "./disorder.ts";
import { startTestLab } from "./testing/lab.ts";

const seeds = Array.from({ length: 100 }, (_, index) => index + 1);

test("a seed means the same disorder every time, and another seed another", () => {
  for (const seed of seeds) expect(disorder(seed)).toEqual(disorder(seed));
  expect(new Set(seeds.map((seed) => JSON.stringify(disorder(seed)))).size).toBe(seeds.length);
});

test("nothing is lost, and nothing comes later than the world waits for", () => {
  for (const { name, with: { ms = 0 } = {} } of seeds.flatMap(disorder)) {
    expect(name).toMatch(/^acs\.(?:delay|duplicate|reorder)-(?:event$|callback\.[A-Z])/);
    expect(ms).toBeLessThanOrEqual(1_500);
  }
});

test("an application hears every event of its call under any seed, some of them twice", async () => {
  const types = ["CallConnected", "ParticipantsUpdated", "CallDisconnected"] as const;
  const seed = seeds.find((candidate) => {
    const names = disorder(candidate).map(({ name }) => name);
    return types.every((type) => names.includes(`acs.duplicate-callback.${type}`));
  });
  await using lab = await startTestLab();
  for (const fault of disorder(seed ?? 0)) lab.faults.add(fault);
  const { leg, context } = await lab.ring();
  const options = { allowInsecureConnection: true };
  const client = new CallAutomationClient(lab.acs.connectionString, options);
  await client.answerCall(context, `${lab.application.url}/callbacks`);
  await Promise.all(types.slice(0, 2).map((type) => lab.application.event(type, 1)));
  leg.end();
  const [first, second] = [0, 1].map((nth) => lab.application.event("CallDisconnected", nth));
  expect((await first)?.envelope["id"]).toBe((await second)?.envelope["id"]);
});
