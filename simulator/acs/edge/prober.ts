import type { Timer } from "../../clock.ts";
import { SipRequest, type SipResponse } from "../../sip/message.ts";
import type { Trunk } from "../resource.ts";
import type { Datacenter } from "./datacenter.ts";
import { hexId } from "./identity.ts";
import type { EdgeServices } from "./services.ts";

/**
 * Our OPTIONS to the border controllers. A trunk is probed from every datacenter once its own first
 * valid OPTIONS has come, and from then on at an interval; before that nothing is sent to it.
 */
export class Prober implements AsyncDisposable {
  readonly #edge: EdgeServices;
  readonly #timers = new Map<string, Timer>();
  readonly #probes = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(edge: EdgeServices) {
    this.#edge = edge;
  }

  /** Begins to probe a trunk; further calls change nothing. */
  start({ fqdn }: Trunk): void {
    const { clock, datacenters } = this.#edge.options;
    const key = fqdn.toLowerCase();
    if (this.#timers.has(key) || this.#abort.signal.aborted) return;
    const round = () => {
      for (const datacenter of datacenters) this.#probe(fqdn, datacenter);
    };
    this.#timers.set(key, clock.every(this.#edge.policy.optionsIntervalMs, round));
    round();
  }

  /** The trunk was deleted: a probe that is under way tells nothing of what is paired next. */
  stop(fqdn: string): void {
    const key = fqdn.toLowerCase();
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#abort.abort(new Error("the edge is closing"));
    await Promise.all(this.#probes);
  }

  #probe(fqdn: string, datacenter: Datacenter): void {
    const { resource, health } = this.#edge.options;
    const trunk = resource.trunk(fqdn);
    health.refresh(fqdn);
    if (trunk === undefined || !trunk.enabled || datacenter.stack === undefined) return;
    const probe = this.#judge(trunk, datacenter).finally(() => this.#probes.delete(probe));
    this.#probes.add(probe);
  }

  async #judge(trunk: Trunk, datacenter: Datacenter): Promise<void> {
    const key = trunk.fqdn.toLowerCase();
    const timer = this.#timers.get(key);
    const answered = await this.#ask(trunk, datacenter);
    const wasDeleted = this.#timers.get(key) !== timer;
    if (wasDeleted) return;
    this.#edge.options.health.probeEnded(trunk.fqdn, datacenter.name, answered);
  }

  /** True: answered with less than 400. */
  async #ask(trunk: Trunk, datacenter: Datacenter): Promise<boolean> {
    const { clock, findings } = this.#edge.options;
    const { optionsTimeoutMs } = this.#edge.policy;
    const late = new AbortController();
    using _deadline = clock.after(optionsTimeoutMs, () =>
      late.abort(new Error(`no answer within ${optionsTimeoutMs} ms`)),
    );
    const signal = AbortSignal.any([late.signal, this.#abort.signal]);
    try {
      const response = await this.#send(trunk, datacenter, signal);
      if (response.status < 400) return true;
      const text = `OPTIONS from ${datacenter.name} to ${trunk.fqdn} got ${response.status}`;
      findings.add("PROBE_REFUSED", text);
    } catch (error) {
      const reason: unknown = late.signal.aborted ? late.signal.reason : error;
      const text = `OPTIONS from ${datacenter.name} to ${trunk.fqdn}: ${String(reason)}`;
      if (!this.#abort.signal.aborted) findings.add("PROBE_FAILED", text);
    }
    return false;
  }

  async #send(trunk: Trunk, datacenter: Datacenter, signal: AbortSignal): Promise<SipResponse> {
    const { ids } = this.#edge.options;
    const host = `sip-du-a-${datacenter.region.slice(0, 2).toLowerCase()}.pstnhub.microsoft.com`;
    const own = `<sip:${host}:${datacenter.port};transport=tls>`;
    const target = this.#edge.endpoint(trunk);
    const request = new SipRequest({
      method: "OPTIONS",
      uri: `sip:${trunk.fqdn}:${trunk.sipSignalingPort};transport=tls`,
      headers: {
        From: `${own};tag=${hexId(ids)}`,
        To: `<sip:${trunk.fqdn}:${trunk.sipSignalingPort};transport=tls>`,
        CSeq: "1 OPTIONS",
        "Call-ID": hexId(ids),
        "Max-Forwards": "70",
        Contact: own,
      },
    });
    return await this.#edge.stack(datacenter).request(request, { target, signal }).final;
  }
}
