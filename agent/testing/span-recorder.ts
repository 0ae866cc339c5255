import {
  type Attributes,
  type Context,
  type Span,
  type SpanOptions,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";

/** One span of the agent: its events with their times, in milliseconds of `now`. */
export interface RecordedSpan {
  readonly name: string;
  readonly parent: RecordedSpan | undefined;
  readonly attributes: Attributes;
  readonly events: Map<string, number>;
  ended: boolean;
}

/**
 * Becomes this process's OpenTelemetry: notes the agent's spans, their parents and their events.
 * Returns the growing list.
 */
export function recordSpans(now: () => number): RecordedSpan[] {
  const spans: RecordedSpan[] = [];
  const recorded = new WeakMap<Span, RecordedSpan>();
  const startSpan = (name: string, { attributes = {} }: SpanOptions = {}, context?: Context) => {
    const parent = context === undefined ? undefined : trace.getSpan(context);
    const span = {
      name,
      parent: parent === undefined ? undefined : recorded.get(parent),
      attributes: { ...attributes },
      events: new Map<string, number>(),
      ended: false,
    };
    spans.push(span);
    const facade = facadeOf(span, now);
    recorded.set(facade, span);
    return facade;
  };
  const provider = { getTracer: () => ({ startSpan }) };
  // A second recorder in one process takes the first one's place; the API refuses that otherwise.
  trace.disable();
  trace.setGlobalTracerProvider(provider as unknown as TracerProvider);
  return spans;
}

function facadeOf(recorded: RecordedSpan, now: () => number): Span {
  const { attributes, events } = recorded;
  const span = {
    addEvent: (name: string) => {
      if (!events.has(name)) events.set(name, now());
    },
    setAttribute: (key: string, value: string) => Object.assign(attributes, { [key]: value }),
    setAttributes: (more: Attributes) => Object.assign(attributes, more),
    setStatus: () => span,
    end: () => {
      recorded.ended = true;
    },
  };
  return span as unknown as Span;
}
