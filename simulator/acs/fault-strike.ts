import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";

/** Asks the plan whether a fault strikes here, and says so in the trace when it does. */
export function strike(
  { faults, trace }: { readonly faults?: FaultPlan; readonly trace: PartyTrace },
  name: string,
  call?: string,
): ReturnType<FaultPlan["strike"]> {
  const fault = faults?.strike(name);
  if (fault !== undefined) trace.record({ type: "fault", name, detail: fault }, call);
  return fault;
}
