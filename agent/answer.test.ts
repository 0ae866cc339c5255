import { type MeterProvider, metrics } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { PHRASES } from "./phrases.ts";
import { until } from "./testing/call-service.ts";
import { connect, spoken, startWorld } from "./testing/world.ts";

const COUNTER = { add: () => undefined };

/** Becomes this process's OpenTelemetry; returns the growing list of response times. */
function recordTimes(): number[] {
  const times: number[] = [];
  const createHistogram = () => ({ record: (durationMs: number) => void times.push(durationMs) });
  const provider = { getMeter: () => ({ createHistogram, createCounter: () => COUNTER }) };
  metrics.disable();
  metrics.setGlobalMeterProvider(provider as unknown as MeterProvider);
  return times;
}

test("the caller's wait is one, however many rounds of tools it takes", async () => {
  const times = recordTimes();
  // A round takes five pieces: less than the wait for a filler, and two of them more.
  const round = { calls: [{ name: "look_up_customer", arguments: "{}" }], pieceMs: 80 };
  await using world = await startWorld({
    env: { AGENT_FILLER_MS: "600" },
    turns: [round, round, { says: "You are on the Premium plan." }],
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("What plan am I on?");
  await spoken(world, "You are on the Premium plan.");
  await until(() => times.length > 0);
  expect(world.speech.spoken.filter((text) => text === PHRASES.oneMoment)).toHaveLength(1);
  expect(times).toEqual([expect.any(Number)]);
  expect(times[0]).toBeGreaterThan(750);
});

test("an answer in two rounds is timed at its first sound, once", async () => {
  const times = recordTimes();
  await using world = await startWorld({
    turns: [
      { calls: [{ name: "look_up_customer", arguments: "{}" }], says: "Let me see." },
      { says: "You are on the Premium plan." },
    ],
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("What plan am I on?");
  const turns = () => world.agent.store.turns(world.agent.store.calls()[0]?.id ?? "");
  await until(() => turns().some(({ text }) => text.includes("Premium plan.")));
  expect(times).toHaveLength(1);
});
