import type { SipConnection } from "../sip/connection.ts";
import { dialogIdOf, Dialog as SipDialog } from "../sip/dialog.ts";
import { parseNameAddr } from "../sip/fields.ts";
import type { SipMessage, SipRequest, SipResponse } from "../sip/message.ts";
import type { SessionTimer } from "../sip/session-timer.ts";
import type { ClientTransaction } from "../sip/transaction.ts";
import { parseUri } from "../sip/uri.ts";
import type { Contact } from "./contact.ts";
import type { ControlConnection } from "./control.ts";

interface DialogParts {
  owner: ControlConnection;
  contact: Contact;
  /** The flow the dialog came into being on. */
  connection: SipConnection;
}

/** A dialog as drachtio sees it: an application owns it and names it by its id. */
export class Dialog {
  /** `<Call-ID>;from-tag=<tag of the request that made it>`, in both roles. */
  readonly id: string;
  /** Method that made it: INVITE, SUBSCRIBE or REFER. */
  readonly method: string;
  /** Tags, numbers, route set, remote target. */
  readonly sip: SipDialog;
  readonly owner: ControlConnection;
  readonly contact: Contact;
  readonly connection: SipConnection;
  /** INVITEs of ours without a final response. */
  readonly pending = new Set<ClientTransaction>();
  /** 2xx to our INVITEs that the application has not acknowledged yet, oldest first. */
  readonly unacknowledged: { transaction: ClientTransaction; response: SipResponse }[] = [];

  /** The daemon knows it: it has begun and is not over. */
  listed = false;
  /** Our last SDP, for refreshing the session. */
  localSdp: Buffer | undefined;
  sessionExpiresS = 0;
  sessionTimer: SessionTimer | undefined;

  private constructor(request: SipRequest, sip: SipDialog, parts: DialogParts) {
    this.id = dialogId(request);
    this.method = request.method;
    this.sip = sip;
    sip.state.routeSet = sip.state.routeSet.filter(isReadable);
    this.owner = parts.owner;
    this.contact = parts.contact;
    this.connection = parts.connection;
  }

  /** We answered `request` with `response`. */
  static uas(request: SipRequest, response: SipResponse, parts: DialogParts): Dialog {
    const dialog = new Dialog(request, SipDialog.asUas(request, response), parts);
    dialog.describe(response);
    return dialog;
  }

  /** Our `request` was answered with `response`. */
  static uac(request: SipRequest, response: SipResponse, parts: DialogParts): Dialog {
    const dialog = new Dialog(request, SipDialog.asUac(request, response), parts);
    dialog.describe(request);
    return dialog;
  }

  /** Takes note of a message of ours that may carry a session description. */
  describe(message: SipMessage): void {
    const isSdp = /^application\/sdp\b/i.test(message.get("Content-Type") ?? "");
    if (isSdp && message.body.length > 0) this.localSdp = message.body;
  }
}

/** A route nobody can read leads nowhere: requests go on to the next. */
function isReadable(route: string): boolean {
  try {
    parseUri(parseNameAddr(route).uri);
    return true;
  } catch {
    return false;
  }
}

/** drachtio's name for the dialog a request makes; drachtio-srf builds the same text. */
export function dialogId(request: SipRequest): string {
  return `${request.callId};from-tag=${request.fromTag ?? ""}`;
}

/** Dialogs of applications that left stay, as with the real daemon; the oldest go beyond this. */
const DIALOG_LIMIT = 100_000;

/** Every dialog of the daemon, by its id for applications and by its tags for the network. */
export class Dialogs implements Disposable {
  readonly #byId = new Map<string, Dialog>();
  readonly #byTags = new Map<string, Dialog>();

  get size(): number {
    return this.#byTags.size;
  }

  /** Early dialogs of a fork share an id; the newest, or the confirmed one, answers to it. */
  add(dialog: Dialog): void {
    const [oldest] = this.#byTags.values();
    if (this.#byTags.size >= DIALOG_LIMIT && oldest !== undefined) this.remove(oldest);
    this.#byTags.set(dialog.sip.id, dialog);
    this.#byId.set(dialog.id, dialog);
    dialog.listed = true;
  }

  find(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  /** The dialog a request from the network belongs to: by Call-ID and tags, whatever its address. */
  match(request: SipRequest): Dialog | undefined {
    return this.#byTags.get(dialogIdOf(request));
  }

  remove(dialog: Dialog): void {
    dialog.sessionTimer?.cancel();
    dialog.listed = false;
    this.#byTags.delete(dialog.sip.id);
    if (this.#byId.get(dialog.id) === dialog) this.#byId.delete(dialog.id);
  }

  [Symbol.dispose](): void {
    for (const dialog of this.#byTags.values()) this.remove(dialog);
  }
}
