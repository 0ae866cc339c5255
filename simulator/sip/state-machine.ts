import type { TransactionState } from "./transaction.ts";

/** What can happen to a client transaction. Responses by class; timers by what they mean. */
export type ClientEvent =
  | "provisional"
  | "success"
  | "refusal"
  /** Timer A or E. */
  | "repeat"
  /** Timer B or F. */
  | "timeout"
  /** Timer D, K or M: nothing more is expected. */
  | "linger"
  | "transportError";

/** What can happen to a server transaction. */
export type ServerEvent =
  | "request"
  | "provisional"
  | "success"
  | "refusal"
  | "ack"
  /** Timer G. */
  | "repeat"
  /** Timer H. */
  | "timeout"
  /** Timer I, J or L. */
  | "linger"
  | "transportError";

/** What a transition does; each is one method of the transaction. */
export type ClientAction =
  | "deliver"
  | "acknowledge"
  | "resend"
  | "stopRepeating"
  | "slowRepeating"
  | "startLinger"
  | "failTimeout"
  | "failTransport";
export type ServerAction =
  | "transmit"
  | "resend"
  | "startRepeating"
  | "stopRepeating"
  | "startLinger"
  | "deliverAck"
  | "finish"
  | "failTimeout"
  | "failTransport";

interface Move<Action> {
  to: TransactionState;
  run: readonly Action[];
}

/** For each state the events it knows. An event that is not listed is ignored. */
export type Transitions<Event extends string, Action> = Readonly<
  Partial<Record<TransactionState, Readonly<Partial<Record<Event, Move<Action>>>>>>
>;

/** RFC 3261 figure 5 as corrected by RFC 6026 §8.4 (state "accepted", timer M). */
export const INVITE_CLIENT: Transitions<ClientEvent, ClientAction> = {
  calling: {
    repeat: { to: "calling", run: ["resend"] },
    timeout: { to: "terminated", run: ["failTimeout"] },
    transportError: { to: "terminated", run: ["failTransport"] },
    provisional: { to: "proceeding", run: ["stopRepeating", "deliver"] },
    success: { to: "accepted", run: ["stopRepeating", "deliver", "startLinger"] },
    refusal: { to: "completed", run: ["stopRepeating", "acknowledge", "deliver", "startLinger"] },
  },
  proceeding: {
    // Set only when a CANCEL went out (RFC 3261 §9.1, last paragraph).
    timeout: { to: "terminated", run: ["failTimeout"] },
    transportError: { to: "terminated", run: ["failTransport"] },
    provisional: { to: "proceeding", run: ["deliver"] },
    success: { to: "accepted", run: ["stopRepeating", "deliver", "startLinger"] },
    refusal: { to: "completed", run: ["stopRepeating", "acknowledge", "deliver", "startLinger"] },
  },
  accepted: {
    success: { to: "accepted", run: ["deliver"] },
    linger: { to: "terminated", run: [] },
  },
  completed: {
    refusal: { to: "completed", run: ["acknowledge"] },
    linger: { to: "terminated", run: [] },
  },
};

/** RFC 3261 figure 6. */
export const NON_INVITE_CLIENT: Transitions<ClientEvent, ClientAction> = {
  trying: {
    repeat: { to: "trying", run: ["resend"] },
    timeout: { to: "terminated", run: ["failTimeout"] },
    transportError: { to: "terminated", run: ["failTransport"] },
    provisional: { to: "proceeding", run: ["slowRepeating", "deliver"] },
    success: { to: "completed", run: ["stopRepeating", "deliver", "startLinger"] },
    refusal: { to: "completed", run: ["stopRepeating", "deliver", "startLinger"] },
  },
  proceeding: {
    repeat: { to: "proceeding", run: ["resend"] },
    timeout: { to: "terminated", run: ["failTimeout"] },
    transportError: { to: "terminated", run: ["failTransport"] },
    provisional: { to: "proceeding", run: ["deliver"] },
    success: { to: "completed", run: ["stopRepeating", "deliver", "startLinger"] },
    refusal: { to: "completed", run: ["stopRepeating", "deliver", "startLinger"] },
  },
  completed: {
    linger: { to: "terminated", run: [] },
  },
};

/** RFC 3261 figure 7 as corrected by RFC 6026 §8.5 (state "accepted", timer L). */
export const INVITE_SERVER: Transitions<ServerEvent, ServerAction> = {
  proceeding: {
    request: { to: "proceeding", run: ["resend"] },
    provisional: { to: "proceeding", run: ["transmit"] },
    success: { to: "accepted", run: ["transmit", "startLinger"] },
    refusal: { to: "completed", run: ["transmit", "startRepeating"] },
    transportError: { to: "terminated", run: ["failTransport"] },
  },
  accepted: {
    request: { to: "accepted", run: [] },
    success: { to: "accepted", run: ["transmit"] },
    ack: { to: "accepted", run: ["deliverAck"] },
    linger: { to: "terminated", run: ["finish"] },
  },
  completed: {
    request: { to: "completed", run: ["resend"] },
    repeat: { to: "completed", run: ["resend"] },
    timeout: { to: "terminated", run: ["failTimeout"] },
    transportError: { to: "terminated", run: ["failTransport"] },
    ack: { to: "confirmed", run: ["stopRepeating", "finish", "startLinger"] },
  },
  confirmed: {
    linger: { to: "terminated", run: [] },
  },
};

/** RFC 3261 figure 8. */
export const NON_INVITE_SERVER: Transitions<ServerEvent, ServerAction> = {
  trying: {
    provisional: { to: "proceeding", run: ["transmit"] },
    success: { to: "completed", run: ["transmit", "finish", "startLinger"] },
    refusal: { to: "completed", run: ["transmit", "finish", "startLinger"] },
    transportError: { to: "terminated", run: ["failTransport"] },
  },
  proceeding: {
    request: { to: "proceeding", run: ["resend"] },
    provisional: { to: "proceeding", run: ["transmit"] },
    success: { to: "completed", run: ["transmit", "finish", "startLinger"] },
    refusal: { to: "completed", run: ["transmit", "finish", "startLinger"] },
    transportError: { to: "terminated", run: ["failTransport"] },
  },
  completed: {
    request: { to: "completed", run: ["resend"] },
    transportError: { to: "terminated", run: [] },
    linger: { to: "terminated", run: [] },
  },
};
