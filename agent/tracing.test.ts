import { type Attributes, type MeterProvider, metrics, trace } from "@opentelemetry/api";
import { afterEach, expect, test } from "vitest";
import { until } from "./testing/call-service.ts";
import { recordSpans } from "./testing/span-recorder.ts";
import { connect, spoken, startWorld } from "./testing/world.ts";

function recordMetrics(): string[] {
  const recorded: string[] = [];
  const note = (name: string) => (value: number, attributes?: Attributes) =>
    void recorded.push(`${name} ${value >= 0} ${JSON.stringify(attributes ?? {})}`);
  const meter = {
    createHistogram: (name: string) => ({ record: note(name) }),
    createCounter: (name: string) => ({ add: note(name) }),
  };
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
  return recorded;
}

afterEach(() => {
  trace.disable();
  metrics.disable();
});

test("a call is one trace with a span per stage, and all of them end", async () => {
  const spans = recordSpans(() => 0);
  const measured = recordMetrics();
  await using world = await startWorld({
    turns: [
      { says: "You are on Premium." },
      { calls: [{ name: "escalate_to_human", arguments: '{"summary":"canary words"}' }] },
    ],
    calls: { refuseTransfer: { status: 409, code: "8607" } },
  });
  const { ear, media } = await connect(world);
  await until(() => media.totalBytes > 0);
  ear.phrase("Which plan?");
  await spoken(world, "You are on Premium.");
  ear.phrase("A human please");
  await world.calls.request(/:transferToParticipant$/);
  await world.calls.event("CallDisconnected");
  await until(() => world.agent.activeCalls === 0);
  const tree = spans.map(({ name, parent }) => `${parent?.name ?? ""}/${name}`);
  expect(new Set(tree)).toEqual(
    new Set([
      "/call",
      "call/process IncomingCall",
      "call/process CallConnected",
      "call/process CallDisconnected",
      "call/synthesize",
      "call/recognize",
      "call/turn",
      "turn/chat gpt",
      "turn/synthesize",
      "call/transfer",
    ]),
  );
  expect(spans.filter(({ ended }) => !ended)).toEqual([]);
  const span = (name: string) => spans.find((entry) => entry.name === name);
  expect(span("turn")?.events.has("first audio")).toBe(true);
  expect(span("synthesize")?.events.has("first audio")).toBe(true);
  expect(span("process CallConnected")?.attributes).toMatchObject({
    "messaging.system": "acs",
    "messaging.operation.type": "process",
    "messaging.message.id": expect.stringMatching(/./),
  });
  expect(span("chat gpt")).toMatchObject({
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "gpt",
      "gen_ai.response.id": "chatcmpl-1",
    },
  });
  expect(Array.from(span("chat gpt")?.events.keys() ?? [])).toEqual([
    "first piece",
    "first sentence",
  ]);
  expect(span("transfer")?.attributes).toEqual({
    "error.type": "409/8607",
  });
  expect(measured).toContain("agent.turn.response_time true {}");
  expect(measured.some((line) => line.startsWith("agent.calls true"))).toBe(true);
  expect(JSON.stringify(spans.map(({ attributes }) => attributes))).not.toMatch(
    /canary|Premium|Which plan|14255550100/,
  );
});
