import type { Timer } from "../clock.ts";
import {
  type EventGridContext,
  type Exchange,
  either,
  envelopeOf,
  post,
  type Webhook,
} from "./event-grid-webhook.ts";
import { isRecord } from "./fields.ts";
import type { PostAnswer } from "./outbound.ts";

/** `code` tells it apart: a webhook that did not pass the validation handshake. */
class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  readonly code = "EVENT_GRID_HANDSHAKE";
}

const VALIDATION_TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent";
const ANSWER_TIMEOUT_MS = 30_000;
/** After a 200 without a validation response, how long validationUrl stays open. */
const MANUAL_VALIDATION_MS = 300_000;
const CLOUD_ORIGIN = "eventgrid.azure.net";

/** Event Grid's proof that a webhook wants its events ("Webhook event delivery"). */
export class Handshake {
  readonly #context: EventGridContext;
  readonly #origin: () => string;
  readonly #pending = new Map<string, () => void>();

  /** `origin` is where Azure would say port 553: the base of `validationUrl`. */
  constructor(context: EventGridContext, origin: () => string) {
    this.#context = context;
    this.#origin = origin;
  }

  /** Rejects with {@link HandshakeError} unless the webhook proves itself. */
  async perform(webhook: Webhook, signal?: AbortSignal): Promise<void> {
    if (webhook.schema === "CloudEvents") await this.#askOrigin(webhook, signal);
    else await this.#validate(webhook, signal);
  }

  /** What a GET of a validationUrl does; false when the code is unknown or too old. */
  confirm(code: string): boolean {
    const accept = this.#pending.get(code);
    accept?.();
    return accept !== undefined;
  }

  async #validate(webhook: Webhook, signal: AbortSignal | undefined): Promise<void> {
    const { ids, clock } = this.#context;
    const code = ids.guid().toUpperCase();
    const validationUrl = `${this.#origin()}/eventgrid/validate?id=${code}`;
    const event = envelopeOf(this.#context, "EventGrid", {
      id: ids.guid(),
      type: VALIDATION_TYPE,
      subject: "",
      data: { validationCode: code, validationUrl },
      time: clock.date(),
    });
    using manual = this.#manual(code, signal);
    const answer = await this.#ask(webhook, {
      body: [{ ...event, dataVersion: "2" }],
      headers: { "aeg-event-type": "SubscriptionValidation" },
      signal,
    });
    if (echoes(answer, code)) return;
    if (answer.status !== 200) throw refused(webhook, `status ${answer.status}, expected 200`);
    await manual.confirmed;
  }

  /** No answer is no proof; an exchange that was ended on purpose says so itself. */
  async #ask(webhook: Webhook, exchange: Omit<Exchange, "timeoutMs">): Promise<PostAnswer> {
    const timeoutMs = ANSWER_TIMEOUT_MS;
    try {
      return await post(this.#context, webhook, { ...exchange, timeoutMs });
    } catch (error) {
      either(this.#context.background.signal, exchange.signal).throwIfAborted();
      throw refused(webhook, `no answer, ${String(error)}`);
    }
  }

  #manual(code: string, signal: AbortSignal | undefined): Manual {
    const { clock, background } = this.#context;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {}); // Judged only when the handshake waits for it.
    const why = "no validationResponse came and nobody opened validationUrl";
    const timer: Timer = clock.after(MANUAL_VALIDATION_MS, () => reject(new HandshakeError(why)));
    const ending = either(background.signal, signal);
    const abort = () => reject(ending.reason);
    ending.addEventListener("abort", abort, { once: true });
    this.#pending.set(code, resolve);
    const stop = () => {
      timer.cancel();
      ending.removeEventListener("abort", abort);
      this.#pending.delete(code);
    };
    return { confirmed: promise, [Symbol.dispose]: stop };
  }

  /** CloudEvents 1.0 "HTTP 1.1 Web Hooks" §4: OPTIONS with the origin that wants to send. */
  async #askOrigin(webhook: Webhook, signal: AbortSignal | undefined): Promise<void> {
    const answer = await this.#ask(webhook, {
      body: undefined,
      headers: { "WebHook-Request-Origin": CLOUD_ORIGIN },
      signal,
    });
    const allowed = String(answer.headers["webhook-allowed-origin"] ?? "");
    if (answer.status === 200 && (allowed === "*" || allowed === CLOUD_ORIGIN)) return;
    throw refused(webhook, `status ${answer.status}, WebHook-Allowed-Origin "${allowed}"`);
  }
}

interface Manual extends Disposable {
  readonly confirmed: Promise<void>;
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

function refused({ webhookUrl, schema }: Webhook, why: string): HandshakeError {
  return new HandshakeError(`${webhookUrl} failed the ${schema} handshake: ${why}`);
}
