/** How much a new frame weighs in a speaker's level: about 200 ms of memory. */
const WEIGHT = 0.1;

/** Who speaks loudest: at most `limit` of the speakers are dominant at a time. */
export class Dominance {
  readonly #limit: number;
  readonly #levels = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes a speaker's next 20 ms; true when that speaker is among the loudest. */
  hear(speaker: string, samples: Int16Array): boolean {
    const before = this.#levels.get(speaker) ?? 0;
    const level = before + WEIGHT * (meanLevel(samples) - before);
    this.#levels.set(speaker, level);
    return this.#rank(speaker, level) < this.#limit;
  }

  /** Of somebody who has left, so that the place is free. */
  forget(speaker: string): void {
    this.#levels.delete(speaker);
  }

  /** How many are louder; of equals the one who was there first. */
  #rank(speaker: string, level: number): number {
    let rank = 0;
    let isEarlier = true;
    for (const [other, otherLevel] of this.#levels) {
      if (other === speaker) isEarlier = false;
      else if (otherLevel > level || (isEarlier && otherLevel === level)) rank++;
    }
    return rank;
  }
}

function meanLevel(samples: Int16Array): number {
  let total = 0;
  for (const sample of samples) total += Math.abs(sample);
  return samples.length === 0 ? 0 : total / samples.length;
}
