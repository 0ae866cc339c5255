import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Background } from "./background.ts";
import { strike } from "./fault-strike.ts";
import { isRecord } from "./fields.ts";
import type { IdSource } from "./ids.ts";
import type { Outbound, PostAnswer } from "./outbound.ts";

/** Which envelope a subscription's events have. */
export type EventSchema = "EventGrid" | "CloudEvents";

export interface SubscribeOptions {
  /** Default "lab"; goes out as `aeg-subscription-name`, in capitals as Azure does. */
  readonly name?: string;
  readonly schema?: EventSchema;
  /** Only these event types; default: all. */
  readonly eventTypes?: readonly string[];
  /** Delivery properties: headers for every delivery, such as a secret. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Skips the validation handshake (an application that was validated before). */
  readonly isValidated?: boolean;
  readonly signal?: AbortSignal;
}

export interface Subscription extends Disposable {
  readonly name: string;
  readonly webhookUrl: string;
  readonly schema: EventSchema;
}

/** An event as the topic takes it. */
export interface TopicEvent {
  /** `Microsoft.Communication.IncomingCall`. */
  readonly type: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** The trace's call id. */
  readonly call?: string;
}

export interface EventGridOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly ids: IdSource;
  readonly outbound: Outbound;
  readonly background: Background;
  /** The resource's name, for `topic`. */
  readonly resourceName: string;
  readonly faults?: FaultPlan;
  /** Where Azure would say port 553: the base of `validationUrl`. */
  readonly validationOrigin: () => string;
  readonly delivery?: Partial<DeliveryPolicy>;
}

/** How the topic delivers (Event Grid: "Delivery and retry"). */
export interface DeliveryPolicy {
  /** Attempts per event; 1 means no retry, Azure's own default is 30. */
  readonly maxAttempts: number;
  /** No further attempt later than this after the event; Azure's default is 1,440 minutes. */
  readonly timeToLiveMs: number;
  /** No answer within this time is a failure. */
  readonly answerTimeoutMs: number;
}

/** A webhook that did not pass the validation handshake. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  readonly code = "EVENT_GRID_HANDSHAKE";
}

const DEFAULT_DELIVERY: DeliveryPolicy = {
  maxAttempts: 1,
  timeToLiveMs: 24 * 3_600_000,
  answerTimeoutMs: 30_000,
};
const VALIDATION_TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent";
/** After a 2xx without a validation response, how long validationUrl stays open. */
const MANUAL_VALIDATION_MS = 300_000;
const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** Delay before attempt n+1; the last one repeats. */
const SCHEDULE_MS = [10, 30, 60, 300, 600, 1800, 3600].map((seconds) => seconds * SECOND_MS);
/** What the schedule's delay is raised to after these statuses. */
const LEAST_DELAY_MS: Readonly<Record<number, number>> = {
  400: 5 * MINUTE_MS,
  401: 5 * MINUTE_MS,
  403: 5 * MINUTE_MS,
  404: 5 * MINUTE_MS,
  408: 2 * MINUTE_MS,
  503: 30 * SECOND_MS,
};

/** An event that was given up on, as a dead-letter container would hold it. */
export interface DeadLetter {
  readonly subscription: string;
  readonly reason: "MaxDeliveryAttemptsExceeded" | "TimeToLiveExceeded" | "Rejected";
  readonly attempts: number;
  readonly lastStatus: number;
  readonly event: Readonly<Record<string, unknown>>;
}

interface Entry extends Subscription {
  readonly options: SubscribeOptions;
}

/**
 * The resource's Event Grid topic: subscriptions with Azure's two handshakes, at-least-once
 * delivery on the lab's clock. Faults: `acs.duplicate-event`, `acs.delay-event` (`ms`),
 * `acs.drop-event`, `acs.batch-event` (`with`: a copy of an unrelated event first in the array).
 */
export class EventGrid {
  readonly #options: EventGridOptions;
  readonly #policy: DeliveryPolicy;
  readonly #subscriptions = new Set<Entry>();
  readonly #validations = new Map<string, () => void>();
  readonly #deadLetters: DeadLetter[] = [];

  constructor(options: EventGridOptions) {
    this.#options = options;
    this.#policy = { ...DEFAULT_DELIVERY, ...options.delivery };
  }

