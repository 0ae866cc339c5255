import type { Store } from "./store.ts";
import { describeError, type Logger } from "./telemetry.ts";

/** What a call writes of itself. */
export type CallRecorder = Pick<Store, "startCall" | "addTurn" | "endCall">;

/**
 * The same writes, none of which throws: a database that fails must not cost a caller the call.
 * What could not be written is lost, and the log says so.
 */
export function bestEffort(store: CallRecorder, logger: Logger): CallRecorder {
  return {
    startCall: (start) => attempt("start", () => store.startCall(start), logger),
    addTurn: (callId, turn) => attempt("turn", () => store.addTurn(callId, turn), logger),
    endCall: (id, end) => attempt("end", () => store.endCall(id, end), logger),
  };
}

/** What the database says, or nothing when it fails. */
export function attempt<Value>(part: string, ask: () => Value, logger: Logger): Value | undefined {
  try {
    return ask();
  } catch (error) {
    logger.error({ part, err: describeError(error) }, "database failed");
    return undefined;
  }
}
