import { type Identifier, numberOf } from "./identity.ts";
import { type DialOptions, type PstnLeg, PstnRefusal } from "./pstn.ts";
import type { Switchboard } from "./switchboard.ts";
import { createVoipPair } from "./voip-leg.ts";

export interface OutgoingCall {
  readonly target: Identifier;
  /** Who calls, as an application sees it. */
  readonly source: Identifier;
  /** E.164 caller id; telephone targets need it. */
  readonly callerId?: string | undefined;
  readonly correlationId: string;
  readonly sipHeaders?: Readonly<Record<string, string>>;
  readonly voipHeaders?: Readonly<Record<string, string>>;
  /** Of a redirected call: whom it was for, and what led it there. */
  readonly redirectedFrom?: DialOptions["redirectedFrom"];
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Calls a telephone through the voice routes, or another application of the resource, which gets an
 * IncomingCall event. Resolves when the call is answered; rejects with {@link PstnRefusal}.
 */
export async function dial(board: Switchboard, call: OutgoingCall): Promise<PstnLeg> {
  const giveUp = new AbortController();
  using _timer = board.core.clock.after(call.timeoutMs, () => giveUp.abort(noAnswer()));
  const signal = AbortSignal.any([call.signal, giveUp.signal]);
  try {
    return await reach(board, call, signal);
  } catch (error) {
    throw signal.aborted ? abortReason(signal) : error;
  }
}

async function reach(
  board: Switchboard,
  call: OutgoingCall,
  signal: AbortSignal,
): Promise<PstnLeg> {
  const number = numberOf(call.target);
  if (number !== undefined) {
    const { correlationId, sipHeaders = {}, callerId = "", redirectedFrom } = call;
    return board.core.pstn.dial(number, {
      from: callerId,
      sipHeaders,
      correlationId,
      ...(redirectedFrom === undefined ? {} : { redirectedFrom }),
      signal,
    });
  }
  if (call.target.kind !== "communicationUser") {
    const message = `${call.target.rawId} cannot be reached.`;
    throw new PstnRefusal(message, { code: 404, subCode: 8544 });
  }
  return reachApplication(board, call, signal);
}

async function reachApplication(board: Switchboard, call: OutgoingCall, signal: AbortSignal) {
  const { source, target, correlationId, voipHeaders = {} } = call;
  const { near, far, answered } = createVoipPair({
    clock: board.core.clock,
    id: board.core.ids.guid(),
    from: source.rawId,
    to: target.rawId,
    correlationId,
  });
  const cancel = () => void near.hangUp();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    board.ring(far, { from: source, to: target, voipHeaders });
    await answered;
    return near;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

function noAnswer(): PstnRefusal {
  return new PstnRefusal("The call was not answered in time.", { code: 408, subCode: 8587 });
}

function abortReason(signal: AbortSignal): unknown {
  return signal.reason instanceof PstnRefusal
    ? signal.reason
    : new PstnRefusal("The call was cancelled.", { code: 487, subCode: 8542 });
}
