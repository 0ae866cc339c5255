import type Srf from "drachtio-srf";

/** What the human agent's screen shows about a call. */
export interface DeskCall {
  readonly callId: string;
  /** The caller's number. */
  readonly from: string;
  /** Any header of the INVITE as it arrived, by name in any case. */
  readonly headers: { get(name: string): string | undefined };
  readonly customerId: string | undefined;
  /** Why the call was handed over. */
  readonly reason: string | undefined;
  /** What the voice agent wrote for its colleague, percent-decoded. */
  readonly summary: string | undefined;
  /** Resolves with the number that picked up; never if nobody did. */
  readonly answered: Promise<string>;
  /** Resolves when the call is over at the queue, answered or not. */
  readonly ended: Promise<DeskEnd>;
}

export interface DeskEnd {
  /** `refused`: nobody was there, or the queue was told to refuse; `caller` also for CANCEL. */
  by: "caller" | "human" | "refused" | "queue";
  status?: number;
  reason?: string;
}

/** Which headers the screen reads. */
export interface DeskHeaders {
  customerId: string;
  reason: string;
  summary: string;
}

export const DESK_HEADERS: DeskHeaders = {
  customerId: "X-Customer-ID",
  reason: "X-Transfer-Reason",
  summary: "X-AI-Summary",
};

/**
 * Undoes percent-encoding as UTF-8. A value that is not valid percent-encoding is shown as it came:
 * an agent's screen must not go blank over a stray `%`.
 */
export function decodeHeader(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

export interface DeskEntry {
  call: DeskCall;
  answer: (number: string) => void;
  end: (end: DeskEnd) => void;
}

export function deskEntry(
  { callId, from, request }: { callId: string; from: string; request: Srf.SrfRequest },
  names: DeskHeaders,
): DeskEntry {
  const answered = Promise.withResolvers<string>();
  const ended = Promise.withResolvers<DeskEnd>();
  const get = (name: string) => (request.has(name) ? request.get(name) : undefined);
  const call: DeskCall = {
    callId,
    from,
    headers: { get },
    customerId: get(names.customerId),
    reason: decodeHeader(get(names.reason)),
    summary: decodeHeader(get(names.summary)),
    answered: answered.promise,
    ended: ended.promise,
  };
  return { call, answer: answered.resolve, end: ended.resolve };
}
