/**
 * Listeners of one kind of news. What came before the first listener is kept (up to `limitKept`)
 * and told to each new one, so nothing is lost between a call that returns an object and the
 * caller's subscription.
 */
export class Listeners<News extends readonly unknown[]> {
  readonly #listeners = new Set<(...news: News) => void>();
  readonly #past: News[] = [];
  readonly #limitKept: number;

  constructor(limitKept = 64) {
    this.#limitKept = limitKept;
  }

  add(listener: (...news: News) => void): () => void {
    for (const news of this.#past) listener(...news);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(...news: News): void {
    if (this.#past.length < this.#limitKept) this.#past.push(news);
    for (const listener of this.#listeners) listener(...news);
  }
}
