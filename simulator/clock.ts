import { performance } from "node:perf_hooks";

/** A pending callback of a {@link Clock}. Cancelling twice, or after it ran, is fine. */
export interface Timer extends Disposable {
  cancel(): void;
}

/**
 * The one source of time for every party. Durations are milliseconds of lab time; with `rate` 5 a
 * sleep of 1,000 ms takes 200 ms of wall time. Media pacing, SIP timers and service time-outs all
 * come from here, so a test can drive them by hand with {@link manualClock}.
 */
export interface Clock {
  /** Monotonic lab time in milliseconds since the clock was made. */
  now(): number;
  /** Calendar time, for dates that go on a wire (`x-ms-date`, event `time`, certificates). */
  date(): Date;
  /** Runs `callback` once, `delayMs` from now. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` every `periodMs`, without drift: a late tick does not move the later ones. */
  every(periodMs: number, callback: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, options?: { signal?: AbortSignal }): Promise<void>;
}

abstract class ClockBase implements Clock {
  abstract now(): number;
  abstract date(): Date;
  abstract after(delayMs: number, callback: () => void): Timer;

  every(periodMs: number, callback: () => void): Timer {
    let due = this.now() + periodMs;
    let pending: Timer;
    const tick = () => {
      due += periodMs;
      pending = this.after(Math.max(0, due - this.now()), tick);
      callback();
    };
    pending = this.after(periodMs, tick);
    return timer(() => pending.cancel());
  }

  async sleep(delayMs: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const pending = this.after(delayMs, resolve);
    const abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      pending.cancel();
      signal?.removeEventListener("abort", abort);
    }
  }
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

class SystemClock extends ClockBase {
  readonly #rate: number;
  readonly #origin = performance.now();
  readonly #originDate = Date.now();

  constructor(rate: number) {
    super();
    this.#rate = rate;
  }

  now(): number {
    return (performance.now() - this.#origin) * this.#rate;
  }

  date(): Date {
    return new Date(this.#originDate + this.now());
  }

  after(delayMs: number, callback: () => void): Timer {
    let handle: NodeJS.Timeout;
    // Node runs a timer at once whose delay does not fit into 31 bits: long ones go in stages.
    const wait = (wallMs: number) => {
      const stageMs = Math.min(wallMs, LONGEST_TIMER_MS);
      const next = stageMs < wallMs ? () => wait(wallMs - stageMs) : callback;
      handle = setTimeout(next, stageMs);
    };
    wait(delayMs / this.#rate);
    return timer(() => clearTimeout(handle));
  }
}

/** Real time, optionally faster: `rate` is lab milliseconds per wall millisecond (default 1). */
export function systemClock({ rate = 1 }: { rate?: number } = {}): Clock {
  return new SystemClock(rate);
}

/** A clock that moves only when told to; see {@link ManualClock.advance}. */
export interface ManualClock extends Clock {
  /**
   * Moves time forward and runs everything due on the way, in order. Yields to promises between
   * timers, so that code that awaits a sleep and then sets the next one is followed.
   */
  advance(durationMs: number): Promise<void>;
  /** How many callbacks are waiting; a leak check. */
  readonly pending: number;
}

class SteppedClock extends ClockBase implements ManualClock {
  #now = 0;
  #serial = 0;
  readonly #start: Date;
  readonly #waiting = new Map<number, { due: number; callback: () => void }>();

  constructor(start: Date) {
    super();
    this.#start = start;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  now(): number {
    return this.#now;
  }

  date(): Date {
    return new Date(this.#start.getTime() + this.#now);
  }

  after(delayMs: number, callback: () => void): Timer {
    const serial = this.#serial++;
    this.#waiting.set(serial, { due: this.#now + delayMs, callback });
    return timer(() => this.#waiting.delete(serial));
  }

  async advance(durationMs: number): Promise<void> {
    const end = this.#now + durationMs;
    for (;;) {
      await settlePromises();
      const next = this.#earliest();
      if (next === undefined || next.due > end) break;
      this.#now = Math.max(this.#now, next.due);
      this.#waiting.delete(next.serial);
      next.callback();
    }
    this.#now = end;
    await settlePromises();
  }

  #earliest() {
    let earliest: { serial: number; due: number; callback: () => void } | undefined;
    for (const [serial, entry] of this.#waiting) {
      if (earliest === undefined || entry.due < earliest.due) earliest = { serial, ...entry };
    }
    return earliest;
  }
}

/** A clock for tests. `start` is the calendar time at lab time 0 (default 2026-01-02T03:04:05Z). */
export function manualClock({ start = new Date("2026-01-02T03:04:05Z") } = {}): ManualClock {
  return new SteppedClock(start);
}

function timer(cancel: () => void): Timer {
  return { cancel, [Symbol.dispose]: cancel };
}

/** One turn of the event loop: every promise reaction that is already queued has run after it. */
function settlePromises(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
