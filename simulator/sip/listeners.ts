/** News kept for listeners to come. */
const LIMIT_KEPT = 64;

/**
 * Listeners of one kind of news. What came before a listener is kept (up to {@link LIMIT_KEPT}) and
 * told to it at once, so nothing is lost between a call that returns an object and the caller's
 * subscription. A listener that throws harms nobody else: what it throws goes to `fault`.
 */
export class Listeners<News extends readonly unknown[]> {
  // Most transactions have few listeners and little news; what is not used is not made.
  #listeners: Set<(...news: News) => void> | undefined;
  #past: News[] | undefined;
  readonly #fault: (error: unknown) => void;

  constructor(fault: (error: unknown) => void) {
    this.#fault = fault;
  }

  add(listener: (...news: News) => void): () => void {
    for (const news of this.#past ?? []) listener(...news);
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => void this.#listeners?.delete(listener);
  }

  tell(...news: News): void {
    this.#past ??= [];
    if (this.#past.length < LIMIT_KEPT) this.#past.push(news);
    // A copy: who is added on the way has had this piece from the past already.
    for (const listener of Array.from(this.#listeners ?? [])) {
      if (this.#listeners?.has(listener)) this.#tellOne(listener, news);
    }
  }

  #tellOne(listener: (...news: News) => void, news: News): void {
    try {
      listener(...news);
    } catch (error) {
      this.#fault(error);
    }
  }
}
