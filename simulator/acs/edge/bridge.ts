import { relay } from "../../media/relay.ts";
import type { EdgeCall } from "./call.ts";

/** Calls that were transferred and now run through the edge without an application. */
export class Bridges implements AsyncDisposable {
  readonly #pairs = new Set<Promise<void>>();
  readonly #calls = new Set<EdgeCall>();

  /** Calls that are joined now; two per transferred caller. */
  get liveCalls(): number {
    return this.#calls.size;
  }

  /** Joins the media of two calls; when one ends, the other is ended too. */
  join(a: EdgeCall, b: EdgeCall): void {
    const pair = this.#run(a, b).finally(() => this.#pairs.delete(pair));
    this.#pairs.add(pair);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#calls].map((call) => call.bye()));
    await Promise.all(this.#pairs);
  }

  async #run(a: EdgeCall, b: EdgeCall): Promise<void> {
    this.#calls.add(a).add(b);
    using _relay = relay(a.media, b.media);
    await Promise.race([a.ended, b.ended]);
    // One of them is over already; the other hears that it was not its own doing.
    const reason = "CallEndReasonRemoteUserInitiated";
    await Promise.all([a.bye(reason), b.bye(reason)]);
    this.#calls.delete(a);
    this.#calls.delete(b);
  }
}
