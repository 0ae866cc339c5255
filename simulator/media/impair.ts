import type { Clock, Timer } from "../clock.ts";
import { RTP_HEADER_OCTETS } from "./rtp.ts";

/** What a bad network does to one direction of a leg. Ratios are 0 to 1. */
export interface Impairment {
  /** Same seed, same fate of the same packets. */
  readonly seed: number;
  /** Share of packets that never arrive. */
  readonly loss?: number;
  /** Mean number of packets lost in a row (default 1; Gilbert's model above it). */
  readonly burst?: number;
  /** Added to every packet. */
  readonly delayMs?: number;
  /** Added at random, up to this much; the order is kept. */
  readonly jitterMs?: number;
  /** Share of packets that are overtaken by the next two. */
  readonly reorder?: number;
  /** Share of packets that come twice. */
  readonly duplicate?: number;
  /** Share of packets with a wrong bit behind the header. */
  readonly corrupt?: number;
}

/** What happened to the packets so far. */
export interface ImpairmentTally {
  passed: number;
  lost: number;
  delayed: number;
  reordered: number;
  duplicated: number;
  corrupted: number;
}

const OVERTAKEN_MS = 45;
/** Packets under way at once; more are lost, as in a full queue. */
const LIMIT_DELAYED = 1_000;

/** One direction's bad network: {@link ImpairedPath.send} in, `deliver` out, sooner or later. */
export class ImpairedPath implements Disposable {
  readonly tally: ImpairmentTally = {
    passed: 0,
    lost: 0,
    delayed: 0,
    reordered: 0,
    duplicated: 0,
    corrupted: 0,
  };
  readonly #clock: Clock;
  readonly #impairment: Impairment;
  readonly #deliver: (datagram: Uint8Array) => void;
  readonly #random: () => number;
  readonly #underWay = new Set<Timer>();
  #losing = false;
  #lastDueMs = 0;

  constructor(clock: Clock, impairment: Impairment, deliver: (datagram: Uint8Array) => void) {
    this.#clock = clock;
    this.#impairment = impairment;
    this.#deliver = deliver;
    this.#random = randomFrom(impairment.seed);
  }

  send(datagram: Uint8Array): void {
    const { duplicate = 0, corrupt = 0 } = this.#impairment;
    if (this.#isLost()) {
      this.tally.lost += 1;
      return;
    }
    let sent = datagram;
    if (this.#random() < corrupt) sent = this.#corrupted(datagram);
    const delayMs = this.#delayMs();
    this.#schedule(sent, delayMs);
    if (this.#random() >= duplicate) return;
    this.tally.duplicated += 1;
    this.#schedule(sent, delayMs);
  }

  /** Drops what is under way. */
  [Symbol.dispose](): void {
    for (const timer of this.#underWay) timer.cancel();
    this.#underWay.clear();
  }

  /** Gilbert's two-state model: `loss` on average, in runs of `burst` on average. */
  #isLost(): boolean {
    const { loss = 0, burst = 1 } = this.#impairment;
    if (burst <= 1 || loss >= 1) return this.#random() < loss;
    const draw = this.#random();
    const begin = loss / (burst * (1 - loss));
    this.#losing = this.#losing ? draw < 1 - 1 / burst : draw < begin;
    return this.#losing;
  }

  #delayMs(): number {
    const { delayMs = 0, jitterMs = 0, reorder = 0 } = this.#impairment;
    const drawn = delayMs + this.#random() * jitterMs;
    if (this.#random() < reorder) {
      this.tally.reordered += 1;
      return drawn + OVERTAKEN_MS;
    }
    const nowMs = this.#clock.now();
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + drawn);
    return this.#lastDueMs - nowMs;
  }

  #corrupted(datagram: Uint8Array): Uint8Array {
    const changed = datagram.slice();
    const room = Math.max(1, changed.length - RTP_HEADER_OCTETS);
    const at = Math.min(changed.length - 1, RTP_HEADER_OCTETS + Math.floor(this.#random() * room));
    changed[at] = (changed[at] ?? 0) ^ (1 << Math.floor(this.#random() * 8));
    this.tally.corrupted += 1;
    return changed;
  }

  #schedule(datagram: Uint8Array, delayMs: number): void {
    if (delayMs <= 0) return this.#pass(datagram);
    if (this.#underWay.size >= LIMIT_DELAYED) {
      this.tally.lost += 1;
      return;
    }
    this.tally.delayed += 1;
    const timer = this.#clock.after(delayMs, () => {
      this.#underWay.delete(timer);
      this.#pass(datagram);
    });
    this.#underWay.add(timer);
  }

  #pass(datagram: Uint8Array): void {
    this.tally.passed += 1;
    this.#deliver(datagram);
  }
}

/** Numbers from 0 to 1 that are the same for the same seed (Tommy Ettinger's Mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
