import type { SipConnection } from "../sip/connection.ts";
import { parseNameAddr, tagOf } from "../sip/fields.ts";
import { type HeaderInput, type SipMessage, SipRequest, type SipResponse } from "../sip/message.ts";
import type { ClientTransaction } from "../sip/transaction.ts";
import { parseUri } from "../sip/uri.ts";
import type { Contact } from "./contact.ts";
import type { ControlConnection } from "./control.ts";

/** What both ways into a dialog have in common. */
interface DialogParts {
  owner: ControlConnection;
  contact: Contact;
  /** The flow the dialog came into being on. */
  connection: SipConnection;
}

/**
 * A dialog as drachtio sees it: an application owns it and names it by its id; requests of the
 * peer find it by Call-ID and tags (RFC 3261 §12).
 */
export class Dialog {
  /** `<Call-ID>;from-tag=<tag of the request that made it>`, in both roles. */
  readonly id: string;
  readonly role: "uas" | "uac";
  /** Method that made it: INVITE, SUBSCRIBE or REFER. */
  readonly method: string;
  readonly callId: string;
  /** Our From value, tag included. */
  readonly local: string;
  /** Our To value, tag included. */
  readonly remote: string;
  readonly owner: ControlConnection;
  readonly contact: Contact;
  readonly connection: SipConnection;
  readonly routeSet: readonly string[];
  /** Where the peer wants requests; undefined until it said so in a Contact. */
  remoteTarget: string | undefined;
  /** Before its first 2xx. */
  early: boolean;
  localCseq: number;
  remoteCseq: number | undefined;
  /** INVITEs of ours without a final response. */
  readonly pending = new Set<ClientTransaction>();
  /** 2xx to our INVITEs that the application has not acknowledged yet, oldest first. */
  readonly unacknowledged: { transaction: ClientTransaction; response: SipResponse }[] = [];

  private constructor(role: "uas" | "uac", shape: DialogShape, parts: DialogParts) {
    this.role = role;
    this.id = dialogId(shape.request);
    this.method = shape.request.method;
    this.callId = shape.request.callId;
    this.local = shape.local;
    this.remote = shape.remote;
    this.routeSet = shape.routeSet;
    this.remoteTarget = shape.remoteTarget;
    this.early = shape.early;
    this.localCseq = shape.localCseq;
    this.remoteCseq = shape.remoteCseq;
    this.owner = parts.owner;
    this.contact = parts.contact;
    this.connection = parts.connection;
  }

  /** We answered `request` with `response` (RFC 3261 §12.1.1). */
  static uas(request: SipRequest, response: SipResponse, parts: DialogParts): Dialog {
    const shape = {
      request,
      local: response.get("To") ?? "",
      remote: request.get("From") ?? "",
      routeSet: request.list("Record-Route"),
      remoteTarget: contactUri(request),
      early: response.status < 200,
      localCseq: 0,
      remoteCseq: request.cseq.number,
    };
    return new Dialog("uas", shape, parts);
  }

  /** Our `request` was answered with `response` (RFC 3261 §12.1.2). */
  static uac(request: SipRequest, response: SipResponse, parts: DialogParts): Dialog {
    const shape = {
      request,
      local: request.get("From") ?? "",
      remote: response.get("To") ?? "",
      routeSet: response.list("Record-Route").toReversed(),
      remoteTarget: contactUri(response),
      early: response.status < 200,
      localCseq: request.cseq.number,
      remoteCseq: undefined,
    };
    return new Dialog("uac", shape, parts);
  }

  /** What {@link receiverKey} gives for requests of the peer. */
  get key(): string {
    return keyOf(this.callId, tagOf(this.local), tagOf(this.remote));
  }

  /** False for a request that is older than one already seen (RFC 3261 §12.2.2). */
  accepts(request: SipRequest): boolean {
    const { number } = request.cseq;
    if (this.remoteCseq !== undefined && number < this.remoteCseq) return false;
    this.remoteCseq = number;
    return true;
  }

