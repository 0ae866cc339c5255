import { createServer } from "node:net";
import type { Clock } from "../clock.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import type { Timers } from "../sip/timers.ts";
import type { PartyTrace } from "../trace.ts";
import { Bridges } from "./edge/bridge.ts";
import type { EdgeCall } from "./edge/call.ts";
import { parseRoots } from "./edge/chain.ts";
import {
  Datacenter,
  type DatacenterSettings,
  type DatacenterState,
  type ServerCertificate,
} from "./edge/datacenter.ts";
import { dialRoutes } from "./edge/dial.ts";
import { type Finding, Findings } from "./edge/findings.ts";
import { apiHost } from "./edge/identity.ts";
import type { IncomingInvite } from "./edge/invite.ts";
import { EdgeLeg } from "./edge/leg.ts";
import { DEFAULT_EDGE_POLICY, type EdgePolicy } from "./edge/policy.ts";
import { Prober } from "./edge/prober.ts";
import { EdgeRouter, NOBODY } from "./edge/router.ts";
import { EdgeServices } from "./edge/services.ts";
import { TransferEngine } from "./edge/transfer.ts";
import { freshIds, type IdSource } from "./ids.ts";
import type { DialOptions, PstnGateway, PstnLeg } from "./pstn.ts";
import type { Resource } from "./resource.ts";
import { TrunkHealth, type TrunkStatus } from "./trunk-health.ts";

export interface DirectRoutingOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly resource: Resource;
  /** Default: sip, sip2 and sip3.pstnhub.microsoft.com on 127.0.0.1, any free ports. */
  readonly datacenters?: readonly DatacenterSettings[];
  /** Shown to border controllers, dialling and dialled; should name all three FQDNs. */
  readonly certificate: ServerCertificate;
  /** PEM; authorities that border controllers' certificates may come from. */
  readonly trustedRoots: readonly string[];
  /** Address of the media sockets. Default 127.0.0.1. */
  readonly mediaHost?: string;
  /** Name table for border controllers whose trunk has no address of its own. */
  readonly resolve?: (fqdn: string) => string | undefined;
  readonly policy?: Partial<EdgePolicy>;
  readonly timers?: Partial<Timers>;
  readonly ids?: IdSource;
  /**
   * Seed it for the same order of trunks in every run. Default: that of `ids`, which a seed does
   * not make repeatable here, because probes draw on it too.
   */
  readonly random?: () => number;
  readonly faults?: FaultPlan;
}

/** Where a datacenter listens, and under which name border controllers dial it. */
export interface DatacenterAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Microsoft's side of Direct Routing: TLS ports, trunk health, calls both ways, transfers. */
export interface DirectRouting extends PstnGateway, AsyncDisposable {
  /** In the order a border controller should try them. */
  readonly datacenters: readonly DatacenterAddress[];
  /** Every host name that our messages use, for the border controller's name table. */
  readonly names: readonly DatacenterAddress[];
  /** What was out of order so far. */
  readonly findings: readonly Finding[];
  /** Dialogs that are up, transferred ones included; a leak check. */
  readonly liveDialogs: number;
  /** Throws a RangeError for an unknown datacenter. */
  setDatacenter(name: string, state: DatacenterState): Promise<void>;
  trunkStatus(fqdn: string): TrunkStatus;
  /** Called for each change of a trunk's status. Returns the function that stops it. */
  onTrunkStatus(listener: (fqdn: string, status: TrunkStatus) => void): () => void;
  /** Rejects with an error that says the status reached when the time is over. */
  waitForOnline(fqdn: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
}

const DEFAULT_DATACENTERS: readonly Required<Pick<DatacenterSettings, "name" | "region">>[] = [
  { name: "sip.pstnhub.microsoft.com", region: "USEA.5" },
  { name: "sip2.pstnhub.microsoft.com", region: "EUWE.3" },
  { name: "sip3.pstnhub.microsoft.com", region: "ASEA.5" },
];

/** Opens the ports. Rejects when one cannot be had or the certificate is unusable. */
export async function startDirectRouting(options: DirectRoutingOptions): Promise<DirectRouting> {
  const policy = { ...DEFAULT_EDGE_POLICY, ...options.policy };
  const datacenters: Datacenter[] = [];
  const otherAddress = (await hasAddress(policy.otherAddress)) ? policy.otherAddress : undefined;
  const edge = createServices(options, { policy, datacenters, otherAddress });
  const routing = new Edge(edge);
  const settings = options.datacenters ?? DEFAULT_DATACENTERS;
  try {
    for (const [index, setting] of settings.entries()) {
      const region = DEFAULT_DATACENTERS[index]?.region ?? "USEA.5";
      datacenters.push(
        await Datacenter.start({
          host: "127.0.0.1",
          port: 0,
          region,
          ...setting,
          clock: options.clock,
          trace: options.trace,
          certificate: options.certificate,
          trustedRoots: options.trustedRoots,
          policy,
          timers: options.timers,
          onRequest: routing.receive,
        }),
      );
    }
    return routing;
  } catch (error) {
    await routing[Symbol.asyncDispose]();
    throw error;
  }
}

/** Linux answers on all of 127.0.0.0/8; macOS has 127.0.0.1 alone. */
async function hasAddress(host: string): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once("error", () => resolve(false));
  server.listen(0, host, () => server.close(() => resolve(true)));
  return await promise;
}

