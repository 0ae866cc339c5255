import type {
  RealtimeClientEvent,
  RealtimeResponseCreateParams as ResponseParameters,
} from "openai/resources/realtime/realtime";

/** Sentences and answers that wait for the one before them, at most. */
const LIMIT_WAITING = 20;

interface Asked {
  readonly label: string;
  readonly response: ResponseParameters;
}

/**
 * One response at a time: the service refuses a second one while the first is being made, and may
 * have begun one by itself, after the caller's turn, that the agent does not know of yet.
 */
export class ResponseQueue {
  readonly #send: (event: RealtimeClientEvent) => void;
  readonly #waiting: Asked[] = [];
  #asked: Asked | undefined;
  #busy = false;
  #made = 0;

  constructor(send: (event: RealtimeClientEvent) => void) {
    this.#send = send;
  }

  ask(response: ResponseParameters): string {
    if (this.#waiting.length >= LIMIT_WAITING) throw new RangeError("too many responses wait");
    const label = `ask-${++this.#made}`;
    this.#waiting.push({ label, response });
    this.#next();
    return label;
  }

  created(label: string | undefined): void {
    this.#busy = true;
    if (this.#asked?.label === label) this.#asked = undefined;
  }

  done(): void {
    this.#busy = false;
    this.#next();
  }

  /** The service had begun a response of its own; what was asked waits for its end. Whether it was ours. */
  refused(label: string | null | undefined): boolean {
    if (this.#asked === undefined || this.#asked.label !== label) return false;
    this.#waiting.unshift(this.#asked);
    this.#asked = undefined;
    this.#busy = true;
    return true;
  }

  #next(): void {
    if (this.#busy || this.#asked !== undefined) return;
    this.#asked = this.#waiting.shift();
    if (this.#asked === undefined) return;
    const { label, response } = this.#asked;
    this.#send({
      type: "response.create",
      event_id: label,
      response: { ...response, metadata: { label } },
    });
  }
}