  /** Takes the Contact of a target refresh: re-INVITE, UPDATE, and their answers. */
  refresh(message: SipMessage): void {
    this.remoteTarget = contactUri(message) ?? this.remoteTarget;
  }

  /** A request within the dialog, without Via and Contact. ACK keeps the number it is given. */
  request(method: string, parts: InDialogParts = {}): SipRequest {
    const { cseq = this.localCseq + 1, uri = this.remoteTarget ?? "" } = parts;
    if (method !== "ACK") this.localCseq = Math.max(this.localCseq, cseq);
    const { requestUri, routes } = route(this.routeSet, uri);
    const request = new SipRequest({
      method,
      uri: requestUri,
      headers: [
        ...routes.map((each) => ["Route", each] as const),
        ["Max-Forwards", String(parts.maxForwards ?? 70)],
        ["From", this.local],
        ["To", this.remote],
        ["Call-ID", this.callId],
        ["CSeq", `${cseq} ${method}`],
      ],
      ...(parts.body === undefined ? {} : { body: parts.body }),
    });
    request.addAll(parts.headers);
    return request;
  }
}

interface DialogShape {
  request: SipRequest;
  local: string;
  remote: string;
  routeSet: readonly string[];
  remoteTarget: string | undefined;
  early: boolean;
  localCseq: number;
  remoteCseq: number | undefined;
}

export interface InDialogParts {
  /** Default: the remote target. */
  uri?: string;
  cseq?: number;
  maxForwards?: number;
  headers?: HeaderInput;
  body?: Buffer | string;
}

export function dialogId(request: SipRequest): string {
  return `${request.callId};from-tag=${request.fromTag ?? ""}`;
}

/** The table key under which a request from the network finds its dialog. */
export function receiverKey(request: SipRequest): string {
  return keyOf(request.callId, request.toTag, request.fromTag);
}

function keyOf(callId: string, localTag: string | undefined, remoteTag: string | undefined) {
  return `${callId}\n${localTag ?? ""}\n${remoteTag ?? ""}`;
}

function contactUri(message: SipMessage): string | undefined {
  try {
    return message.contact?.uri;
  } catch {
    // An unreadable Contact is like none: requests then go where the peer's came from.
    return undefined;
  }
}

/** Request-URI and Route of RFC 3261 §12.2.1.1: a first hop without `lr` is a strict router. */
function route(routeSet: readonly string[], target: string) {
  const [first, ...rest] = routeSet;
  if (first === undefined) return { requestUri: target, routes: [] };
  const { uri } = parseNameAddr(first);
  const parsed = parseUri(uri);
  if (parsed.kind === "sip" && parsed.parameters.has("lr")) {
    return { requestUri: target, routes: routeSet };
  }
  return { requestUri: uri, routes: [...rest, `<${target}>`] };
}

/** Every dialog of the daemon, by its id for applications and by its tags for the network. */
export class Dialogs {
  readonly #byId = new Map<string, Dialog>();
  readonly #byKey = new Map<string, Dialog>();

  get size(): number {
    return this.#byKey.size;
  }

  /** Early dialogs of a fork share an id; the newest, or the confirmed one, answers to it. */
  add(dialog: Dialog): void {
    const { id, key } = dialog;
    this.#byKey.set(key, dialog);
    this.#byId.set(id, dialog);
  }

  find(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  match(request: SipRequest): Dialog | undefined {
    return this.#byKey.get(receiverKey(request));
  }

  /** The dialog that `response` to our `request` belongs to. */
  matchResponse(response: SipResponse): Dialog | undefined {
    return this.#byKey.get(keyOf(response.callId, response.fromTag, response.toTag));
  }

  remove(dialog: Dialog): void {
    const { id, key } = dialog;
    this.#byKey.delete(key);
    if (this.#byId.get(id) === dialog) this.#byId.delete(id);
  }
}
