import { setImmediate as nextTurn } from "node:timers/promises";
import type { Frame } from "../../media/frame.ts";
import type { LegEnd, PstnLeg, TransferLegOptions } from "../pstn.ts";
import type { EdgeCall } from "./call.ts";
import type { IncomingInvite } from "./invite.ts";
import { causeOf } from "./refusal.ts";
import type { TransferOrder } from "./transfer.ts";

/** Moves a call's telephone party elsewhere; see `TransferEngine`. */
export type Transfer = (call: EdgeCall, order: TransferOrder) => Promise<void>;

export interface EdgeLegOptions {
  readonly from: string;
  readonly to: string;
  readonly transfer: Transfer;
}

/** What call control sees of one dialog with a border controller. */
export class EdgeLeg implements PstnLeg {
  readonly id: string;
  readonly direction: "incoming" | "outgoing";
  readonly from: string;
  readonly to: string;
  readonly sipHeaders: Readonly<Record<string, string>>;
  readonly historyInfo?: string;
  readonly correlationId: string;
  readonly ended: Promise<LegEnd>;
  readonly #end: (end: LegEnd) => void;
  readonly #transfer: Transfer;
  readonly #invite: IncomingInvite | undefined;
  readonly #frames = new Set<(frame: Frame) => void>();
  readonly #digits = new Set<(digit: string) => void>();
  #call: EdgeCall | undefined;
  /** Resolves when whoever asked for a transfer has heard what became of it. */
  #transferred: Promise<unknown> = Promise.resolve();
  #isAnswering = false;
  #over = false;

  constructor(origin: { invite: IncomingInvite } | { call: EdgeCall }, options: EdgeLegOptions) {
    const { identity } = "invite" in origin ? origin.invite : origin.call;
    this.id = identity.tag;
    this.correlationId = identity.xI;
    this.from = options.from;
    this.to = options.to;
    this.#transfer = options.transfer;
    const { promise, resolve } = Promise.withResolvers<LegEnd>();
    this.ended = promise;
    this.#end = resolve;
    this.direction = "invite" in origin ? "incoming" : "outgoing";
    this.#invite = "invite" in origin ? origin.invite : undefined;
    this.sipHeaders = this.#invite?.sipHeaders ?? {};
    const history = this.#invite?.request.list("History-Info") ?? [];
    if (history.length > 0) this.historyInfo = history.join(", ");
    if ("call" in origin) this.#connect(origin.call);
    else this.#follow(origin.invite);
  }

  async answer(): Promise<void> {
    if (this.#invite === undefined) throw new Error("an outgoing leg is answered by its target");
    if (this.#over) throw new Error("the leg is over");
    if (this.#isAnswering) throw new Error("the leg has been answered already");
    this.#isAnswering = true;
    try {
      const call = await this.#invite.answer();
      if (!this.#over) return this.#connect(call);
      // Hung up while the answer was on its way: nobody else will end this call.
      await call.bye();
    } catch (error) {
      this.#finish({ by: "network" });
      throw error;
    }
    throw new Error("the leg is over");
  }

  reject(status: number, reason: string): void {
    if (this.#over || this.#call !== undefined) return;
    this.#invite?.refuse({ status, subCode: 0, text: reason, cause: causeOf(status) });
    this.#finish({ by: "local", sip: { code: status, message: reason } });
  }

  async hangUp(): Promise<void> {
    if (this.#call === undefined) return this.reject(480, "CallEndReasonLocalUserInitiated");
    const call = this.#call;
    if (this.#finish({ by: "local" })) await call.bye();
  }

  async transfer(target: string, options: TransferLegOptions): Promise<void> {
    const call = this.#call;
    if (call === undefined || this.#over) throw new Error("the leg is not connected");
    const { sipHeaders = {}, signal } = options;
    const from = options.from ?? (this.direction === "incoming" ? this.from : this.to);
    const party = this.direction === "incoming" ? this.from : this.to;
    const transfer = this.#transfer(call, { target, sipHeaders, from, party, signal });
    this.#transferred = Promise.allSettled([transfer]).then(() => nextTurn());
    await transfer;
    this.#finish({ by: "transfer" });
  }

  onFrame(listener: (frame: Frame) => void): () => void {
    this.#frames.add(listener);
    return () => void this.#frames.delete(listener);
  }

  onDigit(listener: (digit: string) => void): () => void {
    this.#digits.add(listener);
    return () => void this.#digits.delete(listener);
  }

  write(samples: Int16Array, rateHz: number): void {
    if (!this.#over) this.#call?.media.write(samples, rateHz);
  }

  flush(): number {
    return this.#call?.media.flush() ?? 0;
  }

  get queuedMs(): number {
    return this.#call?.media.queuedMs ?? 0;
  }

  async sendDigits(digits: string, options?: { signal?: AbortSignal }): Promise<void> {
    if (this.#call === undefined || this.#over) throw new Error("the leg is not connected");
    await this.#call.media.sendDigits(digits, options);
  }

  #connect(call: EdgeCall): void {
    this.#call = call;
    call.media.onFrame((frame) => {
      if (!this.#over) for (const listener of this.#frames) listener(frame);
    });
    call.media.onDigit((digit) => {
      if (!this.#over) for (const listener of this.#digits) listener(digit);
    });
    void call.ended.then((end) => this.#callEnded(end));
  }

  /** The failure of a transfer is reported before the end of its call, never after. */
  async #callEnded(end: LegEnd): Promise<void> {
    if (end.by !== "transfer") await this.#transferred;
    this.#finish(end);
  }

  #follow(invite: IncomingInvite): void {
    invite.cancelled.addEventListener("abort", () => this.#cancelled(invite));
    invite.onLost(() => this.#finish({ by: "network" }));
  }

  #cancelled(invite: IncomingInvite): void {
    const q850 = invite.cancelReason;
    const sip = { code: 487, message: "Request Terminated" };
    this.#finish({ by: "peer", sip, ...(q850 === undefined ? {} : { q850 }) });
  }

  #finish(end: LegEnd): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#end(end);
    return true;
  }
}
