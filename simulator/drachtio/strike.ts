import type { FaultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";

/** Asks the fault plan and writes into the trace what strikes, so that a report can name it. */
export function strike(
  { faults, trace }: { faults: FaultPlan; trace: PartyTrace },
  name: string,
  call?: string,
): ReturnType<FaultPlan["strike"]> {
  const fault = faults.strike(name);
  if (fault !== undefined) trace.record({ type: "fault", name, detail: fault }, call);
  return fault;
}
