import { join } from "node:path";
import { type ScenarioRun, startRun } from "../scenarios/harness/fixtures.ts";
import { readRunOptions } from "../scenarios/harness/run-options.ts";
import { seededIds } from "../simulator/acs/ids.ts";
import type { LabOptions } from "../simulator/lab.ts";
import type { Trace, TraceEvent } from "../simulator/trace.ts";

export type Fault = NonNullable<LabOptions["faults"]>[number];

/** What a call came to, without anything that differs from run to run by nature. */
export interface Outcome {
  /** The agent's record: outcome, detail, summary. One call, one record. */
  readonly records: readonly string[];
  readonly turns: readonly string[];
  /** The agent's requests to ACS, with their status. */
  readonly operations: readonly string[];
  readonly refers: readonly string[];
  /** Caller and custom headers of each INVITE at the queue. */
  readonly queueInvites: readonly string[];
  readonly desk: string;
  /** What the caller made out, from the agent's greeting on. */
  readonly heard: string;
}

export interface DisturbedCall {
  readonly outcome?: Outcome;
  /** Why there is no outcome. */
  readonly error?: string;
  /** Disturbances that came to pass. */
  readonly struck: number;
  /** Audio that the caller missed because the machine could not keep up. */
  readonly missedMs: number;
  /** Where trace and recordings are. */
  readonly folder: string;
}

const CALL_TIMEOUT_MS = 90_000;
const STEP_TIMEOUT_MS = 15_000;
const FOLDER = join("out", "disorder");

/** One call in a lab of its own; what goes wrong in it is part of the result. */
export async function runDisturbedCall(
  title: string,
  faults: readonly Fault[],
): Promise<DisturbedCall> {
  const folder = join(FOLDER, title);
  const settings = { ...readRunOptions({}), folder: FOLDER };
  const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
  const start = {
    title,
    signal,
    options: { faults, lab: { ids: seededIds(title) } },
    settings,
    announce: () => {},
  };
  let trace: Trace | undefined;
  const observed = () => ({ struck: struckIn(trace), missedMs: missedBy(trace), folder });
  try {
    await using run = await startRun(start);
    ({ trace } = run.fixtures);
    const outcome = await converse(run);
    return { outcome, ...observed() };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error), ...observed() };
  }
}

/** The dialogue. The key is pressed at once, so that the IVR's prompt does not cost its length. */
async function converse(run: ScenarioRun): Promise<Outcome> {
  const { phone, llm, queue, agent, trace } = run.fixtures;
  llm.when("dispute").escalates({
    summary: "Customer confirmed identity and wants to dispute a charge.",
    reason: "billing dispute",
  });
  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.presses("2");
  await call.hears("How can I help you");
  await call.says("I would like to dispute a charge on my account.");
  const handoff = await queue.nextCall();
  const human = await handoff.answers();
  await transferred(trace);
  await human.says("This is the billing team.");
  await call.hears("This is the billing team");
  await human.hangsUp();
  await call.isEnded();
  await run.finish();
  const { customerId, reason, summary } = handoff;
  const store = agent.bundled.store;
  const records = store.calls() ?? [];
  return {
    records: records.map(({ outcome, detail, summary: told }) =>
      JSON.stringify({ outcome, detail, summary: told }),
    ),
    turns: records.flatMap(({ id }) =>
      (store.turns(id) ?? []).map(
        ({ role, text, interrupted }) => `${role}${interrupted ? " (interrupted)" : ""}: ${text}`,
      ),
    ),
    ...onTheWire(trace.events),
    desk: JSON.stringify({ customerId, reason, summary }),
    heard: call.transcript.slice(Math.max(0, call.transcript.indexOf("Hello"))),
  };
}

/** Only then does the SBC relay between the caller and the human who has picked up. */
async function transferred(trace: Trace): Promise<void> {
  await trace.waitFor(
    (event) => event.type === "state" && event.subject === "transfer" && event.to === "connected",
    { timeoutMs: STEP_TIMEOUT_MS, what: "transferred caller at the SBC" },
  );
}

/** The agent's operations and the SIP of the transfer, as they crossed the wires. */
export function onTheWire(
  events: readonly TraceEvent[],
): Pick<Outcome, "operations" | "refers" | "queueInvites"> {
  const operations = events.flatMap((event) =>
    event.type === "http" && event.service === "call-automation"
      ? [`${event.method} ${operationOf(event.target)} ${event.status}`]
      : [],
  );
  const received = (party: string, method: string) =>
    events.flatMap((event) => {
      const isIncoming = event.type === "sip" && event.party === party && event.direction === "in";
      return isIncoming && event.message.startsWith(`${method} `) ? [event.message] : [];
    });
  return {
    operations,
    refers: received("sbc", "REFER").map(
      (message) => /^refer-to:\s*<([^@>]*@[^:>]*)/im.exec(message)?.[1] ?? "",
    ),
    queueInvites: received("queue", "INVITE").map(customHeaders),
  };
}

/** The last word of the path; ids are no words. */
function operationOf(target: string): string {
  const parts = target.replace(/\?.*$/, "").split(/[/:]/);
  return parts.findLast((part) => /^[A-Za-z]+$/.test(part)) ?? target;
}

function customHeaders(message: string): string {
  const lines = message.split("\r\n").filter((line) => /^(?:X-|User-to-User:)/i.test(line));
  const caller = /^from:[^<]*<sip:([^@>]*)@/im.exec(message)?.[1];
  return [`from ${caller}`, ...lines.toSorted()].join(" | ");
}

function struckIn(trace: Trace | undefined): number {
  return trace?.events.filter(({ type }) => type === "fault").length ?? 0;
}

function missedBy(trace: Trace | undefined): number {
  const end = trace?.events.findLast(
    ({ type, party, ...event }) =>
      type === "media" && party === "phone" && "kind" in event && event.kind === "stopped",
  );
  if (end?.type !== "media") return 0;
  const { skippedMs = 0, concealedMs = 0 } = (end.detail["received"] ?? {}) as {
    skippedMs?: number;
    concealedMs?: number;
  };
  return skippedMs + concealedMs;
}
