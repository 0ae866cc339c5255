import type { SipResponse } from "../sip/message.ts";
import type { ClientTransaction, Flow } from "../sip/transaction.ts";
import type { Contact } from "./contact.ts";
import type { Context } from "./context.ts";
import type { ControlConnection } from "./control.ts";
import { Dialog } from "./dialog.ts";
import type { OwnRequests } from "./own-requests.ts";

export interface ForksParts {
  context: Context;
  own: OwnRequests;
  transaction: ClientTransaction;
  owner: ControlConnection;
  contact: Contact;
}

interface Fork {
  dialog: Dialog;
  /** Of the last reliable provisional response. */
  rseq: number;
}

/**
 * The dialogs a new INVITE of an application makes, one for each To tag that answers. All of them
 * go by the same drachtio id, so only one may be the application's: the first to accept.
 */
export class Forks {
  readonly #parts: ForksParts;
  readonly #byTag = new Map<string, Fork>();
  #winner: Dialog | undefined;

  constructor(parts: ForksParts) {
    this.#parts = parts;
  }

  /** Follows a 1xx or 2xx. False for what the application may not see: repeats, and who lost. */
  follow(response: SipResponse, flow: Flow): boolean {
    const { toTag, status } = response;
    if (toTag === undefined) return true;
    const fork = this.#forkOf(toTag, response, flow);
    return status < 200 ? isNews(fork, response) : this.#accept(fork.dialog, response);
  }

  /** The dialog whose reliable response has this RSeq. */
  find(id: string, rseq: number): Dialog | undefined {
    for (const { dialog, rseq: last } of this.#byTag.values()) {
      if (dialog.id === id && last === rseq) return dialog;
    }
    return undefined;
  }

  /** The INVITE failed: none of its early dialogs is left. */
  forget(): void {
    for (const { dialog } of this.#byTag.values()) this.#parts.context.dialogs.remove(dialog);
  }

  #forkOf(tag: string, response: SipResponse, { connection }: Flow): Fork {
    const known = this.#byTag.get(tag);
    known?.dialog.sip.confirm(response);
    if (known !== undefined) return known;
    const { transaction, owner, contact, context } = this.#parts;
    const dialog = Dialog.uac(transaction.request, response, { owner, contact, connection });
    const fork = { dialog, rseq: 0 };
    this.#byTag.set(tag, fork);
    if (this.#winner === undefined) context.dialogs.add(dialog);
    return fork;
  }

  /** The 2xx of a further branch is acknowledged and ended (RFC 3261 §13.2.2.4). */
  #accept(dialog: Dialog, response: SipResponse): boolean {
    const { context, own, transaction, owner } = this.#parts;
    dialog.unacknowledged.push({ transaction, response });
    if (this.#winner !== undefined) {
      own.hangUpSilently(dialog, "another branch answered");
      return false;
    }
    this.#winner = dialog;
    this.forget();
    if (!owner.open) {
      own.hangUpSilently(dialog, "the application is gone");
      return false;
    }
    context.dialogs.add(dialog);
    context.cdrs.start("network", "uac", response);
    context.sessions.arm(dialog, "uac", response);
    return true;
  }
}

/** RFC 3262 §4: a reliable response counts once, and in order. */
function isNews(fork: Fork, response: SipResponse): boolean {
  const rseq = Number(response.get("RSeq") ?? Number.NaN);
  if (Number.isNaN(rseq)) return true;
  if (rseq <= fork.rseq) return false;
  fork.rseq = rseq;
  return true;
}
