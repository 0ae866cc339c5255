import type { Clock, Timer } from "../clock.ts";
import { FRAME_MS } from "./frame.ts";

/** A wake-up later than this has left packets unread, perhaps in several sockets in a row. */
const LATE_MS = 5;
/**
 * Then frames are played out only when so many timers in a row of 1 ms were punctual, which means
 * that every socket was read and every relay has passed on what it got, or after so many timers.
 */
const PUNCTUAL_TIMERS = 4;
const PUNCTUAL_MS = 2;
const LIMIT_TIMERS = 50;
/** After a longer standstill (a suspended machine) the missed frames are not made up. */
const LIMIT_CATCH_UP_MS = 2_000;

/** What happens every 20 ms on a leg; `atMs` is the scheduled time, exactly 20 ms after the last. */
export interface Paced {
  send(atMs: number): void;
  playOut(atMs: number): void;
}

const wheels = new WeakMap<Clock, Wheel>();

/**
 * Calls `paced` every 20 ms of lab time until disposed. All legs of a clock share one wheel of 1 ms
 * slots over which they are spread; a late wake-up makes up every frame that it missed.
 */
export function pace(clock: Clock, paced: Paced): Disposable {
  let wheel = wheels.get(clock);
  if (wheel === undefined) wheels.set(clock, (wheel = new Wheel(clock)));
  return wheel.join(paced);
}

interface Member extends Paced {
  left: boolean;
}

class Wheel {
  readonly #clock: Clock;
  readonly #originMs: number;
  readonly #slots: Set<Member>[] = Array.from({ length: FRAME_MS }, () => new Set());
  readonly #unplayed: { member: Member; atMs: number }[] = [];
  /** Milliseconds since the origin: what has been run, and what the wake-up is set for. */
  #turn = 0;
  #due = 0;
  #wakeUp: Timer | undefined;
  #grace: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#originMs = clock.now();
  }

  join(paced: Paced): Disposable {
    if (this.#slots.every((slot) => slot.size === 0)) this.#turn = this.#elapsed();
    const slot = this.#emptiest();
    const member: Member = {
      send: (atMs) => paced.send(atMs),
      playOut: (atMs) => paced.playOut(atMs),
      left: false,
    };
    slot.add(member);
    this.#schedule();
    return {
      [Symbol.dispose]: () => {
        member.left = true;
        slot.delete(member);
        this.#schedule();
      },
    };
  }

  #elapsed(): number {
    // Timers may fire a fraction of a millisecond early.
    return Math.floor(this.#clock.now() - this.#originMs + 0.5);
  }

  /** The least used slot, looking from the one after now: a new leg's first frame comes soon. */
  #emptiest(): Set<Member> {
    const from = this.#turn + 1;
    const order = this.#slots.map((_, index) => this.#slot(from + index));
    return order.reduce((best, slot) => (slot.size < best.size ? slot : best));
  }

  #slot(turn: number): Set<Member> {
    return this.#slots[turn % FRAME_MS] as Set<Member>;
  }

  #schedule(): void {
    this.#wakeUp?.cancel();
    this.#wakeUp = undefined;
    for (let turn = this.#turn + 1; turn <= this.#turn + FRAME_MS; turn++) {
      if (this.#slot(turn).size === 0) continue;
      this.#due = turn;
      const delayMs = Math.max(0, this.#originMs + turn - this.#clock.now());
      this.#wakeUp = this.#clock.after(delayMs, () => this.#turnTo(this.#elapsed()));
      return;
    }
    this.#grace?.abort();
    this.#grace = undefined;
    this.#unplayed.length = 0;
  }

  #turnTo(target: number): void {
    const late = target - this.#due > LATE_MS;
    this.#turn = Math.max(this.#turn, target - LIMIT_CATCH_UP_MS);
    while (this.#turn < target) {
      this.#turn += 1;
      const atMs = this.#originMs + this.#turn;
      for (const member of this.#slot(this.#turn)) {
        member.send(atMs);
        this.#unplayed.push({ member, atMs });
      }
    }
    if (late && this.#grace === undefined) this.#settle();
    if (this.#grace === undefined) this.#playOut();
    this.#schedule();
  }

  /** Lets the event loop come round until it is punctual again, then plays out what waits. */
  #settle(): void {
    const grace = new AbortController();
    let run = 0;
    let timers = 0;
    this.#grace = grace;
    const wait = () => {
      const dueMs = this.#clock.now() + 1;
      this.#clock.after(1, () => {
        const isPunctual = this.#clock.now() - dueMs <= PUNCTUAL_MS;
        run = isPunctual ? run + 1 : 0;
        // Timers may follow each other without a look at the sockets; an immediate never does.
        setImmediate(goOn);
      });
    };
    const goOn = () => {
      if (grace.signal.aborted) return;
      timers += 1;
      if (run < PUNCTUAL_TIMERS && timers < LIMIT_TIMERS) return wait();
      this.#grace = undefined;
      this.#playOut();
    };
    wait();
  }

  #playOut(): void {
    for (const { member, atMs } of this.#unplayed.splice(0)) {
      if (!member.left) member.playOut(atMs);
    }
  }
}
