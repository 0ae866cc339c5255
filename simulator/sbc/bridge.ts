import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import { anchor } from "../drachtio/anchor.ts";
import { reasonOf, refuseRefer, reinvite } from "../drachtio/link.ts";
import { relay } from "../media/relay.ts";
import { endLeg, type Leg, type Side } from "./leg.ts";
import { ring } from "./ringback.ts";

export interface BridgeEnd {
  /** The side that hung up; undefined: the SBC did. */
  by?: Side;
  reason?: string;
}

export interface BridgeOptions {
  clock: Clock;
  /** Whether the peer of a leg may send REFER in it; the others get 405. */
  takesRefer: (leg: Leg) => boolean;
  onRefer: (leg: Leg, req: Srf.SrfRequest, res: Srf.SrfResponse) => void;
}

/**
 * Two answered legs with their media relayed, of which either can be exchanged for a new one while
 * the call goes on. The call is over when one of the two hangs up.
 */
export class Bridge {
  readonly #options: BridgeOptions;
  readonly #over = new AbortController();
  /** Every leg that was ever part of it and may have to be hung up. */
  readonly #legs = new Set<Leg>();
  #pair: readonly [Leg, Leg];
  #relay: Disposable;
  #transferring: Leg | undefined;
  /** Our re-INVITEs, one after the other: two at a time in one dialog would be refused (491). */
  #redirecting: Promise<void> = Promise.resolve();

  constructor(options: BridgeOptions, pair: readonly [Leg, Leg]) {
    this.#options = options;
    this.#pair = pair;
    this.#relay = relay(pair[0].media, pair[1].media);
    for (const leg of pair) this.#watch(leg);
  }

  /** Aborted when the call is over; its reason is a {@link BridgeEnd}. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  get isTransferring(): boolean {
    return this.#transferring !== undefined;
  }

  /** From now on a BYE on `leg` does not end the call: its transfer decides. */
  beginTransfer(leg: Leg): void {
    this.#transferring = leg;
  }

  /** The party that is being transferred hears ringing until aborted. */
  ringTransferee(signal: AbortSignal): void {
    const leg = this.#transferring;
    if (leg !== undefined) void ring(this.#otherThan(leg).media, signal);
  }

  /** The transfer failed: the call is as before, unless `leg` has been hung up meanwhile. */
  abandonTransfer(): void {
    const leg = this.#transferring;
    this.#transferring = undefined;
    if (leg !== undefined && !leg.dialog.connected) this.end({ by: leg.side });
  }

  /** The transfer succeeded: `replacement` takes the place of the leg that asked for it. */
  async completeTransfer(replacement: Leg): Promise<void> {
    const old = this.#transferring;
    this.#transferring = undefined;
    if (old === undefined || this.over.aborted) {
      return await endLeg(replacement, this.#options.clock);
    }
    const stays = this.#otherThan(old);
    this.#relay[Symbol.dispose]();
    this.#pair = [stays, replacement];
    this.#relay = relay(stays.media, replacement.media);
    this.#watch(replacement);
    // Microsoft may have put the call on hold before REFER; the new leg must be heard.
    this.#mirror(replacement);
    await this.#redirecting;
  }

  /** Resolves when the peer has hung up `leg`. */
  gone(leg: Leg): Promise<void> {
    if (!leg.dialog.connected) return Promise.resolve();
    return new Promise((resolve) => {
      leg.dialog.on("destroy", () => resolve());
    });
  }

  end(end: BridgeEnd): void {
    this.#over.abort(end);
  }

  /** Hangs up every leg that is still there. */
  async close(): Promise<void> {
    this.#relay[Symbol.dispose]();
    const { reason } = endOf(this.#over.signal);
    const { clock } = this.#options;
    await Promise.all(Array.from(this.#legs, (leg) => endLeg(leg, clock, reason)));
  }

  #watch(leg: Leg): void {
    this.#legs.add(leg);
    const { dialog, media, headers } = leg;
    dialog.on("destroy", (bye) => this.#hungUp(leg, reasonOf(bye).reason));
    anchor(dialog, media, { headers, onOffer: () => this.#mirror(leg) });
    const { takesRefer, onRefer } = this.#options;
    if (takesRefer(leg)) dialog.on("refer", (req, res) => onRefer(leg, req, res));
    else refuseRefer(dialog);
    if (!dialog.connected) this.#hungUp(leg);
  }

  #hungUp(leg: Leg, reason?: string): void {
    if (leg === this.#transferring || !this.#pair.includes(leg)) return;
    this.end({ by: leg.side, ...(reason === undefined ? {} : { reason }) });
  }

  /** What one side does with its media (hold, resume) the other side hears of, too. */
  #mirror(leg: Leg): void {
    this.#redirecting = this.#align(leg, this.#redirecting);
  }

  async #align(leg: Leg, before: Promise<void>): Promise<void> {
    await before;
    if (!this.#pair.includes(leg)) return;
    const held = leg.media.negotiated?.direction === "inactive";
    await this.#redirect(this.#otherThan(leg), held ? "inactive" : "sendrecv");
  }

  async #redirect(leg: Leg, direction: "sendrecv" | "inactive"): Promise<void> {
    if (leg.media.negotiated?.direction === direction) return;
    try {
      const offer = leg.media.offer({ direction });
      const answer = await reinvite(leg.dialog, offer, leg.headers);
      if (answer.status === 200) leg.media.accept(answer.body);
    } catch {
      // The leg has just been hung up, or its answer is of no use; its BYE decides the call.
    }
  }

  #otherThan(leg: Leg): Leg {
    return this.#pair[0] === leg ? this.#pair[1] : this.#pair[0];
  }
}

export function endOf(signal: AbortSignal): BridgeEnd {
  const reason: unknown = signal.reason;
  return typeof reason === "object" && reason !== null ? reason : {};
}
