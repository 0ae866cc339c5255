import type { HttpEvent, Party, SipEvent, SocketEvent, TraceEvent } from "../trace.ts";

/** Something that went from one party to another; one row of the ladder. */
export interface Arrow {
  readonly at: number;
  /** `undefined`: the other end is outside the lab (a real SBC, sipp). */
  readonly from: Party | undefined;
  readonly to: Party | undefined;
  readonly label: string;
  readonly kind: "sip" | "http" | "socket";
  readonly event: TraceEvent;
}

/** Something that happened at one party: speech heard, a key pressed, a state reached, a fault. */
export interface Note {
  readonly at: number;
  readonly party: Party;
  readonly label: string;
  readonly kind: "heard" | "spoken" | "dtmf" | "state" | "fault" | "error" | "media" | "model";
  readonly event: TraceEvent;
}

export type Row = Arrow | Note;

export const isArrow = (row: Row): row is Arrow => "from" in row;

/**
 * The rows of a ladder, oldest first. Both ends of a SIP message record it; the sender's and the
 * receiver's records become one arrow, found by what identifies a message on the wire.
 */
export function ladderRows(events: readonly TraceEvent[]): Row[] {
  const pairs = pairSip(events);
  return events
    .map((event): Row | undefined => {
      if (event.type === "sip") return pairs.get(event);
      if (event.type === "http") return httpArrow(event);
      if (event.type === "socket") return isDrawn(event) ? socketArrow(event) : undefined;
      return noteOf(event);
    })
    .filter((row) => row !== undefined);
}

type SipRecord = TraceEvent & SipEvent;

/** For each message the arrow, keyed by the record that shows it: the receiver's where there is one. */
function pairSip(events: readonly TraceEvent[]): Map<TraceEvent, Arrow> {
  const sent = new Map<string, SipRecord[]>();
  const arrows = new Map<TraceEvent, Arrow>();
  const records = events.filter((event): event is SipRecord => event.type === "sip");
  for (const record of records) {
    if (record.direction !== "out") continue;
    const key = fingerprint(record);
    sent.set(key, [...(sent.get(key) ?? []), record]);
  }
  for (const record of records) {
    if (record.direction !== "in") continue;
    const sender = sent.get(fingerprint(record))?.shift();
    arrows.set(record, sipArrow(record, sender?.party, record.party));
  }
  for (const record of [...sent.values()].flat()) {
    arrows.set(record, sipArrow(record, record.party, undefined));
  }
  return arrows;
}

function sipArrow(event: SipRecord, from: Party | undefined, to: Party | undefined): Arrow {
  return { at: event.at, from, to, label: sipLabel(event.message), kind: "sip", event };
}

/** Start line, Call-ID, CSeq and the topmost Via's branch: the same at both ends of a hop. */
function fingerprint({ message, transport }: SipEvent): string {
  const startLine = message.slice(0, message.indexOf("\r\n"));
  const branch = /^v(?:ia)?\s*:[^\r]*?;\s*branch=([^;,\s]+)/im.exec(message)?.[1];
  const cseq = /^cseq\s*:\s*([^\r]+)/im.exec(message)?.[1];
  const callId = /^(?:call-id|i)\s*:\s*([^\r]+)/im.exec(message)?.[1];
  return [startLine, branch, cseq, callId, transport].join("\n");
}

/** `INVITE`, `200 OK (INVITE)`, `NOTIFY 100 Trying`. */
export function sipLabel(message: string): string {
  const [startLine = ""] = message.split("\r\n", 1);
  const response = /^SIP\/2\.0 (\d{3}) ?(.*)$/.exec(startLine);
  const method = /^cseq\s*:\s*\d+\s+(\S+)/im.exec(message)?.[1] ?? "";
  if (response !== null) return `${response[1]} ${response[2]} (${method})`;
  const fragment =
    method === "NOTIFY" ? /\r\n\r\nSIP\/2\.0 ([^\r\n]+)/.exec(message)?.[1] : undefined;
  return fragment === undefined ? startLine.split(" ", 1).join("") : `NOTIFY ${fragment}`;
}

/** Who is at the other end of each of the lab's HTTP services. */
const HTTP_PEERS: Record<HttpEvent["service"], Party> = {
  "call-automation": "agent",
  "event-grid": "agent",
  callback: "agent",
  openai: "agent",
  speech: "agent",
  admin: "scenario",
};

function httpArrow(event: TraceEvent & HttpEvent): Arrow {
  const peer = HTTP_PEERS[event.service];
  const [from, to] = event.direction === "in" ? [peer, event.party] : [event.party, peer];
  const result = event.status === 0 ? (event.error ?? "no answer") : String(event.status);
  return { at: event.at, from, to, label: `${httpTitle(event)} → ${result}`, kind: "http", event };
}

function httpTitle({ service, method, target, request }: HttpEvent): string {
  if (service === "callback" || service === "event-grid") return eventName(request) ?? target;
  const [path = ""] = target.split("?", 1);
  return `${method} ${path.split("/").slice(-1).join("")}`;
}

/** `CallConnected` of a CloudEvents or Event Grid delivery. */
function eventName(request: unknown): string | undefined {
  const text = typeof request === "string" ? request : JSON.stringify(request ?? "");
  return /"(?:type|eventType)":\s*"Microsoft\.(?:Communication|EventGrid)\.(\w+)"/.exec(text)?.[1];
}

/** Of the Speech protocol's many messages the ladder has the results; texts are notes of their own. */
function isDrawn({ service, kind }: SocketEvent): boolean {
  return service !== "speech" || kind === "speech.phrase";
}

function socketArrow(event: TraceEvent & SocketEvent): Arrow {
  const peer: Party = "agent";
  const [from, to] = event.direction === "in" ? [peer, event.party] : [event.party, peer];
  return { at: event.at, from, to, label: `${event.service} ${event.kind}`, kind: "socket", event };
}

function noteOf(event: TraceEvent): Note | undefined {
  const label = noteLabel(event);
  if (label === undefined) return undefined;
  const { at, party } = event;
  // `noteLabel` answers only for the types that a note can have.
  return { at, party, label, kind: event.type as Note["kind"], event };
}

type Labels = {
  [Type in TraceEvent["type"]]?: (event: Extract<TraceEvent, { type: Type }>) => string | undefined;
};

/** What a ladder says of an event that stays at one party; types without an entry are not drawn. */
const NOTES: Labels = {
  heard: ({ kind, text }) => {
    if (kind === "noMatch") return "hears something unknown";
    return kind === "phrase" ? `hears “${text}”` : undefined;
  },
  spoken: ({ text }) => `says “${text}”`,
  dtmf: ({ direction, digit }) => (direction === "out" ? `presses ${digit}` : `digit ${digit}`),
  state: ({ subject, from, to }) => `${subject}: ${from} → ${to}`,
  fault: ({ name }) => `fault ${name}`,
  error: ({ code, message }) => `${code}: ${message}`,
  media: ({ kind }) => (kind === "stopAudio" ? "StopAudio" : undefined),
  model: ({ kind }) => (kind === "unmatched" || kind === "abort" ? `model ${kind}` : undefined),
};

function noteLabel(event: TraceEvent): string | undefined {
  // The table's key and the event's type agree by construction.
  const label = NOTES[event.type] as ((event: TraceEvent) => string | undefined) | undefined;
  return label?.(event);
}
