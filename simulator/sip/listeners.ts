/**
 * Listeners of one kind of news. What came before the first listener is kept (up to `limitKept`)
 * and told to each new one, so nothing is lost between a call that returns an object and the
 * caller's subscription.
 */
export class Listeners<News extends readonly unknown[]> {
  // Most transactions have few listeners and little news; what is not used is not made.
  #listeners: Set<(...news: News) => void> | undefined;
  #past: News[] | undefined;
  readonly #limitKept: number;

  constructor(limitKept = 64) {
    this.#limitKept = limitKept;
  }

  add(listener: (...news: News) => void): () => void {
    for (const news of this.#past ?? []) listener(...news);
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => void this.#listeners?.delete(listener);
  }

  tell(...news: News): void {
    this.#past ??= [];
    if (this.#past.length < this.#limitKept) this.#past.push(news);
    for (const listener of this.#listeners ?? []) listener(...news);
  }
}
