import { type Arrow, isArrow, ladderRows } from "../../simulator/report/arrows.ts";
import type { TraceEvent } from "../../simulator/trace.ts";

/** One hop of a header's way: a request that carries it or could have. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  /** As it stood on the wire; `undefined` when the hop did not carry it. */
  readonly value: string | undefined;
}

/**
 * The way of one header through the whole call, hop by hop: from INVITE to INVITE, into Event
 * Grid's `IncomingCall`, out through the transfer request, REFER and the third INVITE.
 */
export function custody(events: readonly TraceEvent[], header: string): Hop[] {
  return ladderRows(events)
    .filter(isArrow)
    .flatMap((arrow) => hopOf(arrow, header));
}

/** The chain as lines of text, with a mark at the hop where the value was lost or altered. */
export function custodyText(events: readonly TraceEvent[], header: string): string {
  const hops = custody(events, header);
  const broken = brokenAt(hops);
  const lines = hops.map(({ from, to, what, value }, index) => {
    const way = `${from} → ${to}`.padEnd(20);
    const carried = value === undefined ? "(absent)" : value;
    const mark = index === broken?.index ? `   ← ${broken.verdict}` : "";
    return `  ${way} ${what.padEnd(22)} ${carried}${mark}`;
  });
  return [`custody of ${header}`, ...(lines.length > 0 ? lines : ["  no hop was made"])].join("\n");
}

/** The first hop that does not carry on what the hop before it brought, and who is to blame. */
function brokenAt(hops: readonly Hop[]): { index: number; verdict: string } | undefined {
  for (const [index, hop] of hops.entries()) {
    const before = hops.slice(0, index).findLast((earlier) => earlier.to === hop.from);
    if (before?.value === undefined || hop.value === before.value) continue;
    const verb = hop.value === undefined ? "lost" : "altered";
    return { index, verdict: `${verb} at ${hop.from}` };
  }
  return undefined;
}

function hopOf(arrow: Arrow, header: string): Hop[] {
  const { from = "outside", to = "outside", event } = arrow;
  if (event.type === "sip") {
    if (
      !/^(?:INVITE|REFER)\b/.test(event.message) ||
      /^(?:to|t)\s*:[^\r]*;\s*tag=/im.test(event.message)
    ) {
      // A re-INVITE carries no context; a REFER always has a To tag and counts all the same.
      if (!event.message.startsWith("REFER")) return [];
    }
    return [{ from, to, what: arrow.label, value: sipHeader(event.message, header) }];
  }
  if (event.type !== "http") return [];
  const carries = event.service === "event-grid" || event.target.includes(":transferToParticipant");
  if (!carries || arrow.label.startsWith("SubscriptionValidation")) return [];
  return [{ from, to, what: arrow.label, value: jsonHeader(event.request, header) }];
}

/** The value of a header in a SIP message. */
export function sipHeader(message: string, header: string): string | undefined {
  const pattern = new RegExp(`^${RegExp.escape(header)}\\s*:[ \\t]*([^\\r\\n]*)`, "im");
  const [head = ""] = message.split("\r\n\r\n", 1);
  return pattern.exec(head)?.[1];
}

/** The value under a key of that name, case aside, anywhere in a JSON body. */
function jsonHeader(body: unknown, header: string): string | undefined {
  const value = typeof body === "string" ? parsed(body) : body;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, entry] of Object.entries(value)) {
    if (key.toLowerCase() === header.toLowerCase() && typeof entry === "string") return entry;
    const nested = typeof entry === "object" ? jsonHeader(entry, header) : undefined;
    if (nested !== undefined) return nested;
  }
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: carries no header.
    return undefined;
  }
}
