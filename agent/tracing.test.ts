import {
  type Attributes,
  type Context,
  type MeterProvider,
  metrics,
  type Span,
  type SpanOptions,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { afterEach, expect, test } from "vitest";
import { until } from "./testing/call-service.ts";
import { connect, spoken, startWorld } from "./testing/world.ts";

interface Recorded {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attributes: Attributes;
  readonly events: string[];
  ended: boolean;
}

/** The smallest provider that notes spans with their parents. */
function recordSpans(): Recorded[] {
  const spans: Recorded[] = [];
  const names = new WeakMap<Span, string>();
  const startSpan = (name: string, { attributes = {} }: SpanOptions = {}, context?: Context) => {
    const parent = context === undefined ? undefined : trace.getSpan(context);
    const recorded: Recorded = {
      name,
      parent: parent === undefined ? undefined : names.get(parent),
      attributes: { ...attributes },
      events: [],
      ended: false,
    };
    spans.push(recorded);
    const span = {
      addEvent: (event: string) => recorded.events.push(event),
      setAttribute: (key: string, value: string) =>
        Object.assign(recorded.attributes, { [key]: value }),
      setAttributes: (more: Attributes) => Object.assign(recorded.attributes, more),
      setStatus: () => undefined,
      end: () => {
        recorded.ended = true;
      },
    } as unknown as Span;
    names.set(span, name);
    return span;
  };
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan }) } as unknown as TracerProvider);
  return spans;
}

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
  const spans = recordSpans();
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
  const tree = spans.map(({ name, parent }) => `${parent ?? ""}/${name}`);
  expect(tree.slice(0, 3)).toEqual(["/call", "call/turn", "turn/chat gpt"]);
  expect(tree).toContain("call/transfer");
  expect(spans.filter(({ ended }) => !ended)).toEqual([]);
  expect(spans[1]?.events).toContain("first audio");
  expect(spans[2]).toMatchObject({
    events: ["first piece", "first sentence"],
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "gpt",
      "gen_ai.response.id": "chatcmpl-1",
    },
  });
  expect(spans.find(({ name }) => name === "transfer")?.attributes).toEqual({
    "error.type": "409/8607",
  });
  expect(measured).toContain("agent.turn.response_time true {}");
  expect(measured.some((line) => line.startsWith("agent.calls true"))).toBe(true);
  expect(JSON.stringify(spans)).not.toMatch(/canary|Premium|Which plan|14255550100/);
});
