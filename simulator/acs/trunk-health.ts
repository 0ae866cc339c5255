import type { Clock } from "../clock.ts";
import type { PartyTrace } from "../trace.ts";
import type { EdgePolicy } from "./edge/policy.ts";

/** A trunk's state as portal and SDK show it; `reason` says why it is inactive. */
export interface TrunkStatus {
  readonly tls: "unknown" | "active" | "certExpiring" | "certExpired";
  readonly ping: "unknown" | "active" | "expired" | "error";
  readonly overall: "unknown" | "online" | "inactive";
  readonly reason?: "noRecentPings" | "certExpired" | "pingError";
}

export interface TrunkHealthOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly policy: Pick<EdgePolicy, "healthyForMs" | "certificateWarningMs">;
}

const UNKNOWN: TrunkStatus = { tls: "unknown", ping: "unknown", overall: "unknown" };

interface TrunkRecord {
  certificateEnds?: Date;
  /** Lab time of the last valid OPTIONS, by the datacenter that got it. */
  readonly seen: Map<string, number>;
  /** Did the last probe succeed, by the datacenter that sent it. */
  readonly probes: Map<string, boolean>;
  shown: TrunkStatus;
}

/**
 * What the edge knows of each trunk's health: certificate, OPTIONS received, OPTIONS answered.
 * Online takes all three (TLS and both directions); a change is traced.
 */
export class TrunkHealth {
  readonly #options: TrunkHealthOptions;
  readonly #records = new Map<string, TrunkRecord>();
  readonly #listeners = new Set<(fqdn: string, status: TrunkStatus) => void>();

  constructor(options: TrunkHealthOptions) {
    this.#options = options;
  }

  /** A handshake with the trunk's certificate, good or merely expired. */
  certificateSeen(fqdn: string, ends: Date): void {
    this.#record(fqdn).certificateEnds = ends;
    this.refresh(fqdn);
  }

  /** A valid OPTIONS arrived. */
  pingReceived(fqdn: string, datacenter: string): void {
    this.#record(fqdn).seen.set(datacenter, this.#options.clock.now());
    this.refresh(fqdn);
  }

  /** Our own OPTIONS was answered with 2xx or 3xx, or was not. */
  probeEnded(fqdn: string, datacenter: string, succeeded: boolean): void {
    this.#record(fqdn).probes.set(datacenter, succeeded);
    this.refresh(fqdn);
  }

  /** Has a valid OPTIONS ever arrived? Before that nothing is sent to a trunk. */
  wasSeen(fqdn: string): boolean {
    return this.#record(fqdn).seen.size > 0;
  }

  /** The datacenters whose view of the trunk is fresh and whose last probe did not fail. */
  isHealthyAt(fqdn: string, datacenter: string): boolean {
    const { seen, probes } = this.#record(fqdn);
    const at = seen.get(datacenter);
    return at !== undefined && this.#isFresh(at) && probes.get(datacenter) !== false;
  }

  /** The trunk was deleted: what is paired under its name later has to show itself anew. */
  forget(fqdn: string): void {
    const { shown } = this.#record(fqdn);
    this.#records.set(fqdn.toLowerCase(), { seen: new Map(), probes: new Map(), shown });
    this.refresh(fqdn);
  }

  status(fqdn: string): TrunkStatus {
    const record = this.#record(fqdn);
    const tls = this.#tls(record);
    const ping = this.#ping(record);
    if (tls === "unknown" && ping === "unknown") return UNKNOWN;
    if (tls === "certExpired") return { tls, ping, overall: "inactive", reason: "certExpired" };
    if (ping === "expired") return { tls, ping, overall: "inactive", reason: "noRecentPings" };
    if (ping === "error") return { tls, ping, overall: "inactive", reason: "pingError" };
    const isOnline = ping === "active" && tls !== "unknown";
    return { tls, ping, overall: isOnline ? "online" : "unknown" };
  }

  /** Called for each change of any trunk's status. Returns the function that stops it. */
  onChange(listener: (fqdn: string, status: TrunkStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells the listeners when the passing of time has changed the status. */
  refresh(fqdn: string): void {
    const record = this.#record(fqdn);
    const status = this.status(fqdn);
    const before = record.shown;
    if (
      before.overall === status.overall &&
      before.tls === status.tls &&
      before.ping === status.ping
    )
      return;
    record.shown = status;
    this.#options.trace.record({
      type: "state",
      subject: "trunk",
      id: fqdn,
      from: before.overall,
      to: status.overall,
      detail: { ...status },
    });
    for (const listener of this.#listeners) listener(fqdn, status);
  }

  #record(fqdn: string): TrunkRecord {
    const key = fqdn.toLowerCase();
    const known = this.#records.get(key);
    if (known !== undefined) return known;
    const record: TrunkRecord = { seen: new Map(), probes: new Map(), shown: UNKNOWN };
    this.#records.set(key, record);
    return record;
  }

  #tls({ certificateEnds }: TrunkRecord): TrunkStatus["tls"] {
    if (certificateEnds === undefined) return "unknown";
    const leftMs = certificateEnds.getTime() - this.#options.clock.date().getTime();
    if (leftMs <= 0) return "certExpired";
    return leftMs < this.#options.policy.certificateWarningMs ? "certExpiring" : "active";
  }

  #ping({ seen, probes }: TrunkRecord): TrunkStatus["ping"] {
    if (seen.size === 0) return "unknown";
    if (![...seen.values()].some((at) => this.#isFresh(at))) return "expired";
    const outcomes = [...probes.values()];
    if (outcomes.includes(true)) return "active";
    return outcomes.length === 0 ? "unknown" : "error";
  }

  #isFresh(atMs: number): boolean {
    return this.#options.clock.now() - atMs <= this.#options.policy.healthyForMs;
  }
}
