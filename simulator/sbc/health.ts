import type Srf from "drachtio-srf";
import type { Clock, Timer } from "../clock.ts";
import { sendRequest } from "../drachtio/application.ts";
import type { PartyTrace } from "../trace.ts";
import { type DomainProxy, type DomainSide, nextHop } from "./domain-side.ts";

/** What the last OPTIONS to a proxy said. */
export interface ProxyHealth {
  readonly name: string;
  readonly status: "unknown" | "up" | "down";
  /** The final response's status; 0 before the first one. */
  readonly lastStatus: number;
}

export interface HealthOptions {
  srf: Srf;
  clock: Clock;
  trace: PartyTrace;
  domain: DomainSide;
  proxies: readonly DomainProxy[];
  intervalMs: number;
}

/**
 * Sends OPTIONS to each proxy at once and then every interval; Microsoft pairs the SBC only after
 * it has seen one, and takes it out of service without them.
 */
export class Health implements AsyncDisposable {
  readonly #options: HealthOptions;
  readonly #health: Map<string, ProxyHealth>;
  readonly #stop = new AbortController();
  readonly #timer: Timer;
  readonly #pending = new Set<Promise<void>>();

  constructor(options: HealthOptions) {
    this.#options = options;
    const { clock, proxies, intervalMs } = options;
    const unknown = { status: "unknown", lastStatus: 0 } as const;
    this.#health = new Map(proxies.map(({ name }) => [name, { name, ...unknown }]));
    this.#askAll();
    this.#timer = clock.every(intervalMs, () => this.#askAll());
  }

  get proxies(): readonly ProxyHealth[] {
    return [...this.#health.values()];
  }

  isDown(proxy: DomainProxy): boolean {
    return this.#health.get(proxy.name)?.status === "down";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer.cancel();
    this.#stop.abort();
    await Promise.all(this.#pending);
  }

  #askAll(): void {
    for (const proxy of this.#options.proxies) {
      const asked = this.#ask(proxy).then((status) => this.#learn(proxy.name, status));
      this.#pending.add(asked);
      void asked.finally(() => this.#pending.delete(asked));
    }
  }

  /** The final status; 503 when there is no connection, 0 when we stopped asking. */
  async #ask(proxy: DomainProxy): Promise<number> {
    const { srf, domain } = this.#options;
    const { name, port } = proxy;
    try {
      const response = await sendRequest(srf, `sip:${name}:${port};transport=tls`, {
        method: "OPTIONS",
        proxy: nextHop(proxy),
        headers: { ...domain.headers, From: domain.contact, To: `<sip:${name}:${port}>` },
        signal: this.#stop.signal,
      });
      return response.status;
    } catch {
      return this.#stop.signal.aborted ? 0 : 503;
    }
  }

  #learn(name: string, lastStatus: number): void {
    if (lastStatus === 0) return;
    const before = this.#health.get(name)?.status ?? "unknown";
    const status = lastStatus === 200 ? "up" : "down";
    this.#health.set(name, { name, status, lastStatus });
    if (status === before) return;
    const detail = { lastStatus };
    this.#options.trace.record({
      type: "state",
      subject: "proxy",
      id: name,
      from: before,
      to: status,
      detail,
    });
  }
}
