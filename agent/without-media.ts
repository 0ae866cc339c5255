import type { Call } from "./call.ts";
import type { Config } from "./config.ts";
import type { ConversationEnd } from "./conversation.ts";
import { escalate } from "./escalation.ts";
import type { IncomingCall } from "./events.ts";
import type { CallOutcome, Customer } from "./store.ts";
import type { Logger } from "./telemetry.ts";

/** A call whose caller can neither be heard nor spoken to. */
export interface MuteCall {
  readonly call: Call;
  readonly config: Config;
  readonly incoming: IncomingCall;
  readonly customer: Customer | undefined;
  readonly logger: Logger;
  readonly ids: () => string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** How often the service is asked whether what was under way when a replica was lost is over. */
const ASK_STATE_MS = 500;
/** For an event that names the connection, where the lost replica could not note it any more. */
const ADOPTION_TIMEOUT_MS = 3000;
const UNDER_WAY: readonly string[] = ["connecting", "transferring", "unknown"];
/** What became of a call that is over in one of the service's states; "gone" is none any more. */
const OUTCOMES: Readonly<Record<string, CallOutcome>> = {
  gone: "caller-left",
  disconnecting: "caller-left",
  disconnected: "caller-left",
  transferAccepted: "escalated",
};

/** Only a human helps. Resolves when the caller is with one, or cannot be handed over. */
export async function handToHuman(options: MuteCall, detail: string): Promise<ConversationEnd> {
  const { call, config, incoming, logger, ids, customer } = options;
  if (call.signal.aborted) return { outcome: "caller-left" };
  const summary = "The voice agent had no audio.";
  const transfer = await escalate(
    { summary, reason: "technical", announced: true },
    {
      call,
      config: config.escalation,
      lingerMs: 0,
      context: incoming.context,
      customerId: customer?.id ?? incoming.context.customerId,
      logger,
      ids,
      say: () => Promise.resolve(),
    },
  );
  return { outcome: transfer.accepted ? "escalated" : "failed", detail };
}

/** The call of a replica that is gone: lets what it had begun come to its end, then hands over. */
export async function rescue(options: MuteCall): Promise<ConversationEnd> {
  const { call } = options;
  const detail = "taken over from a lost replica";
  const isKnown = await within(
    call,
    call.adopted.then(() => true),
    ADOPTION_TIMEOUT_MS,
  );
  if (isKnown !== true) return { outcome: "interrupted", detail };
  const outcome = OUTCOMES[await settledState(options)];
  if (outcome !== undefined || call.signal.aborted) {
    call.end();
    return { outcome: outcome ?? "caller-left", detail };
  }
  call.confirmConnected();
  return handToHuman(options, detail);
}

async function settledState({ call, config, now }: MuteCall): Promise<string> {
  const deadlineMs = now() + config.escalation.transferTimeoutMs;
  for (;;) {
    const state = await call.askState();
    const isOver = call.signal.aborted || now() >= deadlineMs;
    if (isOver || !UNDER_WAY.includes(state)) return state;
    await within(call, new Promise(() => {}), ASK_STATE_MS);
  }
}

/** The value, or undefined when the time is up or the call has ended. */
export async function within<Value>(
  call: Call,
  value: Promise<Value>,
  timeoutMs: number,
): Promise<Value | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const abort = () => resolve(undefined);
  call.signal.addEventListener("abort", abort, { once: true });
  if (call.signal.aborted) abort();
  try {
    return await Promise.race([value, promise]);
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener("abort", abort);
  }
}
