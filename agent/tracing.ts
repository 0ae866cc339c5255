import {
  type Attributes,
  context,
  metrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";

const NAME = "linecheck-agent";

/**
 * One stage of a call as a span: the call, an event of the service, a phrase recognised, a turn, the
 * model's answer, a sentence synthesised, a transfer. Without an
 * OpenTelemetry SDK in the process all of it costs next to nothing. Attributes follow the GenAI
 * conventions where they exist; none holds what was said or who said it.
 */
export class Stage implements Disposable {
  readonly #span: Span;

  private constructor(span: Span) {
    this.#span = span;
  }

  static call(callId: string): Stage {
    const options = { kind: SpanKind.SERVER, attributes: { "call.id": callId } };
    return new Stage(trace.getTracer(NAME).startSpan("call", options));
  }

  child(name: string, attributes: Attributes = {}, kind: SpanKind = SpanKind.INTERNAL): Stage {
    // The parent is handed on by name: asynchronous context would mix the turns of one call.
    const parent = trace.setSpan(context.active(), this.#span);
    return new Stage(trace.getTracer(NAME).startSpan(name, { kind, attributes }, parent));
  }

  /** The model's answer, by the GenAI conventions (`chat {model}`, client span). */
  chat(model: string): Stage {
    const attributes = {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "azure.ai.openai",
      "gen_ai.request.model": model,
    };
    return this.child(`chat ${model}`, attributes, SpanKind.CLIENT);
  }

  /** An event of the service at its call, by the messaging conventions (consumer span). */
  message({ id, type }: { id: string; type: string }, system: "eventgrid" | "acs"): void {
    const attributes = {
      "messaging.system": system,
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": type,
      "messaging.message.id": id,
    };
    this.child(`process ${type}`, attributes, SpanKind.CONSUMER)[Symbol.dispose]();
  }

  event(name: string, attributes: Attributes = {}): void {
    this.#span.addEvent(name, attributes);
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  fail(code: string): void {
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.setAttribute("error.type", code);
  }

  [Symbol.dispose](): void {
    this.#span.end();
  }
}

/** How long the caller waited: from their last words to the first sound of the answer. */
export function recordResponseTime(durationMs: number): void {
  const description = "From the caller's recognised words to the first audio of the answer";
  const options = { unit: "ms", description };
  metrics.getMeter(NAME).createHistogram("agent.turn.response_time", options).record(durationMs);
}

export function countCall(outcome: string): void {
  const description = "Calls that ended, by outcome";
  metrics.getMeter(NAME).createCounter("agent.calls", { description }).add(1, { outcome });
}

export function countInterruption(): void {
  const description = "Replies the caller interrupted";
  metrics.getMeter(NAME).createCounter("agent.interruptions", { description }).add(1);
}

export function countTakeover(): void {
  const description = "Calls of lost replicas that this one took over";
  metrics.getMeter(NAME).createCounter("agent.takeovers", { description }).add(1);
}
