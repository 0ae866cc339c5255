import type { Clock, Timer } from "../clock.ts";
import { FRAME_MS, type Frame } from "../media/frame.ts";
import { Resampler } from "../media/resample.ts";
import { BRIDGE_RATE_HZ } from "./bridge-source.ts";
import { type LegEnd, type PstnLeg, PstnRefusal } from "./pstn.ts";
import { SampleQueue } from "./sample-queue.ts";

const FRAME_SAMPLES = (BRIDGE_RATE_HZ * FRAME_MS) / 1000;

export interface VoipPairOptions {
  readonly clock: Clock;
  readonly id: string;
  /** Raw ids of caller and called. */
  readonly from: string;
  readonly to: string;
  readonly correlationId: string;
}

/**
 * A call between two applications: what one end writes, the other hears, 20 ms at a time. `near` is
 * the caller's end, `far` rings at the called application.
 */
export function createVoipPair(options: VoipPairOptions): {
  near: PstnLeg;
  far: PstnLeg;
  /** Resolves when `far` is answered; rejects when it is refused or given up. */
  answered: Promise<void>;
} {
  const near = new VoipEnd("outgoing", options);
  const far = new VoipEnd("incoming", options);
  near.join(far);
  far.join(near);
  let ticker: Timer | undefined;
  const stop = () => ticker?.cancel();
  const answered = Promise.withResolvers<void>();
  far.onAnswer = () => {
    ticker ??= options.clock.every(FRAME_MS, () => {
      near.tick();
      far.tick();
    });
    answered.resolve();
  };
  far.onReject = (status, reason) =>
    answered.reject(
      new PstnRefusal(`${reason}. DiagCode: ${status}#0.@`, { code: status, subCode: 0 }),
    );
  const cancelled = new PstnRefusal("The call was cancelled.", { code: 487, subCode: 8542 });
  void near.ended.then(() => stop());
  void near.ended.then(() => answered.reject(cancelled));
  answered.promise.catch(() => {}); // A caller that gave up has stopped listening.
  return { near, far, answered: answered.promise };
}

class VoipEnd implements PstnLeg {
  readonly id: string;
  readonly direction: PstnLeg["direction"];
  readonly from: string;
  readonly to: string;
  readonly sipHeaders = {};
  readonly correlationId: string;
  onAnswer: () => void = () => {};
  onReject: (status: number, reason: string) => void = () => {};
  readonly #clock: Clock;
  readonly #queue = new SampleQueue();
  readonly #frames = new Set<(frame: Frame) => void>();
  readonly #digits = new Set<(digit: string) => void>();
  readonly #ended = Promise.withResolvers<LegEnd>();
  #peer: VoipEnd | undefined;
  #resampler: Resampler | undefined;

  constructor(direction: PstnLeg["direction"], options: VoipPairOptions) {
    this.direction = direction;
    this.id = `${options.id}-${direction}`;
    this.from = options.from;
    this.to = options.to;
    this.correlationId = options.correlationId;
    this.#clock = options.clock;
  }

  get ended(): Promise<LegEnd> {
    return this.#ended.promise;
  }

  get queuedMs(): number {
    return (this.#queue.length * 1000) / BRIDGE_RATE_HZ;
  }

  join(peer: VoipEnd): void {
    this.#peer = peer;
  }

  async answer(): Promise<void> {
    this.onAnswer();
  }

  reject(status: number, reason: string): void {
    this.onReject(status, reason);
    this.#end();
  }

  async hangUp(): Promise<void> {
    this.#end();
  }

  async transfer(): Promise<void> {
    const message = "A call between applications cannot be transferred to a telephone number.";
    throw new PstnRefusal(message, { code: 405, subCode: 8520 });
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
    this.#queue.push(this.#atBridgeRate(samples, rateHz));
  }

  flush(): number {
    return (this.#queue.clear() * 1000) / BRIDGE_RATE_HZ;
  }

  async sendDigits(digits: string): Promise<void> {
    for (const digit of digits) this.#peer?.hearDigit(digit);
  }

  /** Sends the next 20 ms to the other end, silence when nothing waits. */
  tick(): void {
    const samples = new Int16Array(FRAME_SAMPLES);
    samples.set(this.#queue.shift(FRAME_SAMPLES));
    this.#peer?.hear({ samples, rateHz: BRIDGE_RATE_HZ, atMs: this.#clock.now() });
  }

  hear(frame: Frame): void {
    for (const listener of this.#frames) listener(frame);
  }

  hearDigit(digit: string): void {
    for (const listener of this.#digits) listener(digit);
  }

  finish(end: LegEnd): void {
    this.#ended.resolve(end);
  }

  #end(): void {
    this.finish({ by: "local" });
    this.#peer?.finish({ by: "peer" });
  }

  #atBridgeRate(samples: Int16Array, rateHz: number): Int16Array {
    if (rateHz === BRIDGE_RATE_HZ) return samples;
    if (this.#resampler?.fromHz !== rateHz) this.#resampler = new Resampler(rateHz, BRIDGE_RATE_HZ);
    return this.#resampler.process(samples);
  }
}
