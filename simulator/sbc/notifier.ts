import type Srf from "drachtio-srf";

/**
 * The implicit subscription of a REFER (RFC 3515 §2.4): reports, one after the other, how the new
 * call fares. After the final report, or once the peer refuses one, nothing more is sent.
 */
export class ReferNotifier {
  readonly #dialog: Srf.Dialog;
  readonly #headers: Readonly<Record<string, string>>;
  #last: Promise<void> = Promise.resolve();
  #done = false;

  constructor(dialog: Srf.Dialog, headers: Readonly<Record<string, string>>) {
    this.#dialog = dialog;
    this.#headers = headers;
  }

  /** 100 to 199: the call goes on; anything else is the end of it. Resolves when it was answered. */
  report(status: number, reason: string): Promise<void> {
    this.#last = this.#last.then(() => this.#send(status, reason));
    return this.#last;
  }

  /** No report any more: the peer would not understand one. */
  stop(): void {
    this.#done = true;
  }

  async #send(status: number, reason: string): Promise<void> {
    if (this.#done) return;
    const final = status >= 200;
    this.#done = final;
    const headers = {
      ...this.#headers,
      Event: "refer",
      "Subscription-State": final ? "terminated;reason=noresource" : "active;expires=60",
      "Content-Type": "message/sipfrag;version=2.0",
    };
    try {
      const body = `SIP/2.0 ${status} ${reason}\r\n`;
      const answer = await this.#dialog.request({ method: "NOTIFY", headers, body });
      if (answer.status >= 300) this.#done = true;
    } catch {
      // The dialog is gone: nobody is left to be told.
      this.#done = true;
    }
  }
}
