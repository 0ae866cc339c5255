import type { SipResponse } from "../sip/message.ts";
import { endsSession } from "../sip/session-timer.ts";
import type { ClientTransaction } from "../sip/transaction.ts";
import type { CdrReason } from "./cdr.ts";
import { type Context, notifyUnsolicited } from "./context.ts";
import type { Dialog } from "./dialog.ts";
import type { Hop } from "./meta.ts";
import { dialogHop } from "./next-hop.ts";

const SESSION_EXPIRED = "Session timer expired";

/** Requests the daemon sends within an application's dialog without being asked. */
export class OwnRequests {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Ends a call by the daemon's own decision: ACK what is open, BYE, and tell the application.
   * Nothing happens when it is over already, by a BYE of either side in the meantime.
   */
  hangUp(dialog: Dialog, why: string): void {
    if (!dialog.listed) return;
    const transaction = this.#end(dialog, why);
    this.#context.cdrs.stop("application", endReason(why), transaction.request);
    const { transport, local } = dialog.connection;
    // What an application sent has our own address in its frame, and so has what we sent for it.
    const tell = (hop: Hop = { transport, remote: local }) =>
      notifyUnsolicited(this.#context, dialog.owner, {
        message: transaction.request,
        dialogId: dialog.id,
        ...hop,
      });
    transaction.sent.then(
      (flow) => tell({ transport: flow.connection.transport, remote: flow.local }),
      () => tell(),
    );
  }

  /**
   * Ends a call nobody knows of: another branch of the same INVITE was quicker. The application
   * must not hear of it, since the dialog it has goes by the same id.
   */
  hangUpSilently(dialog: Dialog, why: string): void {
    this.#end(dialog, why);
  }

  #end(dialog: Dialog, why: string): ClientTransaction {
    this.#context.dialogs.remove(dialog);
    for (const invite of dialog.pending) invite.cancel();
    for (const { transaction, response } of dialog.unacknowledged.splice(0)) {
      const { request, nextHop } = dialog.sip.ack(response.cseq.number);
      // A broken path keeps the ACK from arriving, and the BYE after it; both ends time out then.
      transaction.acknowledge(response, request, dialogHop(dialog, nextHop)).catch(() => {});
    }
    const headers = { Reason: `SIP;cause=200;text="${why}"` };
    const { request: bye, nextHop } = dialog.sip.request("BYE", { headers });
    return this.#context.stack.request(bye, dialogHop(dialog, nextHop));
  }

  /**
   * Refreshes a session on the daemon's own account. While an INVITE of the application is under
   * way there must be no other (RFC 3261 §14.1), and the session may be refreshed by that one.
   */
  refresh(dialog: Dialog): void {
    if (dialog.pending.size > 0) return dialog.sessionTimer?.refreshLater();
    const { localSdp, sessionExpiresS, contact } = dialog;
    const headers = {
      Contact: `<${contact.uri}>`,
      Supported: "timer",
      "Session-Expires": `${sessionExpiresS};refresher=uac`,
      ...(localSdp === undefined ? {} : { "Content-Type": "application/sdp" }),
    };
    const body = localSdp ?? "";
    const { request, nextHop } = dialog.sip.request("INVITE", { headers, body });
    const transaction = this.#context.stack.request(request, dialogHop(dialog, nextHop));
    dialog.pending.add(transaction);
    transaction.onEnd(() => dialog.pending.delete(transaction));
    transaction.final.then(
      (response) => this.#refreshed(dialog, transaction, response),
      () => this.hangUp(dialog, SESSION_EXPIRED),
    );
  }

  #refreshed(dialog: Dialog, transaction: ClientTransaction, response: SipResponse): void {
    if (endsSession(response)) return this.hangUp(dialog, SESSION_EXPIRED);
    if (response.status >= 300) return dialog.sessionTimer?.refreshLater();
    dialog.sip.receiveResponse(response);
    const { request, nextHop } = dialog.sip.ack(response.cseq.number);
    // Without its ACK the peer repeats its answer and then ends the call itself.
    transaction.acknowledge(response, request, dialogHop(dialog, nextHop)).catch(() => {});
    this.#context.sessions.arm(dialog, "uac", response);
  }

  /** The session was not refreshed in time. */
  expire(dialog: Dialog): void {
    this.hangUp(dialog, SESSION_EXPIRED);
  }
}

function endReason(why: string): CdrReason {
  return why === SESSION_EXPIRED ? "session-expired" : "system-initiated-termination";
}
