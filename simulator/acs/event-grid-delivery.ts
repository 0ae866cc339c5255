import {
  type Envelope,
  type EventGridContext,
  envelopeOf,
  type PlainEvent,
  post,
  type Webhook,
} from "./event-grid-webhook.ts";

/** How the topic delivers (Event Grid: "Delivery and retry"). */
export interface DeliveryPolicy {
  /** Attempts per event; 1 means no retry, Azure's own default is 30. */
  readonly maxAttempts: number;
  /** No further attempt later than this after the event; Azure's default is 1,440 minutes. */
  readonly timeToLiveMs: number;
  /** No answer within this time is a failure. */
  readonly answerTimeoutMs: number;
  /** Events of this span go out together ("output batching"); 0 sends each alone. */
  readonly batchMs: number;
  readonly maxEventsPerBatch: number;
}

const DEFAULT_DELIVERY: DeliveryPolicy = {
  maxAttempts: 1,
  timeToLiveMs: 24 * 3_600_000,
  answerTimeoutMs: 30_000,
  batchMs: 0,
  maxEventsPerBatch: 100,
};

/** An event that was given up on, as a dead-letter container would hold it. */
export interface DeadLetter {
  readonly subscription: string;
  readonly reason: "MaxDeliveryAttemptsExceeded" | "TimeToLiveExceeded" | "Rejected";
  readonly attempts: number;
  readonly lastStatus: number;
  readonly event: Envelope;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** Delay before attempt n+1; the last one repeats. */
const SCHEDULE_MS = [10, 30, 60, 300, 600, 1800, 3600].map((seconds) => seconds * SECOND_MS);
/** What the schedule's delay is raised to after these statuses. */
const LEAST_DELAY_MS: Readonly<Record<number, number>> = {
  401: 5 * MINUTE_MS,
  403: 5 * MINUTE_MS,
  404: 5 * MINUTE_MS,
  408: 2 * MINUTE_MS,
  503: 30 * SECOND_MS,
};
const REJECTED: readonly number[] = [400, 413];
const KEPT_DEAD_LETTERS = 1000;

/** Events for one webhook, with the trace's call id. */
export interface Batch {
  readonly webhook: Webhook;
  readonly events: readonly PlainEvent[];
  readonly call?: string | undefined;
}

/** Delivers on the lab's clock, and keeps what could not be delivered. */
export class Delivery {
  readonly policy: DeliveryPolicy;
  readonly deadLetters: DeadLetter[] = [];
  readonly #context: EventGridContext;

  constructor(context: EventGridContext, policy: Partial<DeliveryPolicy> = {}) {
    this.#context = context;
    this.policy = { ...DEFAULT_DELIVERY, ...policy };
  }

  async deliver(batch: Batch, signal: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const { schema } = batch.webhook;
    const envelopes = batch.events.map((event) => envelopeOf(this.#context, schema, event));
    const startMs = clock.now();
    for (let attempt = 0; ; attempt++) {
      const status = await this.#attempt(batch, envelopes, attempt);
      if (status >= 200 && status <= 204) return;
      const delayMs = retryDelayMs(attempt, status);
      const elapsedMs = clock.now() - startMs;
      const reason = this.#givesUp({ attempt, status, expiresMs: elapsedMs + delayMs });
      if (reason !== undefined) {
        const tried = { reason, attempts: attempt + 1, lastStatus: status };
        this.#bury(batch.webhook, envelopes, tried);
        return;
      }
      await clock.sleep(delayMs, { signal });
    }
  }

  #givesUp(state: {
    attempt: number;
    status: number;
    expiresMs: number;
  }): DeadLetter["reason"] | undefined {
    if (REJECTED.includes(state.status)) return "Rejected";
    if (state.attempt + 1 >= this.policy.maxAttempts) return "MaxDeliveryAttemptsExceeded";
    return state.expiresMs > this.policy.timeToLiveMs ? "TimeToLiveExceeded" : undefined;
  }

  #bury(
    { name }: Webhook,
    envelopes: readonly Envelope[],
    tried: Omit<DeadLetter, "subscription" | "event">,
  ): void {
    for (const event of envelopes) this.deadLetters.push({ subscription: name, ...tried, event });
    this.deadLetters.splice(0, Math.max(0, this.deadLetters.length - KEPT_DEAD_LETTERS));
  }

  /** The webhook's status, or 0 when none came. */
  async #attempt(
    { webhook, call }: Batch,
    envelopes: readonly Envelope[],
    attempt: number,
  ): Promise<number> {
    const [first] = envelopes;
    const isCloud = webhook.schema === "CloudEvents";
    const headers = {
      "aeg-event-type": "Notification",
      "aeg-subscription-name": webhook.name.toUpperCase(),
      "aeg-delivery-count": String(attempt),
      ...(isCloud ? {} : { "aeg-data-version": "1.0", "aeg-metadata-version": "1" }),
      "aeg-output-event-id": String(first?.["id"]),
    };
    const body = isCloud && envelopes.length === 1 ? first : envelopes;
    const timeoutMs = this.policy.answerTimeoutMs;
    try {
      return (await post(this.#context, webhook, { body, headers, timeoutMs, call })).status;
    } catch {
      return 0; // Already traced; no answer counts as a failed attempt.
    }
  }
}

function retryDelayMs(attempt: number, status: number): number {
  const scheduled = SCHEDULE_MS[Math.min(attempt, SCHEDULE_MS.length - 1)] ?? 0;
  return Math.max(scheduled, LEAST_DELAY_MS[status] ?? 0);
}
