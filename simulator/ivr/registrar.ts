import type { Clock } from "../clock.ts";

/** Where a registered phone is reached. */
export interface Binding {
  /** User part of the address of record: the phone's number. */
  readonly number: string;
  readonly contact: string;
  /** Lab time at which it runs out. */
  readonly expiresAtMs: number;
}

export interface RegistrarOptions {
  clock: Clock;
  /** Granted when a phone asks for more or names nothing. Default 600. */
  maxExpiresSeconds?: number;
  /** Default 1,000. */
  maxBindings?: number;
}

/** One REGISTER, already taken apart. `contact` undefined: a query (RFC 3261 §10.2.3). */
export interface RegisterRequest {
  number: string;
  contact?: string;
  /** The Contact's `expires` parameter, else the Expires header. */
  expiresSeconds?: number;
}

/** What is registered after a REGISTER. */
export interface Registered {
  contact?: string;
  /** 0: nothing. */
  expiresSeconds: number;
}

/** `sip:user@host`: what stands between `<` and `>`, and the parameters of the header behind it. */
export function parseContact(header: string): { contact: string; expiresSeconds?: number } {
  const [, uri = header, parameters = ""] = /<([^>]*)>(.*)/.exec(header) ?? [];
  const expires = /;\s*expires\s*=\s*(\d+)/i.exec(parameters)?.[1];
  return { contact: uri, ...(expires === undefined ? {} : { expiresSeconds: Number(expires) }) };
}

/** The location service of the queue's daemon (RFC 3261 §10): one contact for each number. */
export class Registrar {
  readonly #clock: Clock;
  readonly #maxExpiresSeconds: number;
  readonly #maxBindings: number;
  readonly #bindings = new Map<string, Binding>();

  constructor({ clock, maxExpiresSeconds = 600, maxBindings = 1_000 }: RegistrarOptions) {
    this.#clock = clock;
    this.#maxExpiresSeconds = maxExpiresSeconds;
    this.#maxBindings = maxBindings;
  }

  /** Undefined when there is no room (503). Without a contact it only asks. */
  register(request: RegisterRequest): Registered | undefined {
    const { number, contact, expiresSeconds = this.#maxExpiresSeconds } = request;
    if (contact === undefined) return this.#registered(number);
    const granted = Math.min(expiresSeconds, this.#maxExpiresSeconds);
    this.#bindings.delete(number);
    if (granted === 0) return { expiresSeconds: 0 };
    if (this.bindings().length >= this.#maxBindings) return undefined;
    const expiresAtMs = this.#clock.now() + granted * 1_000;
    this.#bindings.set(number, { number, contact, expiresAtMs });
    return { contact, expiresSeconds: granted };
  }

  #registered(number: string): Registered {
    const binding = this.bindings().find((each) => each.number === number);
    if (binding === undefined) return { expiresSeconds: 0 };
    const leftMs = binding.expiresAtMs - this.#clock.now();
    return { contact: binding.contact, expiresSeconds: Math.ceil(leftMs / 1_000) };
  }

  /** Whoever is reachable now, longest registered first. */
  bindings(): Binding[] {
    const now = this.#clock.now();
    for (const [number, { expiresAtMs }] of this.#bindings) {
      if (expiresAtMs <= now) this.#bindings.delete(number);
    }
    return [...this.#bindings.values()];
  }
}
