import { type Inviter, SessionState } from "sip.js";

/** The call was refused with a final status (RFC 3261 §21); 408 also stands for no answer at all. */
export class CallRefused extends Error {
  override readonly name = "CallRefused";
  readonly code = "CALL_REFUSED";
  readonly status: number;
  readonly reason: string;

  constructor(number: string, status: number, reason: string) {
    super(`the call to ${number} was refused: ${status} ${reason}`);
    this.status = status;
    this.reason = reason;
  }
}

export interface InviteOptions {
  number: string;
  /** Aborting sends CANCEL; the promise then rejects with the signal's reason. */
  signal: AbortSignal;
  onRinging: () => void;
}

/** Sends the INVITE; resolves when it was answered and acknowledged. */
export async function invite(inviter: Inviter, options: InviteOptions): Promise<void> {
  const { number, signal, onRinging } = options;
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const refused = ({ message }: { message: { statusCode?: number; reasonPhrase?: string } }) =>
    reject(new CallRefused(number, message.statusCode ?? 0, message.reasonPhrase ?? ""));
  const unusable = () => reject(new CallRefused(number, 488, "Not Acceptable Here"));
  const cancel = () => {
    reject(signal.reason);
    if (!isOver(inviter.state)) void inviter.cancel();
  };
  inviter.stateChange.addListener((state) => {
    if (state === SessionState.Established) resolve();
    // After the callbacks below: what is left is an answer whose SDP sip.js could not use.
    if (state === SessionState.Terminated) queueMicrotask(unusable);
  });
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const requestDelegate = { onProgress: onRinging, onReject: refused, onRedirect: refused };
    inviter.invite({ requestDelegate }).catch(reject);
    await promise;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

const isOver = (state: SessionState) =>
  state === SessionState.Terminated || state === SessionState.Terminating;
