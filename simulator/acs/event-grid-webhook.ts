import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Background } from "./background.ts";
import type { IdSource } from "./ids.ts";
import type { Outbound, PostAnswer } from "./outbound.ts";

/** Which envelope a subscription's events have. */
export type EventSchema = "EventGrid" | "CloudEvents";

/** A webhook with what the subscription says about it. */
export interface Webhook {
  readonly name: string;
  readonly webhookUrl: string;
  readonly schema: EventSchema;
  /** Delivery properties: headers for every delivery. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface EventGridContext {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly ids: IdSource;
  readonly outbound: Outbound;
  readonly background: Background;
  /** The resource's name, for `topic`. */
  readonly resourceName: string;
  readonly faults?: FaultPlan;
}

export interface Exchange {
  /** Undefined makes it an OPTIONS request. */
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Ends the exchange early. */
  readonly signal?: AbortSignal | undefined;
  /** The trace's call id. */
  readonly call?: string | undefined;
}

/** One exchange with a webhook, traced with its outcome. */
export async function post(
  { clock, trace, outbound, background }: EventGridContext,
  webhook: Webhook,
  { body, headers, timeoutMs, signal, call }: Exchange,
): Promise<PostAnswer> {
  const startMs = clock.now();
  const method = body === undefined ? "OPTIONS" : "POST";
  const target = webhook.webhookUrl;
  const exchange = { type: "http", direction: "out", service: "event-grid" } as const;
  const finish = (outcome: { status: number; response?: unknown; error?: string }) => {
    const durationMs = clock.now() - startMs;
    trace.record({ ...exchange, method, target, request: body, ...outcome, durationMs }, call);
  };
  try {
    const answer = await outbound.post(target, {
      method,
      headers: { ...contentType(webhook, body), ...headers, ...webhook.headers },
      body: body === undefined ? "" : JSON.stringify(body),
      timeoutMs,
      signal: either(background.signal, signal),
    });
    finish({ status: answer.status, response: answer.body });
    return answer;
  } catch (error) {
    finish({ status: 0, error: String(error) });
    throw error;
  }
}

/** Aborts with whichever comes first. */
export function either(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}

function contentType({ schema }: Webhook, body: unknown): Record<string, string> {
  if (body === undefined) return {};
  const batch = Array.isArray(body) ? "cloudevents-batch+json" : "cloudevents+json";
  const type = schema === "CloudEvents" ? batch : "json";
  return { "Content-Type": `application/${type}; charset=utf-8` };
}

/** The resource as Event Grid names it. */
function topicOf({ resourceName }: EventGridContext): string {
  const group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/lab";
  const provider = "providers/Microsoft.Communication/communicationServices";
  return `${group}/${provider}/${resourceName}`;
}

/** An event before it has a schema. */
export interface PlainEvent {
  readonly id: string;
  /** `Microsoft.Communication.IncomingCall`. */
  readonly type: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly time: Date;
}

export type Envelope = Readonly<Record<string, unknown>>;

export function envelopeOf(
  context: EventGridContext,
  schema: EventSchema,
  event: PlainEvent,
): Envelope {
  const { id, type, subject, data } = event;
  const topic = topicOf(context);
  // Event Grid writes 100 ns; JavaScript's dates end at a millisecond.
  const time = event.time.toISOString().replace("Z", "0000Z");
  if (schema === "CloudEvents") {
    return { id, source: topic, subject, data, type, time, specversion: "1.0" };
  }
  const versions = { dataVersion: "1.0", metadataVersion: "1" };
  return { id, topic, subject, data, eventType: type, ...versions, eventTime: time };
}
