import type { Clock, Timer } from "../clock.ts";
import { FRAME_MS } from "./frame.ts";

/** A wake-up later than this has left packets unread, perhaps in several sockets in a row. */
const LATE_MS = 5;
/**
 * Then the packets get a little time to come, and the event loop so many turns to read them: one
 * per relay in this process and per 32 packets that wait in a socket. Only then is played out.
 */
const GRACE_MS = 4;
const GRACE_TURNS = 16;
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
  #grace: Timer | undefined;

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
    this.#grace?.cancel();
    this.#grace = undefined;
    this.#unplayed.length = 0;
  }

  #turnTo(target: number): void {
    try {
      this.#serve(target);
    } finally {
      // A leg whose listener throws must not stop the others.
      this.#schedule();
    }
  }

  #serve(target: number): void {
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
  }

  #settle(): void {
    const grace = this.#clock.after(GRACE_MS, () => turn(GRACE_TURNS));
    this.#grace = grace;
    // Timers may follow each other without a look at the sockets; immediates never do.
    const turn = (left: number) => {
      if (this.#grace !== grace) return;
      if (left > 0) {
        setImmediate(turn, left - 1);
        return;
      }
      this.#grace = undefined;
      this.#playOut();
    };
  }

  #playOut(): void {
    for (const { member, atMs } of this.#unplayed.splice(0)) {
      if (!member.left) member.playOut(atMs);
    }
  }
}
