import { Resampler } from "./resample.ts";

const RATE_HZ = 8_000;
const SAMPLES_PER_MS = RATE_HZ / 1_000;
/** A writer in step with the clock is allowed to be this late before its audio shows a gap. */
const PRIME_MS = 40;

interface Item {
  readonly samples: Int16Array;
  sent: number;
  /** Called once, when the last sample left or the item was dropped. */
  readonly done?: (playedMs: number) => void;
}

/**
 * What a leg is going to say, as a FIFO of 8 kHz audio. Streamed audio ({@link AudioQueue.write})
 * waits until {@link PRIME_MS} are there or as long has passed; whole pieces start at once.
 */
export class AudioQueue {
  readonly #limitSamples: number;
  readonly #items: Item[] = [];
  #queued = 0;
  #resampler: Resampler | undefined;
  #flowing = false;
  #waitedSamples = 0;
  #droppedSamples = 0;

  constructor({ limitMs }: { limitMs: number }) {
    this.#limitSamples = limitMs * SAMPLES_PER_MS;
  }

  get queuedMs(): number {
    return this.#queued / SAMPLES_PER_MS;
  }

  /** Audio that found the queue full. */
  get droppedMs(): number {
    return this.#droppedSamples / SAMPLES_PER_MS;
  }

  write(samples: Int16Array, rateHz: number): void {
    if (rateHz !== RATE_HZ && this.#resampler?.fromHz !== rateHz) {
      this.#push(this.#resampler?.flush() ?? new Int16Array(0));
      this.#resampler = new Resampler(rateHz, RATE_HZ);
    }
    const converted = rateHz === RATE_HZ ? samples.slice() : this.#resampler?.process(samples);
    if (converted !== undefined) this.#push(converted);
  }

  /** `done` gets the milliseconds that were played, all or less. Returns what drops the piece. */
  play(samples: Int16Array, done: (playedMs: number) => void): () => void {
    const item: Item = { samples, sent: 0, done };
    this.#flowing = true;
    if (samples.length === 0 || !this.#push(samples, item)) {
      done(0);
      return () => {};
    }
    return () => this.#drop(item);
  }

  /** The next samples into `frame`, padded with silence; false when there is nothing to say. */
  take(frame: Int16Array): boolean {
    if (this.#flowing && this.#queued < frame.length) this.#end();
    if (!this.#isReady(frame.length)) return false;
    let filled = 0;
    for (let item = this.#items[0]; item && filled < frame.length; item = this.#items[0]) {
      const piece = item.samples.subarray(item.sent, item.sent + frame.length - filled);
      frame.set(piece, filled);
      filled += piece.length;
      item.sent += piece.length;
      this.#queued -= piece.length;
      if (item.sent === item.samples.length) this.#finish(item);
    }
    return true;
  }

  /** Drops everything that waits; returns how many milliseconds that were. */
  flush(): number {
    const droppedMs = this.queuedMs;
    for (const item of this.#items.splice(0)) item.done?.(item.sent / SAMPLES_PER_MS);
    this.#queued = 0;
    this.#resampler = undefined;
    this.#flowing = false;
    return droppedMs;
  }

  #isReady(frameSamples: number): boolean {
    if (this.#queued === 0) {
      this.#flowing = false;
      this.#waitedSamples = 0;
      return false;
    }
    this.#waitedSamples += frameSamples;
    const primeSamples = PRIME_MS * SAMPLES_PER_MS;
    this.#flowing ||= this.#queued >= primeSamples || this.#waitedSamples > primeSamples;
    return this.#flowing;
  }

  /** The stream ran dry: what the resampler still holds belongs to it. */
  #end(): void {
    const tail = this.#resampler?.flush();
    if (tail !== undefined) this.#push(tail);
    this.#resampler = undefined;
  }

  #push(samples: Int16Array, item: Item = { samples, sent: 0 }): boolean {
    if (samples.length === 0) return true;
    if (this.#queued + samples.length > this.#limitSamples) {
      this.#droppedSamples += samples.length;
      return false;
    }
    this.#items.push(item);
    this.#queued += samples.length;
    return true;
  }

  #drop(item: Item): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    this.#queued -= item.samples.length - item.sent;
    item.done?.(item.sent / SAMPLES_PER_MS);
  }

  #finish(item: Item): void {
    this.#items.shift();
    item.done?.(item.sent / SAMPLES_PER_MS);
  }
}
