import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { Clock } from "./clock.ts";
import { redactDeep } from "./redaction.ts";

/** Who an event belongs to: one column of the ladder. */
export type Party =
  | "phone"
  | "carrier"
  | "ivr"
  | "sbc"
  | "acs"
  | "agent"
  | "speech"
  | "openai"
  | "queue"
  | "human"
  | "scenario";

/** One SIP message as it crossed the wire; both ends record it. Addresses are `host:port`. */
export interface SipEvent {
  type: "sip";
  direction: "in" | "out";
  transport: string;
  local: string;
  remote: string;
  message: string;
}

/** One HTTP exchange, recorded by the side that belongs to the lab. */
export interface HttpEvent {
  type: "http";
  /** `in`: the lab answered; `out`: the lab called. */
  direction: "in" | "out";
  service: "call-automation" | "event-grid" | "callback" | "openai" | "speech" | "admin";
  method: string;
  /** Path and query, or the whole URL for `out`. */
  target: string;
  /** 0 when no answer came; then `error` says why. */
  status: number;
  request?: unknown;
  response?: unknown;
  error?: string;
  durationMs: number;
}

/** A WebSocket's life and its rare messages. Audio frames are counted, not listed. */
export interface SocketEvent {
  type: "socket";
  service: "media" | "transcription" | "speech" | "realtime";
  direction: "in" | "out";
  /** `open`, `close`, or the message's own kind, such as `AudioMetadata` or `speech.phrase`. */
  kind: string;
  detail?: unknown;
}

/** What a recogniser made of audio: the speech service's for `speech`, the lab's ear otherwise. */
export interface HeardEvent {
  type: "heard";
  kind: "onset" | "hypothesis" | "phrase" | "noMatch";
  text: string;
  /** Start and end of the utterance within the leg's audio. */
  startMs: number;
  endMs: number;
  confidence?: number;
}

/** Text that became audio. */
export interface SpokenEvent {
  type: "spoken";
  text: string;
  voice?: string;
  durationMs?: number;
  /** Active level of the audio; a silent synthesis shows here. */
  levelDbfs?: number;
}

export interface ModelEvent {
  type: "model";
  kind: "prompt" | "reply" | "toolCall" | "abort" | "unmatched" | "fault";
  detail: unknown;
}

export interface DtmfEvent {
  type: "dtmf";
  direction: "in" | "out";
  digit: string;
}

/** A media stream's start, stop and figures. */
export interface MediaEvent {
  type: "media";
  kind: "started" | "stopped" | "stopAudio" | "silenced";
  detail: Record<string, unknown>;
}

/** A state machine's move: call, dialog, trunk, transfer. */
export interface StateEvent {
  type: "state";
  subject: string;
  id: string;
  from: string;
  to: string;
  detail?: Record<string, unknown>;
}

/** A scenario's step. */
export interface StepEvent {
  type: "step";
  title: string;
  outcome: "begin" | "pass" | "fail";
  detail?: string;
}

/** A planned fault that struck. */
export interface FaultEvent {
  type: "fault";
  name: string;
  detail?: unknown;
}

/** Something went wrong that no other event says. `code` is stable. */
export interface ErrorEvent {
  type: "error";
  code: string;
  message: string;
}

export type TraceDetail =
  | SipEvent
  | HttpEvent
  | SocketEvent
  | HeardEvent
  | SpokenEvent
  | ModelEvent
  | DtmfEvent
  | MediaEvent
  | StateEvent
  | StepEvent
  | FaultEvent
  | ErrorEvent;

/** `v` is the format's version, `at` lab milliseconds, `call` whatever id the party knows it by. */
export type TraceEvent = { v: 1; at: number; party: Party; call?: string } & TraceDetail;

export interface WaitOptions {
  timeoutMs: number;
  signal?: AbortSignal;
  /** What is awaited, for the time-out's message: "CallConnected at the agent". */
  what: string;
  /** Take only events from this index on (default: every event so far counts). */
  from?: number;
}

export interface Trace extends AsyncDisposable {
  /** Everything so far, oldest first. Secrets are already masked. */
  readonly events: readonly TraceEvent[];
  record(party: Party, event: TraceDetail, call?: string): void;
  /** A trace that records under one party's name. */
  as(party: Party): PartyTrace;
  /** Called for each new event; returns the function that stops it. */
  subscribe(listener: (event: TraceEvent) => void): () => void;
  /** The first event that satisfies `matches`, past or to come. Rejects with {@link TraceTimeout}. */
  waitFor<Event extends TraceEvent>(
    matches: (event: TraceEvent) => event is Event,
    options: WaitOptions,
  ): Promise<Event>;
  waitFor(matches: (event: TraceEvent) => boolean, options: WaitOptions): Promise<TraceEvent>;
}

/** What a party needs of the trace. */
export interface PartyTrace {
  record(event: TraceDetail, call?: string): void;
}

export class TraceTimeout extends Error {
  readonly code = "TRACE_TIMEOUT";
  override readonly name = "TraceTimeout";
}

export interface TraceOptions {
  clock: Clock;
  /** Where each event is also appended as one line of JSON. */
  file?: string;
  /** Events kept in memory; later ones still reach the file and the listeners. Default 100,000. */
  limitEvents?: number;
}

export function openTrace({ clock, file, limitEvents = 100_000 }: TraceOptions): Trace {
  const events: TraceEvent[] = [];
  const listeners = new Set<(event: TraceEvent) => void>();
  const output: WriteStream | undefined = file === undefined ? undefined : createWriteStream(file);

  let closed = false;
  // Without a listener a full disk would end the process; closing the trace reports it.
  let fault: Error | undefined;
  output?.on("error", (error) => {
    fault ??= error;
  });

  const record = (party: Party, detail: TraceDetail, call?: string) => {
    const masked = redactDeep(detail);
    const head = { v: 1 as const, at: clock.now(), party, ...(call === undefined ? {} : { call }) };
    const event: TraceEvent = { ...head, ...masked };
    if (events.length < limitEvents) events.push(event);
    // What parties still say while they close belongs to no file any more.
    if (!closed && fault === undefined) output?.write(`${JSON.stringify(event)}\n`);
    for (const listener of listeners) listener(event);
  };

  const subscribe = (listener: (event: TraceEvent) => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };

  const waitFor = async (matches: (event: TraceEvent) => boolean, options: WaitOptions) => {
    const { timeoutMs, signal, what, from = 0 } = options;
    signal?.throwIfAborted();
    const past = events.slice(from).find(matches);
    if (past !== undefined) return past;
    const { promise, resolve, reject } = Promise.withResolvers<TraceEvent>();
    const stop = subscribe((event) => {
      if (matches(event)) resolve(event);
    });
    using _deadline = clock.after(timeoutMs, () =>
      reject(new TraceTimeout(`no ${what} within ${timeoutMs} ms`)),
    );
    const abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } finally {
      stop();
      signal?.removeEventListener("abort", abort);
    }
  };

  return {
    events,
    record,
    as: (party) => ({ record: (event, call) => record(party, event, call) }),
    subscribe,
    waitFor,
    async [Symbol.asyncDispose]() {
      listeners.clear();
      if (output === undefined || closed) return;
      closed = true;
      if (fault === undefined) await finished(output.end());
      if (fault !== undefined) throw fault;
    },
  };
}

/** A trace that forgets everything, for parties that run without a lab. */
export const silentTrace: PartyTrace = { record: () => {} };
