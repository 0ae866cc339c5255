/** A FIFO of mono samples; the unit of reading is free. */
export class SampleQueue {
  readonly #chunks: Int16Array[] = [];
  #head = 0;
  #length = 0;

  /** Samples that wait. */
  get length(): number {
    return this.#length;
  }

  push(samples: Int16Array): void {
    if (samples.length === 0) return;
    this.#chunks.push(samples);
    this.#length += samples.length;
  }

  /** Up to `count` samples from the front; fewer when fewer wait. */
  shift(count: number): Int16Array {
    const taken = new Int16Array(Math.min(count, this.#length));
    for (let filled = 0; filled < taken.length; ) {
      const chunk = this.#chunks[0] ?? taken;
      const piece = chunk.subarray(this.#head, this.#head + taken.length - filled);
      taken.set(piece, filled);
      filled += piece.length;
      this.#head += piece.length;
      if (this.#head < chunk.length) continue;
      this.#chunks.shift();
      this.#head = 0;
    }
    this.#length -= taken.length;
    return taken;
  }

  /** Empties the queue; returns how many samples were dropped. */
  clear(): number {
    const dropped = this.#length;
    this.#chunks.length = 0;
    this.#head = 0;
    this.#length = 0;
    return dropped;
  }
}
