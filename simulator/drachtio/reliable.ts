import type { Clock, Timer } from "../clock.ts";
import { SipError } from "../sip/error.ts";
import type { SipResponse } from "../sip/message.ts";
import type { Timers } from "../sip/timers.ts";

export interface ReliableOptions {
  clock: Clock;
  timers: Timers;
  /** CSeq number of the INVITE, which a RAck repeats. */
  inviteCseq: number;
  send: (response: SipResponse) => void;
  /** No PRACK came within 64·T1. */
  onTimeout: () => void;
}

/** Reliable provisional responses waiting for their turn, at most. */
const WAITING_LIMIT = 16;

/**
 * The reliable provisional responses of one INVITE (RFC 3262 §3): numbered, one at a time,
 * repeated until its PRACK comes.
 */
export class ReliableProvisionals {
  readonly #options: ReliableOptions;
  #rseq = 0;
  #outstanding: { rseq: number; timers: Timer[] } | undefined;
  #waiting: SipResponse[] = [];

  constructor(options: ReliableOptions) {
    this.#options = options;
  }

  /**
   * Numbers the response and sends it, now or once the one before is acknowledged. Throws SIP_LIMIT
   * when too many wait.
   */
  offer(response: SipResponse): void {
    if (this.#waiting.length >= WAITING_LIMIT) {
      throw new SipError("SIP_LIMIT", `${WAITING_LIMIT} provisional responses wait for a PRACK`);
    }
    this.#rseq += 1;
    response.set("RSeq", this.#rseq);
    if (this.#outstanding === undefined) this.#transmit(response, this.#rseq);
    else this.#waiting.push(response);
  }

  /** True if `rack` acknowledges the outstanding response; the next one is sent then. */
  acknowledge(rack: string): boolean {
    // Lenient behind the method: sipp scenarios write it twice, and the numbers decide.
    const [, rseq, cseq] = /^\s*(\d+)\s+(\d+)\s+INVITE\b/i.exec(rack) ?? [];
    const outstanding = this.#outstanding;
    if (outstanding === undefined || Number(rseq) !== outstanding.rseq) return false;
    if (Number(cseq) !== this.#options.inviteCseq) return false;
    this.#clear();
    const next = this.#waiting.shift();
    if (next !== undefined) this.#transmit(next, Number(next.get("RSeq")));
    return true;
  }

  /** A final response ends all of it. */
  stop(): void {
    this.#clear();
    this.#waiting = [];
  }

  #transmit(response: SipResponse, rseq: number): void {
    const { clock, timers, send, onTimeout } = this.#options;
    const outstanding: { rseq: number; timers: Timer[] } = { rseq, timers: [] };
    this.#outstanding = outstanding;
    const repeat = (intervalMs: number) => {
      const timer = clock.after(intervalMs, () => {
        send(response);
        repeat(intervalMs * 2);
      });
      outstanding.timers[1] = timer;
    };
    outstanding.timers[0] = clock.after(timers.timeoutMs, () => {
      this.stop();
      onTimeout();
    });
    send(response);
    if (this.#outstanding === outstanding) repeat(timers.t1Ms);
  }

  #clear(): void {
    for (const timer of this.#outstanding?.timers ?? []) timer.cancel();
    this.#outstanding = undefined;
  }
}
