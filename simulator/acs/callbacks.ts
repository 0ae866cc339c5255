import type { Clock } from "../clock.ts";
import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { Background } from "./background.ts";
import { chance, strike } from "./fault-strike.ts";
import type { IdSource } from "./ids.ts";
import type { Issuer } from "./issuer.ts";
import type { Outbound } from "./outbound.ts";
import type { Policy } from "./policy.ts";

/** How an operation or a call ended; `message` is `""` for call events. */
export interface ResultInformation {
  code: number;
  subCode: number;
  message: string;
  sipDetails?: { code: number; message: string };
  q850Details?: { code: number; message: string };
}

/** One mid-call event before it has its envelope. */
export interface CallEvent {
  /** Without `Microsoft.Communication.`: `CallConnected`. */
  readonly type: string;
  readonly callConnectionId: string;
  readonly serverCallId: string;
  readonly correlationId: string;
  /** The api-version of the request that made the call. */
  readonly version: string;
  /** Where it goes: the operation's own callback, else the call's. */
  readonly url: string;
  readonly operationContext?: string | undefined;
  readonly result: ResultInformation;
  /** Further members of `data`. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** Replaces `calling/callConnections/<id>` as `source` and `subject`. */
  readonly source?: string;
}

export interface CallbacksOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly ids: IdSource;
  readonly outbound: Outbound;
  readonly issuer: Issuer;
  readonly policy: Policy;
  readonly background: Background;
  readonly faults?: FaultPlan;
}

type Headers = Readonly<Record<string, string>>;

/** One event on its way. */
interface Delivery {
  readonly event: CallEvent;
  readonly envelope: unknown;
}

/**
 * Posts mid-call events, each as a JSON array of one CloudEvent with a token of its own, and does not
 * depend on the application's answers: several of Microsoft's samples never give any.
 *
 * Faults, each also with `.<Type>` appended to strike one event type only, and with an optional
 * `probability`: `acs.drop-callback`, `acs.duplicate-callback`, `acs.delay-callback` (`ms`) and
 * `acs.reorder-callback` (up to `ms`, by the seed).
 */
export class Callbacks {
  readonly #options: CallbacksOptions;
  /** When the last event of a call lets the next one go. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(options: CallbacksOptions) {
    this.#options = options;
  }

  send(event: CallEvent): void {
    const envelope = this.#envelope(event);
    if (this.#strike("acs.drop-callback", event) !== undefined) return;
    const isTwice = this.#strike("acs.duplicate-callback", event) !== undefined;
    const delayMs = this.#delay(event);
    for (const _copy of isTwice ? [1, 2] : [1]) {
      const waitMs = delayMs();
      this.#options.background.run(`callback ${event.type}`, (signal) =>
        waitMs > 0
          ? this.#deliverLater({ event, envelope }, waitMs, signal)
          : this.#deliverInTurn({ event, envelope }, signal),
      );
    }
  }

  async #deliverLater(delivery: Delivery, waitMs: number, signal: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(waitMs, { signal });
    await this.#deliver(delivery, await this.#options.issuer.authorization(), signal);
  }

  /**
   * After the call's earlier events: at once when they were answered, else when the application had
   * its time. So order is kept for those that answer, and nobody waits for those that never do.
   */
  async #deliverInTurn(delivery: Delivery, signal: AbortSignal): Promise<void> {
    const { clock, issuer, policy } = this.#options;
    const { callConnectionId } = delivery.event;
    const before = this.#turns.get(callConnectionId);
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    this.#turns.set(callConnectionId, over);
    try {
      const [headers] = await Promise.all([issuer.authorization(), before]);
      using _patience = clock.after(policy.callbackOrderMs, end);
      await this.#deliver(delivery, headers, signal);
    } finally {
      end();
      if (this.#turns.get(callConnectionId) === over) this.#turns.delete(callConnectionId);
    }
  }

  /** How long each copy of an event is held back. */
  #delay(event: CallEvent): () => number {
    const delay = this.#strike("acs.delay-callback", event)?.["ms"];
    const reorder = this.#strike("acs.reorder-callback", event);
    const spreadMs = Number(reorder?.["ms"] ?? (reorder === undefined ? 0 : 200));
    return () => Number(delay ?? 0) + this.#options.ids.random() * spreadMs;
  }

  /** `name.Type` strikes one event type only and counts its own occasions. */
  #strike(name: string, { type, callConnectionId }: CallEvent) {
    const options = { call: callConnectionId, when: chance(this.#options.ids) };
    const general = strike(this.#options, name, options);
    return general ?? strike(this.#options, `${name}.${type}`, options);
  }

  #envelope(event: CallEvent) {
    const { clock, ids } = this.#options;
    const source = event.source ?? `calling/callConnections/${event.callConnectionId}`;
    const type = `Microsoft.Communication.${event.type}`;
    const { operationContext } = event;
    return {
      id: ids.guid(),
      source,
      type,
      data: {
        ...event.data,
        version: event.version,
        ...(operationContext === undefined ? {} : { operationContext }),
        resultInformation: event.result,
        callConnectionId: event.callConnectionId,
        serverCallId: event.serverCallId,
        correlationId: event.correlationId,
        publicEventType: type,
      },
      time: clock.date().toISOString().replace("Z", "0000+00:00"),
      specversion: "1.0",
      datacontenttype: "application/json",
      subject: source,
    };
  }

  async #deliver(delivery: Delivery, token: Headers, signal: AbortSignal): Promise<void> {
    const { policy, clock, issuer } = this.#options;
    let headers = token;
    for (let attempt = 0; ; attempt++) {
      const status = await this.#attempt(delivery, headers, signal);
      if ((status >= 200 && status < 300) || attempt >= policy.callbackRetries) return;
      await clock.sleep(1000, { signal });
      headers = await issuer.authorization();
    }
  }

  /** One post, traced with its outcome; the status, or 0 when none came. */
  async #attempt(
    { event, envelope }: Delivery,
    headers: Headers,
    signal: AbortSignal,
  ): Promise<number> {
    const { clock, trace, outbound, policy } = this.#options;
    const startMs = clock.now();
    const exchange = {
      type: "http",
      direction: "out",
      service: "callback",
      method: "POST",
    } as const;
    const finish = (outcome: { status: number; response?: unknown; error?: string }) => {
      const durationMs = clock.now() - startMs;
      const detail = {
        ...exchange,
        target: event.url,
        request: [envelope],
        ...outcome,
        durationMs,
      };
      trace.record(detail, event.callConnectionId);
      return outcome.status;
    };
    try {
      const answer = await outbound.post(event.url, {
        headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
        body: JSON.stringify([envelope]),
        timeoutMs: policy.callbackTimeoutMs,
        signal,
      });
      return finish({
        status: answer.status,
        ...(answer.body === "" ? {} : { response: answer.body }),
      });
    } catch (error) {
      return finish({ status: 0, error: String(error) });
    }
  }
}
