import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import type { IdSource } from "./ids.ts";

type FaultParameters = NonNullable<ReturnType<FaultPlan["strike"]>>;

export interface StrikeOptions {
  /** The trace's call id. */
  readonly call?: string | undefined;
  /** A further condition, asked when the plan says yes. */
  readonly when?: (parameters: FaultParameters) => boolean;
}

/** Asks the plan whether a fault strikes here, and says so in the trace when it does. */
export function strike(
  { faults, trace }: { readonly faults?: FaultPlan; readonly trace: PartyTrace },
  name: string,
  { call, when = () => true }: StrikeOptions = {},
): FaultParameters | undefined {
  const fault = faults?.strike(name);
  if (fault === undefined || !when(fault)) return undefined;
  trace.record({ type: "fault", name, detail: fault }, call);
  return fault;
}

/** Lets a fault with a `probability` strike that often, by the seed of the ids. */
export function chance(ids: IdSource): (parameters: FaultParameters) => boolean {
  return ({ probability }) => probability === undefined || ids.random() < Number(probability);
}
