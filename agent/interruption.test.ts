import { expect, test } from "vitest";
import { PHRASES } from "./phrases.ts";
import { until } from "./testing/call-service.ts";
import type { ModelTurn } from "./testing/model-service.ts";
import { connect, spoken, startWorld } from "./testing/world.ts";

test.concurrent.each<[string, ModelTurn, string]>([
  ["a declined question", { filters: true }, PHRASES.notAllowed],
  ["a lost thread", { says: "Your balance is fine. And", thenDrops: true }, PHRASES.lostThread],
])("what is said after %s can be interrupted", async (_case, turn, phrase) => {
  await using world = await startWorld({
    env: { AGENT_PLAYOUT_LATENCY_MS: "0" },
    turns: [turn, { says: "Of course." }],
  });
  const { agent, model } = world;
  const { ear } = await connect(world);
  const turns = () => agent.store.turns(agent.store.calls()[0]?.id ?? "");
  await until(() => turns().length === 1);
  ear.phrase("My question");
  await spoken(world, phrase);
  ear.hypothesis("something");
  ear.phrase("something else");
  await until(() => model.requests.length === 2);
  expect(turns().map(({ text }) => text)).not.toContain(phrase);
});
