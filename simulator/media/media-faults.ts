import type { FaultPlan } from "../faults.ts";
import type { Impairment } from "./impair.ts";

type Parameters = NonNullable<ReturnType<FaultPlan["strike"]>>;

/** What a fault plan does to one leg, decided when its media starts. */
export interface PlannedMediaFaults {
  /** `media.impair`: a bad network, by the fields of {@link Impairment} and `direction`. */
  readonly impairments: readonly { direction: "in" | "out"; impairment: Impairment }[];
  /** `media.stop-sending`: nothing is sent from so long after the start (`afterMs`, default 0). */
  readonly stopSendingAfterMs?: number;
  readonly struck: readonly { name: string; detail: Parameters }[];
}

/** Asks the plan once per leg; `direction` is `in`, `out` or, by default, `both`. */
export function planMediaFaults(faults: FaultPlan | undefined): PlannedMediaFaults {
  const impair = faults?.strike("media.impair");
  const stop = faults?.strike("media.stop-sending");
  const struck = [
    ...(impair === undefined ? [] : [{ name: "media.impair", detail: impair }]),
    ...(stop === undefined ? [] : [{ name: "media.stop-sending", detail: stop }]),
  ];
  return {
    impairments: impair === undefined ? [] : impairmentsOf(impair),
    ...(stop === undefined ? {} : { stopSendingAfterMs: numberOf(stop, "afterMs") }),
    struck,
  };
}

function impairmentsOf(fault: Parameters): PlannedMediaFaults["impairments"] {
  const seed = numberOf(fault, "seed");
  const impairment = {
    loss: numberOf(fault, "loss"),
    burst: numberOf(fault, "burst", 1),
    delayMs: numberOf(fault, "delayMs"),
    jitterMs: numberOf(fault, "jitterMs"),
    reorder: numberOf(fault, "reorder"),
    duplicate: numberOf(fault, "duplicate"),
    corrupt: numberOf(fault, "corrupt"),
  };
  return (["in", "out"] as const)
    .filter((direction) => [direction, "both", undefined].includes(directionOf(fault)))
    .map((direction, index) => ({ direction, impairment: { ...impairment, seed: seed + index } }));
}

function directionOf(fault: Parameters): string | undefined {
  const { direction } = fault;
  return direction === undefined ? undefined : String(direction);
}

function numberOf(fault: Parameters, name: string, fallback = 0): number {
  const value = Number(fault[name] ?? fallback);
  return Number.isFinite(value) ? value : fallback;
}
