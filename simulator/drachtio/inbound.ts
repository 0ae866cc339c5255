import type { Timer } from "../clock.ts";
import { dialogIdOf, dialogId as sipDialogId } from "../sip/dialog.ts";
import type { SipRequest } from "../sip/message.ts";
import type { ServerTransaction } from "../sip/transaction.ts";
import type { Contact } from "./contact.ts";
import { type Context, contactOf } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import type { Dialog } from "./dialog.ts";
import { refuse } from "./refuse.ts";
import type { ReliableProvisionals } from "./reliable.ts";

/** A request from the network that an application has to answer. */
export interface Inbound {
  id: string;
  transaction: ServerTransaction;
  contact: Contact;
  owner: ControlConnection;
  /** The dialog it came in, or the one its INVITE is about to make. */
  dialog: Dialog | undefined;
  /** Fixed by the first response: an application's later choice would break the call. */
  toTag: string | undefined;
  reliable: ReliableProvisionals | undefined;
  deadline: Timer | undefined;
  /** Key under which PRACK and UPDATE find an INVITE before its final response. */
  earlyKey: string | undefined;
  /** A CANCEL crossed our 2xx. */
  cancelledLate: boolean;
}

/** The requests that wait for their application. Each gets an answer: the application's or ours. */
export class InboundRequests {
  readonly #context: Context;
  readonly #inbound = new Map<string, Inbound>();
  readonly #early = new Map<string, Inbound>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** Requests without a final response. */
  get pending(): number {
    return this.#inbound.size;
  }

  find(transactionId: string): Inbound | undefined {
    return this.#inbound.get(transactionId);
  }

  /** The INVITE whose early dialog this request came in. */
  findEarly(request: SipRequest): Inbound | undefined {
    return this.#early.get(dialogIdOf(request));
  }

  /** False once its final response is sent or its application is past deciding. */
  has({ id }: Inbound): boolean {
    return this.#inbound.has(id);
  }

  /** Undefined when we no longer listen where it came in. */
  track(
    transaction: ServerTransaction,
    owner: ControlConnection,
    dialog: Dialog | undefined,
  ): Inbound | undefined {
    const contact = contactOf(this.#context.contacts, {
      transport: transaction.connection.transport,
      local: transaction.local,
    });
    if (contact === undefined) return undefined;
    const inbound: Inbound = {
      id: this.#context.ids(),
      transaction,
      contact,
      owner,
      dialog,
      toTag: undefined,
      reliable: undefined,
      deadline: undefined,
      earlyKey: undefined,
      cancelledLate: false,
    };
    this.#inbound.set(inbound.id, inbound);
    this.#expect(inbound, this.#silenceMs(transaction.request));
    transaction.onEnd(() => this.settle(inbound));
    return inbound;
  }

  /** An INVITE that rings may ring for longer, and PRACK and UPDATE may reach it. */
  keepEarly(inbound: Inbound): void {
    const { callId, fromTag } = inbound.transaction.request;
    this.#expect(inbound, this.#context.limits.ringTimeoutMs);
    if (inbound.earlyKey !== undefined || inbound.dialog !== undefined) return;
    inbound.earlyKey = sipDialogId(callId, inbound.toTag ?? "", fromTag ?? "");
    this.#early.set(inbound.earlyKey, inbound);
  }

  /** Nothing more is expected of the application for this request. */
  settle(inbound: Inbound): void {
    inbound.deadline?.cancel();
    inbound.reliable?.stop();
    this.#inbound.delete(inbound.id);
    if (inbound.earlyKey !== undefined) this.#early.delete(inbound.earlyKey);
  }

  /** Takes the request from its application, for a proxy; undefined if it is not (or no longer) there. */
  take(transactionId: string): ServerTransaction | undefined {
    const inbound = this.#inbound.get(transactionId);
    if (inbound !== undefined) this.settle(inbound);
    return inbound?.transaction;
  }

  /** The application left: its callers get an answer at once instead of silence. */
  forget(owner: ControlConnection): void {
    for (const inbound of this.#inbound.values()) {
      if (inbound.owner === owner) this.#giveUp(inbound, "the application is gone");
    }
  }

  /** A requester without INVITE gives up after 64·T1, so its answer has to come before that. */
  #silenceMs({ method }: SipRequest): number {
    const { limits, timers } = this.#context;
    return method === "INVITE" ? limits.silenceTimeoutMs : timers.timeoutMs * 0.9;
  }

  #expect(inbound: Inbound, withinMs: number): void {
    inbound.deadline?.cancel();
    inbound.deadline = this.#context.clock.after(withinMs, () => {
      this.#giveUp(inbound, "no answer from the application");
    });
  }

  #giveUp(inbound: Inbound, why: string): void {
    this.settle(inbound);
    refuse(inbound.transaction, 480, { Reason: `SIP;cause=480;text="${why}"` });
  }
}
