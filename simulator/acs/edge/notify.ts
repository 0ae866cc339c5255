import { type SipRequest, SipResponse } from "../../sip/message.ts";
import { type LegEnd, PstnRefusal } from "../pstn.ts";
import type { EdgeCall } from "./call.ts";
import { REFUSALS } from "./refusal.ts";
import type { EdgeServices } from "./services.ts";

export interface NotifyWatchOptions {
  /** What is waited for, for error messages. */
  readonly what: string;
  readonly signal?: AbortSignal;
  /** What else is known of the transfer, for the time-out's message. */
  readonly progress: () => string;
}

/**
 * Follows the NOTIFYs of one REFER (RFC 3515) to the final status they report. Starts before the
 * REFER is sent: a NOTIFY may overtake the 202.
 */
export class NotifyWatch implements Disposable {
  /** The final response that the NOTIFYs report. Rejects with {@link PstnRefusal}. */
  readonly outcome: Promise<SipResponse>;
  /** Rejects together with `outcome`, never resolves. */
  readonly failed: Promise<never>;
  readonly #edge: EdgeServices;
  readonly #call: EdgeCall;
  readonly #options: NotifyWatchOptions;
  readonly #resolve: (response: SipResponse) => void;
  readonly #reject: (error: unknown) => void;
  readonly #stops: (() => void)[];
  readonly #seen: number[] = [];
  #over = false;

  constructor(edge: EdgeServices, call: EdgeCall, options: NotifyWatchOptions) {
    this.#edge = edge;
    this.#call = call;
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<SipResponse>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.failed = promise.then(() => new Promise<never>(() => {}));
    // Either may fail before somebody waits for it.
    for (const each of [this.outcome, this.failed]) each.catch(() => {});
    const { transferTimeoutMs } = edge.policy;
    const deadline = edge.options.clock.after(transferTimeoutMs, () => this.#timedOut());
    const abort = () => this.#fail("was given up", { code: 487, subCode: 540_487 });
    options.signal?.addEventListener("abort", abort, { once: true });
    this.#stops = [
      call.onNotify((request) => this.#notified(request)),
      () => deadline.cancel(),
      () => options.signal?.removeEventListener("abort", abort),
    ];
    void call.ended.then(({ by }) => this.#ended(by));
  }

  [Symbol.dispose](): void {
    this.#over = true;
    for (const stop of this.#stops) stop();
  }

  /** The REFER itself got no answer: to Microsoft that is as bad as a missing NOTIFY. */
  unanswered(): void {
    const message = `${this.#options.what}: the REFER got no answer`;
    this.#edge.options.findings.add("REFER_UNANSWERED", message, this.#call.identity.xI);
    this.#drop();
  }

  #notified(request: SipRequest): void {
    const status = this.#statusLine(request);
    if (status === undefined) return;
    this.#seen.push(status.status);
    this.#advise(request);
    if (status.status >= 200) {
      this.#over = true;
      this.#resolve(status);
    } else if (isTerminated(request)) {
      this.#fail("ended without a final NOTIFY", { code: 500, subCode: 560_500 });
    }
  }

  /** What RFC 3515 and Microsoft want of a NOTIFY, beyond its status line. */
  #advise(request: SipRequest): void {
    const { findings } = this.#edge.options;
    const type = request.get("Content-Type") ?? "none";
    if (!type.toLowerCase().startsWith("message/sipfrag")) {
      findings.advise("NOTIFY_NOT_SIPFRAG", `NOTIFY: Content-Type is ${type}`);
    }
    if ((this.#seen.at(-1) ?? 0) < 200) return;
    if (this.#seen.length === 1) {
      findings.advise("NOTIFY_WITHOUT_TRYING", "NOTIFY: no 100 Trying came before the final one");
    }
    if (!isTerminated(request)) {
      findings.advise("NOTIFY_NOT_TERMINATED", "NOTIFY: the final one must end the subscription");
    }
  }

  /** The sipfrag of a NOTIFY for `refer`, as a response. */
  #statusLine(request: SipRequest): SipResponse | undefined {
    const event = request.get("Event")?.split(";")[0]?.trim().toLowerCase();
    const text = request.body.toString();
    const [, digits, reason = ""] = /^SIP\/2\.0 (\d{3}) ?([^\r\n]*)/.exec(text) ?? [];
    if (event !== "refer" || digits === undefined) {
      const message = `NOTIFY must have Event: refer and a status line, got ${event}, "${text}"`;
      this.#edge.options.findings.add("NOTIFY_MALFORMED", message, this.#call.identity.xI);
      return undefined;
    }
    const reasons = request.all("Reason").concat(fragmentReasons(text));
    return new SipResponse({ status: Number(digits), reason, headers: { Reason: reasons } });
  }

  #timedOut(): void {
    if (this.#over) return;
    const { transferTimeoutMs } = this.#edge.policy;
    const seen = this.#seen.length === 0 ? "none" : this.#seen.join(", ");
    const message = `no final NOTIFY within ${transferTimeoutMs} ms (NOTIFY so far: ${seen}; ${this.#options.progress()})`;
    this.#edge.options.findings.add("NOTIFY_MISSING", message, this.#call.identity.xI);
    this.#fail(message, { code: REFUSALS.failover.status, subCode: REFUSALS.failover.subCode });
    this.#drop();
  }

  #drop(): void {
    if (this.#edge.policy.missingNotify === "keep") return;
    void this.#call.bye("Transfer timed out", "network");
  }

  #ended(by: LegEnd["by"]): void {
    if (this.#over) return;
    const message = "the call was ended before the final NOTIFY";
    const { findings } = this.#edge.options;
    if (by === "peer") findings.add("BYE_BEFORE_NOTIFY", message, this.#call.identity.xI);
    this.#fail(message, { code: 487, subCode: 540_487 });
  }

  #fail(message: string, detail: { code: number; subCode: number }): void {
    this.#over = true;
    this.#reject(new PstnRefusal(`${this.#options.what}: ${message}`, detail));
  }
}

function isTerminated(request: SipRequest): boolean {
  return /^\s*terminated/i.test(request.get("Subscription-State") ?? "");
}

/** Reason headers inside the sipfrag (RFC 3420 lets the whole response head ride in it). */
function fragmentReasons(text: string): string[] {
  return [...text.matchAll(/^Reason:[ \t]*(.+?)\r?$/gim)].map(([, value = ""]) => value);
}