  get subscriptions(): readonly Subscription[] {
    return [...this.#subscriptions];
  }

  get deadLetters(): readonly DeadLetter[] {
    return this.#deadLetters;
  }

  get topic(): string {
    const group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/lab";
    const provider = "providers/Microsoft.Communication/communicationServices";
    return `${group}/${provider}/${this.#options.resourceName}`;
  }

  /** Validates the webhook, then adds it. Rejects with {@link HandshakeError}. */
  async subscribe(webhookUrl: string, options: SubscribeOptions = {}): Promise<Subscription> {
    const { name = "lab", schema = "EventGrid" } = options;
    const remove = () => void this.#subscriptions.delete(entry);
    const entry: Entry = { name, schema, webhookUrl, options, [Symbol.dispose]: remove };
    if (options.isValidated !== true) {
      await (schema === "EventGrid" ? this.#validate(entry) : this.#askOrigin(entry));
    }
    this.#subscriptions.add(entry);
    return entry;
  }

  unsubscribe(name: string): boolean {
    const found = [...this.#subscriptions].filter((entry) => entry.name === name);
    for (const entry of found) this.#subscriptions.delete(entry);
    return found.length > 0;
  }

  /** True when a subscription wants this type. */
  hears(type: string): boolean {
    return this.#audience(type).length > 0;
  }

  publish(event: TopicEvent): void {
    const { background } = this.#options;
    const id = this.#options.ids.guid();
    for (const entry of this.#audience(event.type)) {
      if (strike(this.#options, "acs.drop-event", event.call) !== undefined) continue;
      const isTwice = strike(this.#options, "acs.duplicate-event", event.call) !== undefined;
      const delayMs = Number(strike(this.#options, "acs.delay-event", event.call)?.["ms"] ?? 0);
      for (const _copy of isTwice ? [1, 2] : [1]) {
        background.run(`Event Grid ${event.type}`, async (signal) => {
          if (delayMs > 0) await this.#options.clock.sleep(delayMs, { signal });
          await this.#deliver(entry, { ...event, id }, signal);
        });
      }
    }
  }

  /** What a GET of a validationUrl does; false when the code is unknown or too old. */
  confirm(code: string): boolean {
    const accept = this.#validations.get(code);
    accept?.();
    return accept !== undefined;
  }

  #audience(type: string): Entry[] {
    return [...this.#subscriptions].filter(
      ({ options }) => options.eventTypes === undefined || options.eventTypes.includes(type),
    );
  }

  async #validate(entry: Entry): Promise<void> {
    const { ids } = this.#options;
    const code = ids.guid().toUpperCase();
    const origin = this.#options.validationOrigin();
    const validationUrl = `${origin}/eventgrid/validate?id=${code}`;
    const data = { validationCode: code, validationUrl };
    const event = this.#eventGridEnvelope({
      id: ids.guid(),
      type: VALIDATION_TYPE,
      subject: "",
      data,
    });
    const manual = this.#manualValidation(code, entry.options.signal);
    try {
      const answer = await this.#post(entry, [{ ...event, dataVersion: "2" }], {
        "aeg-event-type": "SubscriptionValidation",
      });
      if (echoes(answer, code)) return;
      if (answer.status !== 200) throw refused(entry, `status ${answer.status}, expected 200`);
      await manual.confirmed;
    } finally {
      manual[Symbol.dispose]();
    }
  }

  #manualValidation(code: string, signal: AbortSignal | undefined) {
    const { clock, background } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {}); // Judged only when the handshake waits for it.
    const timer = clock.after(MANUAL_VALIDATION_MS, () =>
      reject(new HandshakeError("no validationResponse came and nobody opened validationUrl")),
    );
    const either = AbortSignal.any([background.signal, ...(signal === undefined ? [] : [signal])]);
    const abort = () => reject(either.reason);
    either.addEventListener("abort", abort, { once: true });
    this.#validations.set(code, resolve);
    const stop = () => {
      timer.cancel();
      either.removeEventListener("abort", abort);
      this.#validations.delete(code);
    };
    return { confirmed: promise, [Symbol.dispose]: stop };
  }

