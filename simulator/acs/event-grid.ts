import { type DeadLetter, Delivery, type DeliveryPolicy } from "./event-grid-delivery.ts";
import { Handshake } from "./event-grid-handshake.ts";
import type { EventGridContext, EventSchema, PlainEvent, Webhook } from "./event-grid-webhook.ts";
import { chance, strike } from "./fault-strike.ts";

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

export interface EventGridOptions extends EventGridContext {
  /** The base of `validationUrl`. */
  readonly validationOrigin: () => string;
  readonly delivery?: Partial<DeliveryPolicy>;
}

interface Entry extends Subscription, Webhook {
  readonly eventTypes: readonly string[] | undefined;
  /** Events that wait for their batch. */
  readonly waiting: PlainEvent[];
}

/**
 * The resource's Event Grid topic: subscriptions with Azure's two handshakes, at-least-once
 * delivery on the lab's clock. Faults: `acs.drop-event`, `acs.duplicate-event`, `acs.delay-event`
 * (`ms`), each with an optional `probability`.
 */
export class EventGrid {
  readonly #context: EventGridContext;
  readonly #handshake: Handshake;
  readonly #delivery: Delivery;
  readonly #subscriptions = new Set<Entry>();

  constructor(options: EventGridOptions) {
    this.#context = options;
    this.#handshake = new Handshake(options, options.validationOrigin);
    this.#delivery = new Delivery(options, options.delivery);
  }

  get subscriptions(): readonly Subscription[] {
    return [...this.#subscriptions];
  }

  get deadLetters(): readonly DeadLetter[] {
    return this.#delivery.deadLetters;
  }

  /** Validates the webhook, then adds it. Rejects with a HandshakeError. */
  async subscribe(webhookUrl: string, options: SubscribeOptions = {}): Promise<Subscription> {
    const { name = "lab", schema = "EventGrid", headers = {}, eventTypes } = options;
    const remove = () => void this.#subscriptions.delete(entry);
    const entry: Entry = {
      name,
      schema,
      webhookUrl,
      headers,
      eventTypes,
      waiting: [],
      [Symbol.dispose]: remove,
    };
    if (options.isValidated !== true) await this.#handshake.perform(entry, options.signal);
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

  publish({ type, subject, data, call }: TopicEvent): void {
    const { ids, clock } = this.#context;
    const event: PlainEvent = { id: ids.guid(), type, subject, data, time: clock.date() };
    for (const entry of this.#audience(type)) {
      if (this.#strike("acs.drop-event", call) !== undefined) continue;
      const isTwice = this.#strike("acs.duplicate-event", call) !== undefined;
      const delayMs = Number(this.#strike("acs.delay-event", call)?.["ms"] ?? 0);
      for (const _copy of isTwice ? [1, 2] : [1]) {
        if (this.#delivery.policy.batchMs > 0) this.#collect(entry, event);
        else this.#send(entry, [event], { delayMs, call });
      }
    }
  }

  /** What a GET of a validationUrl does; false when the code is unknown or too old. */
  confirm(code: string): boolean {
    return this.#handshake.confirm(code);
  }

  #strike(name: string, call: string | undefined) {
    return strike(this.#context, name, { call, when: chance(this.#context.ids) });
  }

  #audience(type: string): Entry[] {
    return [...this.#subscriptions].filter(
      ({ eventTypes }) => eventTypes === undefined || eventTypes.includes(type),
    );
  }

  /** Keeps an event for the batch that goes out when the span is over or the batch is full. */
  #collect(entry: Entry, event: PlainEvent): void {
    const { clock } = this.#context;
    const { batchMs, maxEventsPerBatch } = this.#delivery.policy;
    entry.waiting.push(event);
    const flush = () => {
      const events = entry.waiting.splice(0);
      if (events.length > 0) this.#send(entry, events, { delayMs: 0, call: undefined });
    };
    if (entry.waiting.length >= maxEventsPerBatch) flush();
    else if (entry.waiting.length === 1) {
      this.#context.background.run("Event Grid batch", async (signal) => {
        await clock.sleep(batchMs, { signal });
        flush();
      });
    }
  }

  #send(
    webhook: Entry,
    events: readonly PlainEvent[],
    { delayMs, call }: { delayMs: number; call: string | undefined },
  ): void {
    this.#context.background.run("Event Grid delivery", async (signal) => {
      if (delayMs > 0) await this.#context.clock.sleep(delayMs, { signal });
      await this.#delivery.deliver({ webhook, events, call }, signal);
    });
  }
}
