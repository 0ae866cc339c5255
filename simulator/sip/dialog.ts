import { SipError } from "./error.ts";
import { parseNameAddr } from "./fields.ts";
import { type HeaderInput, type SipMessage, SipRequest, type SipResponse } from "./message.ts";
import { isLoose } from "./routing.ts";

/** Everything a dialog is (RFC 3261 §12). Plain data, so that it can be kept and inspected. */
export interface DialogState {
  callId: string;
  localTag: string;
  /** Empty with an RFC 2543 peer that gives none. */
  remoteTag: string;
  /** From of our requests, with our tag. */
  localAddress: string;
  /** To of our requests, with the peer's tag. */
  remoteAddress: string;
  /** CSeq of our last request; undefined before the first. */
  localNumber: number | undefined;
  /** CSeq of the peer's last request. */
  remoteNumber: number | undefined;
  /** URI of the peer's Contact: the Request-URI of what we send. */
  remoteTarget: string;
  /** Route values, nearest hop first. */
  routeSet: readonly string[];
  role: "uac" | "uas";
  phase: "early" | "confirmed" | "terminated";
}

/** A request ready to be given to the stack, with the next hop that strict routing may change. */
export interface DialogRequest {
  request: SipRequest;
  nextHop: string;
}

export interface DialogRequestParts {
  headers?: HeaderInput;
  body?: Buffer | string;
  /** Request-URI instead of the remote target; the route set still applies. */
  uri?: string;
  /** CSeq to use, such as the INVITE's for its ACK. Default: one more than the last. */
  number?: number;
}

/** Identity of a dialog from one side; the same text for every message of it. */
export function dialogId(callId: string, localTag: string, remoteTag: string): string {
  return `${callId}|${localTag}|${remoteTag}`;
}

/** The dialog an incoming request belongs to, seen from us: its To tag is ours. */
export function dialogIdOf(request: SipRequest): string {
  return dialogId(request.callId, request.toTag ?? "", request.fromTag ?? "");
}

/** The dialog a response to our request belongs to: its From tag is ours. */
export function dialogIdOfResponse(response: SipResponse): string {
  return dialogId(response.callId, response.fromTag ?? "", response.toTag ?? "");
}

export class Dialog {
  /** Owned by the dialog; an application may correct it (NAT: another remote target). */
  readonly state: DialogState;

  constructor(state: DialogState) {
    this.state = state;
  }

  /** Our request was answered with 101-299 (RFC 3261 §12.1.2). */
  static asUac(request: SipRequest, response: SipResponse): Dialog {
    return new Dialog({
      callId: request.callId,
      localTag: request.fromTag ?? "",
      remoteTag: response.toTag ?? "",
      localAddress: request.get("From") ?? "",
      remoteAddress: response.get("To") ?? "",
      localNumber: request.cseq.number,
      remoteNumber: undefined,
      remoteTarget: contactUri(response) ?? request.uri,
      routeSet: response.list("Record-Route").toReversed(),
      role: "uac",
      phase: response.status < 200 ? "early" : "confirmed",
    });
  }

  /** We answered a request with 101-299 (RFC 3261 §12.1.1). */
  static asUas(request: SipRequest, response: SipResponse): Dialog {
    return new Dialog({
      callId: request.callId,
      localTag: response.toTag ?? "",
      remoteTag: request.fromTag ?? "",
      localAddress: response.get("To") ?? "",
      remoteAddress: request.get("From") ?? "",
      localNumber: undefined,
      remoteNumber: request.cseq.number,
      remoteTarget: contactUri(request) ?? request.from.uri,
      routeSet: request.list("Record-Route"),
      role: "uas",
      phase: response.status < 200 ? "early" : "confirmed",
    });
  }

  get id(): string {
    const { callId, localTag, remoteTag } = this.state;
    return dialogId(callId, localTag, remoteTag);
  }

  /** A later response to the request that made the dialog: it may confirm it and move the target. */
  confirm(response: SipResponse): void {
    const { state } = this;
    if (state.role === "uac") {
      state.remoteTarget = contactUri(response) ?? state.remoteTarget;
      // The route set is computed anew from the 2xx (RFC 3261 §13.2.2.4).
      if (state.phase === "early") state.routeSet = response.list("Record-Route").toReversed();
    }
    if (response.status >= 200 && state.phase === "early") state.phase = "confirmed";
  }

  terminate(): void {
    this.state.phase = "terminated";
  }

  /**
   * Takes note of a request of the peer. False when its CSeq is not above the last one: it came
   * out of order and wants 500 (RFC 3261 §12.2.2). ACK and CANCEL repeat a number and are fine.
   */
  receive(request: SipRequest): boolean {
    const { number, method } = request.cseq;
    const { remoteNumber } = this.state;
    if (method === "ACK" || method === "CANCEL") return true;
    if (remoteNumber !== undefined && number <= remoteNumber) return false;
    this.state.remoteNumber = number;
    this.#refresh(request);
    return true;
  }

  /** Takes note of a 2xx to our re-INVITE, UPDATE or SUBSCRIBE: it may move the target. */
  receiveResponse(response: SipResponse): void {
    if (response.status >= 200 && response.status < 300) this.#refresh(response);
  }

  /** A request of ours within the dialog (RFC 3261 §12.2.1.1). */
  request(method: string, parts: DialogRequestParts = {}): DialogRequest {
    const { state } = this;
    const number = parts.number ?? this.#nextNumber();
    const { uri, routes, nextHop } = this.#route(parts.uri ?? state.remoteTarget);
    const request = new SipRequest({ method, uri, body: parts.body });
    request.add("Max-Forwards", "70");
    for (const route of routes) request.add("Route", route);
    request.add("From", state.localAddress);
    request.add("To", state.remoteAddress);
    request.add("Call-ID", state.callId);
    request.add("CSeq", `${number} ${method}`);
    request.setAll(parts.headers);
    return { request, nextHop };
  }

  /** The ACK for a 2xx to our INVITE; `number` is the INVITE's. */
  ack(number: number, parts: Omit<DialogRequestParts, "number"> = {}): DialogRequest {
    return this.request("ACK", { ...parts, number });
  }

  #nextNumber(): number {
    const number = (this.state.localNumber ?? 0) + 1;
    if (number >= 2 ** 31) throw new SipError("SIP_STATE", "the dialog has used up its CSeqs");
    this.state.localNumber = number;
    return number;
  }

  /** Loose routers keep the target in the Request-URI; a strict one wants its own URI there. */
  #route(target: string): { uri: string; routes: readonly string[]; nextHop: string } {
    const { routeSet } = this.state;
    const [first, ...rest] = routeSet;
    if (first === undefined) return { uri: target, routes: [], nextHop: target };
    const { uri } = parseNameAddr(first);
    if (isLoose(uri)) return { uri: target, routes: routeSet, nextHop: uri };
    return { uri, routes: [...rest, `<${target}>`], nextHop: uri };
  }

  #refresh(message: SipMessage): void {
    if (TARGET_REFRESH.has(message.cseq.method)) {
      this.state.remoteTarget = contactUri(message) ?? this.state.remoteTarget;
    }
  }
}

/** Methods whose Contact moves the remote target (RFC 3261 §12.2, RFC 3311, RFC 6665). */
const TARGET_REFRESH = new Set(["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"]);

function contactUri(message: SipMessage): string | undefined {
  return message.contact?.uri;
}