  /** CloudEvents 1.0 "HTTP 1.1 Web Hooks" §4: OPTIONS with the origin that wants to send. */
  async #askOrigin(entry: Entry): Promise<void> {
    const origin = "eventgrid.azure.net";
    const answer = await this.#post(entry, undefined, { "WebHook-Request-Origin": origin });
    const allowed = String(answer.headers["webhook-allowed-origin"] ?? "");
    if (answer.status === 200 && (allowed === "*" || allowed === origin)) return;
    throw refused(entry, `status ${answer.status}, WebHook-Allowed-Origin "${allowed}"`);
  }

  async #deliver(entry: Entry, event: TopicEvent & { id: string }, signal: AbortSignal) {
    const { clock } = this.#options;
    const isCloud = entry.schema === "CloudEvents";
    const envelope = isCloud ? this.#cloudEnvelope(event) : this.#eventGridEnvelope(event);
    const startMs = clock.now();
    for (let attempt = 0; ; attempt++) {
      const status = await this.#attempt(entry, envelope, { attempt, call: event.call });
      if (status >= 200 && status <= 204) return;
      const delayMs = retryDelayMs(attempt, status);
      const elapsedMs = clock.now() - startMs;
      const reason = this.#givesUp({ attempt, status, expiresMs: elapsedMs + delayMs });
      if (reason !== undefined) {
        const { name } = entry;
        const tried = { attempts: attempt + 1, lastStatus: status };
        this.#deadLetters.push({ subscription: name, reason, ...tried, event: envelope });
        return;
      }
      await clock.sleep(delayMs, { signal });
    }
  }

  #givesUp(state: { attempt: number; status: number; expiresMs: number }) {
    if (state.status === 400 || state.status === 413) return "Rejected";
    if (state.attempt + 1 >= this.#policy.maxAttempts) return "MaxDeliveryAttemptsExceeded";
    return state.expiresMs > this.#policy.timeToLiveMs ? "TimeToLiveExceeded" : undefined;
  }

  async #attempt(
    entry: Entry,
    envelope: Readonly<Record<string, unknown>>,
    { attempt, call }: { attempt: number; call: string | undefined },
  ): Promise<number> {
    const isCloud = entry.schema === "CloudEvents";
    const headers = {
      "aeg-event-type": "Notification",
      "aeg-subscription-name": entry.name.toUpperCase(),
      "aeg-delivery-count": String(attempt),
      "aeg-data-version": isCloud ? "" : "1.0",
      "aeg-metadata-version": isCloud ? "" : "1",
      "aeg-output-event-id": String(envelope["id"]),
    };
    try {
      return (await this.#post(entry, isCloud ? envelope : [envelope], headers, call)).status;
    } catch {
      return 0; // Already traced; no answer counts as a failed attempt.
    }
  }

  /** One exchange with the webhook, traced. A body that is undefined makes it OPTIONS. */
  async #post(
    entry: Entry,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    call?: string,
  ): Promise<PostAnswer> {
    const { clock, trace, outbound, background } = this.#options;
    const startMs = clock.now();
    const method = body === undefined ? "OPTIONS" : "POST";
    const exchange = { type: "http", direction: "out", service: "event-grid", method } as const;
    const finish = (outcome: { status: number; response?: unknown; error?: string }) => {
      const durationMs = clock.now() - startMs;
      const target = entry.webhookUrl;
      trace.record({ ...exchange, target, request: body, ...outcome, durationMs }, call);
    };
    try {
      const answer = await outbound.post(entry.webhookUrl, {
        method,
        headers: { ...contentType(entry, body), ...headers, ...entry.options.headers },
        body: body === undefined ? "" : JSON.stringify(body),
        timeoutMs: this.#policy.answerTimeoutMs,
        signal: background.signal,
      });
      finish({ status: answer.status, response: answer.body });
      return answer;
    } catch (error) {
      finish({ status: 0, error: String(error) });
      throw error;
    }
  }

  #eventGridEnvelope(event: TopicEvent & { id: string }) {
    return {
      id: event.id,
      topic: this.topic,
      subject: event.subject,
      data: event.data,
      eventType: event.type,
      dataVersion: "1.0",
      metadataVersion: "1",
      eventTime: this.#options.clock.date().toISOString().replace("Z", "0000Z"),
    };
  }

  #cloudEnvelope(event: TopicEvent & { id: string }) {
    return {
      id: event.id,
      source: this.topic,
      subject: event.subject,
      data: event.data,
      type: event.type,
      time: this.#options.clock.date().toISOString().replace("Z", "0000Z"),
      specversion: "1.0",
    };
  }
}

function contentType(entry: Entry, body: unknown): Record<string, string> {
  if (body === undefined) return {};
  const isCloud = entry.schema === "CloudEvents";
  return {
    "Content-Type": `application/${isCloud ? "cloudevents+json" : "json"}; charset=utf-8`,
  };
}

function retryDelayMs(attempt: number, status: number): number {
  const scheduled = SCHEDULE_MS[Math.min(attempt, SCHEDULE_MS.length - 1)] ?? 0;
  return Math.max(scheduled, LEAST_DELAY_MS[status] ?? 0);
}

function echoes(answer: PostAnswer, code: string): boolean {
  if (answer.status !== 200) return false;
  try {
    const body: unknown = JSON.parse(answer.body);
    return isRecord(body) && body["validationResponse"] === code;
  } catch {
    return false; // Not JSON: the manual way stays open.
  }
}

function refused(entry: Entry, why: string): HandshakeError {
  return new HandshakeError(`${entry.webhookUrl} failed the ${entry.schema} handshake: ${why}`);
}
