/**
 * Which applications asked for which method, and whose turn it is. drachtio-srf repeats every
 * `route` each time it adds one, so adding twice is the same as adding once.
 */
export class Routes<Application> {
  readonly #applications = new Map<string, Application[]>();

  add(verb: string, application: Application): void {
    const taking = this.#applications.get(verb) ?? [];
    if (taking.includes(application)) return;
    this.#applications.set(verb, [...taking, application]);
  }

  remove(verb: string, application: Application): void {
    const taking = this.#applications.get(verb)?.filter((other) => other !== application);
    if (taking === undefined) return;
    if (taking.length === 0) this.#applications.delete(verb);
    else this.#applications.set(verb, taking);
  }

  /** An application left: nothing goes to it any more. */
  removeAll(application: Application): void {
    for (const verb of this.#applications.keys()) this.remove(verb, application);
  }

  has(verb: string): boolean {
    return this.#applications.has(verb);
  }

  /** The application whose turn it is; it goes to the end of the line. */
  next(verb: string): Application | undefined {
    const [first, ...others] = this.#applications.get(verb) ?? [];
    if (first !== undefined) this.#applications.set(verb, [...others, first]);
    return first;
  }
}