interface ServiceParts {
  readonly policy: EdgePolicy;
  readonly datacenters: readonly Datacenter[];
  readonly otherAddress: string | undefined;
}

function createServices(options: DirectRoutingOptions, parts: ServiceParts): EdgeServices {
  const { policy, datacenters, otherAddress } = parts;
  const { clock, trace, resource, ids = freshIds, mediaHost = "127.0.0.1" } = options;
  return new EdgeServices({
    clock,
    trace,
    resource,
    policy,
    ids,
    random: options.random ?? (() => ids.random()),
    mediaHost,
    otherAddress,
    faults: options.faults ?? faultPlan(),
    findings: new Findings(trace),
    health: new TrunkHealth({ clock, trace, policy }),
    datacenters,
    trustedRoots: parseRoots(options.trustedRoots),
    resolve: options.resolve,
  });
}

/** How long disposal waits for the answers to its BYEs, in lab time. */
const FAREWELL_MS = 2_000;

class Edge implements DirectRouting {
  readonly #edge: EdgeServices;
  readonly #bridges = new Bridges();
  readonly #transfers: TransferEngine;
  readonly #prober: Prober;
  readonly #router: EdgeRouter;
  readonly #stopListening: () => void;
  #onIncoming: ((leg: PstnLeg) => void) | undefined;

  constructor(edge: EdgeServices) {
    this.#edge = edge;
    this.#transfers = new TransferEngine(edge, this.#bridges);
    this.#prober = new Prober(edge);
    this.#router = new EdgeRouter({
      edge,
      prober: this.#prober,
      transfers: this.#transfers,
      onCall: (invite) => this.#ring(invite),
    });
    const { resource, health } = edge.options;
    this.#stopListening = resource.onTrunkDeleted((fqdn) => {
      this.#prober.stop(fqdn);
      health.forget(fqdn);
    });
  }

  get receive() {
    return this.#router.receive;
  }

  get datacenters(): readonly DatacenterAddress[] {
    const { datacenters } = this.#edge.options;
    return datacenters.map(({ name, host, port }) => ({ name, host, port }));
  }

  get names(): readonly DatacenterAddress[] {
    const { datacenters } = this.#edge.options;
    return datacenters.flatMap(({ name, region, host, port }) =>
      [name, apiHost(region)].map((each) => ({ name: each, host, port })),
    );
  }

  get findings(): readonly Finding[] {
    return this.#edge.options.findings.all;
  }

  get liveDialogs(): number {
    return this.#edge.liveDialogs;
  }

  async setDatacenter(name: string, state: DatacenterState): Promise<void> {
    const { datacenters } = this.#edge.options;
    const found = datacenters.find((datacenter) => datacenter.name === name);
    if (found === undefined) {
      const known = datacenters.map((datacenter) => datacenter.name).join(", ");
      throw new RangeError(`expected a datacenter of ${known}, got ${name}`);
    }
    await found.setState(state);
  }

  trunkStatus(fqdn: string): TrunkStatus {
    return this.#edge.options.health.status(fqdn);
  }

  onTrunkStatus(listener: (fqdn: string, status: TrunkStatus) => void): () => void {
    return this.#edge.options.health.onChange(listener);
  }

  async waitForOnline(
    fqdn: string,
    { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = () => {
      if (this.trunkStatus(fqdn).overall === "online") resolve();
    };
    const stop = this.onTrunkStatus(check);
    const abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    using _deadline = this.#edge.options.clock.after(timeoutMs, () =>
      reject(new Error(`trunk ${fqdn} is not online after ${timeoutMs} ms: ${this.#report(fqdn)}`)),
    );
    check();
    try {
      await promise;
    } finally {
      stop();
      signal?.removeEventListener("abort", abort);
    }
  }

  onIncoming(handler: (leg: PstnLeg) => void): void {
    this.#onIncoming = handler;
  }

  async dial(to: string, options: DialOptions): Promise<PstnLeg> {
    const { from } = options;
    const call = await dialRoutes(this.#edge, { ...options, to });
    return new EdgeLeg({ call }, { from, to, transfer: this.#transfer });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { clock, datacenters } = this.#edge.options;
    this.#stopListening();
    await this.#prober[Symbol.asyncDispose]();
    const farewell = Promise.all([this.#bridges[Symbol.asyncDispose](), this.#edge.endAll()]);
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    using _deadline = clock.after(FAREWELL_MS, resolve);
    await Promise.race([farewell, patience]);
    await Promise.all(datacenters.map((datacenter) => datacenter[Symbol.asyncDispose]()));
    await farewell;
    await this.#router[Symbol.asyncDispose]();
  }

  readonly #transfer = (call: EdgeCall, order: Parameters<TransferEngine["transfer"]>[1]) =>
    this.#transfers.transfer(call, order);

  #ring(invite: IncomingInvite): void {
    if (this.#onIncoming === undefined) {
      invite.refuse(NOBODY);
      return;
    }
    if (this.#edge.policy.ringing) invite.ring();
    const { from, to } = invite;
    this.#onIncoming(new EdgeLeg({ invite }, { from, to, transfer: this.#transfer }));
  }

  #report(fqdn: string): string {
    const { overall, tls, ping } = this.trunkStatus(fqdn);
    const last = this.findings.at(-1);
    const finding = last === undefined ? "" : `; last finding: ${last.message}`;
    return `status ${overall}, tls ${tls}, ping ${ping}${finding}`;
  }
}
