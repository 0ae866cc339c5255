/** Wakes the one who waits for it. A ring while nobody waits is kept for the next wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves after a ring since the wait before, when aborted, and at the latest after `longestMs`. */
  async heard({ signal, longestMs }: { signal: AbortSignal; longestMs: number }): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      const timer = setTimeout(wake, longestMs);
      signal.addEventListener("abort", wake, { once: true });
      this.#wake = wake;
      await promise;
      this.#wake = undefined;
      signal.removeEventListener("abort", wake);
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}
