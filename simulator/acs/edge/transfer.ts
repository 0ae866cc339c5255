import { SipError } from "../../sip/error.ts";
import type { SipRequest } from "../../sip/message.ts";
import { parseUri, sameUri } from "../../sip/uri.ts";
import { PstnRefusal } from "../pstn.ts";
import type { Bridges } from "./bridge.ts";
import type { EdgeCall } from "./call.ts";
import { type DialOrder, dialRoutes, dialTrunk } from "./dial.ts";
import { isOneLine } from "./headers.ts";
import { hexId, replacementUri } from "./identity.ts";
import type { IncomingInvite } from "./invite.ts";
import { NotifyWatch } from "./notify.ts";
import { type EdgeRefusal, refusedByEdge, refusedByNetwork, refusedBySbc } from "./refusal.ts";
import type { EdgeServices } from "./services.ts";

export interface TransferOrder {
  /** E.164. */
  readonly target: string;
  readonly sipHeaders: Readonly<Record<string, string>>;
  /** Caller id shown to the target. */
  readonly from: string;
  /** Number of the party that is moved. */
  readonly party: string;
  readonly signal?: AbortSignal;
}

/** What an INVITE has to do with a transfer: it is the one asked for, or it is refused. */
export interface TransferClaim {
  readonly context?: TransferContext;
  readonly refusal?: EdgeRefusal;
}

export type TransferMethod = "hairpin" | "direct" | "replaces" | "internal";

/** A REFER that waits for the INVITE it asked for. */
interface TransferContext {
  readonly call: EdgeCall;
  readonly order: TransferOrder;
  /** Values as they went out; what comes back is compared byte for byte. */
  readonly referTo: string;
  readonly referredBy: string;
  readonly replacement: string;
  /** Ends the search for the target when the transfer is over. */
  readonly abort: AbortController;
  /** The referred INVITE has come. */
  claimed: boolean;
  /** What the third INVITE, or the referred one, was refused with. */
  failure: PstnRefusal | undefined;
}

/**
 * Moves a telephone party to another number, by what its border controller can do: REFER that comes
 * back as a new INVITE (hairpin), REFER that it routes itself (`directTransfer`), INVITE with
 * Replaces, or a second call that the edge joins itself. A failed transfer leaves the call alone.
 */
export class TransferEngine {
  readonly #edge: EdgeServices;
  readonly #bridges: Bridges;
  readonly #contexts = new Map<string, TransferContext>();

  constructor(edge: EdgeServices, bridges: Bridges) {
    this.#edge = edge;
    this.#bridges = bridges;
  }

  /** Resolves when the target has answered; rejects with {@link PstnRefusal}. */
  async transfer(call: EdgeCall, order: TransferOrder): Promise<void> {
    const unsafe = Object.entries(order.sipHeaders).find(([, value]) => !isOneLine(value));
    if (unsafe !== undefined) {
      const text = `the value of ${unsafe[0]} contains a line end`;
      throw refusedByEdge({ status: 400, subCode: 540_400, text }, `transfer to ${order.target}`);
    }
    const method = this.#method(call);
    this.#trace(call, "none", "started", { method, target: order.target });
    try {
      await this.#run(method, call, order);
      this.#trace(call, "started", "accepted", { method });
    } catch (error) {
      this.#trace(call, "started", "failed", { method, reason: messageOf(error) });
      throw error;
    }
  }

  /**
   * Is this INVITE the answer to a REFER of ours? Undefined: no, an ordinary call. A refusal: it
   * should be, but is not what was asked for; the message names the header. `fault` is what the
   * INVITE is refused for in any case: then the transfer it belongs to fails with it.
   */
  claim(request: SipRequest, fault: EdgeRefusal | undefined): TransferClaim | undefined {
    const referredBy = request.get("Referred-By");
    const replacement = /x-tt=([^;>\s]+)/.exec(referredBy ?? "")?.[1] ?? "";
    const context = this.#contexts.get(replacement) ?? this.#bySimilarity(request);
    if (context === undefined) return referredBy === undefined ? undefined : UNKNOWN_TRANSFER;
    const altered = fault === undefined ? this.#fault(request, context) : undefined;
    const refusal = fault ?? altered?.refusal;
    if (refusal === undefined) {
      context.claimed = true;
      // An earlier INVITE may have been refused, with 422 for one; this one counts.
      context.failure = undefined;
      return { context };
    }
    if (altered !== undefined) {
      this.#edge.options.findings.add(altered.code, refusal.text, context.call.identity.xI);
    }
    context.failure = refusedByEdge(refusal, `transfer to ${context.order.target}`);
    return { refusal };
  }

  /** Routes the referred INVITE: the third INVITE, and then both joined in the edge. */
  async carry(invite: IncomingInvite, context: TransferContext): Promise<void> {
    const { order, call, abort } = context;
    try {
      const third = await this.#dial(order, {
        correlationId: call.identity.xI,
        signal: AbortSignal.any([invite.cancelled, abort.signal]),
        onProgress: () => invite.ring(),
      });
      await this.#joinReferred(invite, third);
    } catch (error) {
      const refusal = asRefusal(error, `transfer to ${order.target}`);
      context.failure = refusal;
      invite.refuse({ status: refusal.code, subCode: refusal.subCode, text: refusal.message });
    }
  }

  async #joinReferred(invite: IncomingInvite, third: EdgeCall): Promise<void> {
    try {
      this.#bridges.join(await invite.answer(), third);
    } catch (error) {
      await third.bye("CallEndReasonTransferFailed");
      throw error;
    }
  }

  #method({ trunk, abilities }: EdgeCall): TransferMethod {
    if (abilities.refer) return trunk.directTransfer ? "direct" : "hairpin";
    const isReplaced = abilities.replaces && this.#edge.policy.withoutRefer === "replaces";
    return isReplaced ? "replaces" : "internal";
  }

  async #run(method: TransferMethod, call: EdgeCall, order: TransferOrder): Promise<void> {
    const methods: Record<TransferMethod, () => Promise<void>> = {
      hairpin: () => this.#hairpin(call, order),
      direct: () => this.#direct(call, order),
      replaces: () => this.#replaces(call, order),
      internal: () => this.#internal(call, order),
    };
    await methods[method]();
  }

  async #hairpin(call: EdgeCall, order: TransferOrder): Promise<void> {
    const context = this.#open(call, order);
    const withHeaders = this.#edge.policy.hairpinHeaders === "thirdInviteAndRefer";
    try {
      await this.#refer(call, context, withHeaders ? order.sipHeaders : {});
      if (!context.claimed) this.#bypassed(context);
    } finally {
      this.#contexts.delete(context.replacement);
      // Whatever still rings rings for nobody; what was answered is joined and stays.
      context.abort.abort(new Error("the transfer is over"));
    }
  }

  /** The border controller reports success and never came back: it has dialled by itself. */
  #bypassed({ call, referTo }: TransferContext): void {
    const text = `the transfer succeeded without an INVITE for ${referTo}: it has to go to Microsoft`;
    this.#edge.options.findings.add("REFERRED_INVITE_MISSING", text, call.identity.xI);
  }

  async #direct(call: EdgeCall, order: TransferOrder): Promise<void> {
    const context = this.#context(call, order, this.#directTarget(call, order));
    await this.#refer(call, context, order.sipHeaders);
  }

  /** REFER, its NOTIFYs, and on success the end of the dialog that was referred. */
  async #refer(
    call: EdgeCall,
    context: TransferContext,
    sipHeaders: Readonly<Record<string, string>>,
  ): Promise<void> {
    const what = `transfer to ${context.order.target}`;
    using watch = new NotifyWatch(this.#edge, call, {
      what,
      signal: context.order.signal,
      progress: () =>
        context.claimed ? "the referred INVITE has come" : "no referred INVITE came",
    });
    const headers = {
      "Refer-To": context.referTo,
      "Referred-By": context.referredBy,
      ...sipHeaders,
    };
    await this.#sendRefer(call, headers, watch);
    const outcome = await watch.outcome.catch((error: unknown) => {
      throw context.failure ?? error;
    });
    if (context.failure !== undefined) throw context.failure;
    if (outcome.status >= 300) throw refusedBySbc(outcome, what);
    await call.bye("CallEndReasonTransferred", "transfer");
  }

  async #sendRefer(call: EdgeCall, headers: Record<string, string>, watch: NotifyWatch) {
    const otherAddress = this.#edge.policy.referFromOtherAddress;
    try {
      const { final } = call.send("REFER", { headers }, { otherAddress });
      const response = await Promise.race([final, watch.failed]);
      if (response.status >= 300) throw refusedBySbc(response, "REFER");
    } catch (error) {
      if (error instanceof SipError && error.code === "SIP_TIMEOUT") watch.unanswered();
      throw asRefusal(error, "REFER");
    }
  }

  async #internal(call: EdgeCall, order: TransferOrder): Promise<void> {
    const third = await this.#dial(order, {
      correlationId: call.identity.xI,
      signal: whileUp(call, order.signal),
    });
    // What the application has queued would interrupt the other side's voice.
    call.media.flush();
    this.#bridges.join(call, third);
  }

  /** Calls the target first; then a new dialog takes the place of the old one. */
  async #replaces(call: EdgeCall, order: TransferOrder): Promise<void> {
    const correlationId = call.identity.xI;
    const signal = whileUp(call, order.signal);
    const third = await this.#dial(order, { correlationId, signal });
    const { callId, localTag, remoteTag, remoteTarget } = call.dialog.state;
    try {
      const value = `${callId};to-tag=${remoteTag};from-tag=${localTag}`;
      const replacement = await dialTrunk(this.#edge, {
        to: order.party,
        from: order.target,
        correlationId,
        signal,
        trunk: call.trunk,
        datacenter: call.datacenter,
        replaces: { value, uri: remoteTarget },
      });
      this.#bridges.join(replacement, third);
    } catch (error) {
      await third.bye("CallEndReasonTransferFailed");
      throw error;
    }
    await call.bye("CallEndReasonTransferred", "transfer");
  }

  #dial(
    { target, from, sipHeaders }: TransferOrder,
    rest: Pick<DialOrder, "correlationId" | "signal" | "onProgress">,
  ): Promise<EdgeCall> {
    return dialRoutes(this.#edge, { to: target, from, sipHeaders, ...rest });
  }

  #open(call: EdgeCall, order: TransferOrder): TransferContext {
    const { name, port } = call.datacenter;
    const { policy, resource, ids } = this.#edge.options;
    const mri = `x-m=8:acs:${resource.resourceId}_${hexId(ids)}`;
    const target =
      policy.referTo === "phone"
        ? `<sip:${order.target}@${name}:${port};transport=tls;user=phone>`
        : `<sip:${name}:${port};transport=tls;${mri}>`;
    const context = this.#context(call, order, target);
    this.#contexts.set(context.replacement, context);
    return context;
  }

  #context(call: EdgeCall, order: TransferOrder, referTo: string): TransferContext {
    const { resource, ids } = this.#edge.options;
    const { name, port, region } = call.datacenter;
    const replacement = replacementUri(region, hexId(ids));
    const transferor = `x-m=8:acs:${resource.resourceId}_${hexId(ids)};x-t=${resource.resourceId}`;
    const referredBy = `<sip:${name}:${port};${transferor};x-ti=${call.identity.xI};x-tt=${replacement}>`;
    const abort = new AbortController();
    return {
      call,
      order,
      referTo,
      referredBy,
      replacement,
      abort,
      claimed: false,
      failure: undefined,
    };
  }

  #directTarget({ trunk }: EdgeCall, { target, sipHeaders }: TransferOrder): string {
    const uri = `sip:${target}@${trunk.fqdn}:${trunk.sipSignalingPort};transport=tls;user=phone`;
    if (this.#edge.policy.directTransferHeaders === "refer") return `<${uri}>`;
    const pairs = Object.entries(sipHeaders).map(
      ([name, value]) => `${name}=${encodeURIComponent(value)}`,
    );
    return pairs.length === 0 ? `<${uri}>` : `<${uri}?${pairs.join("&")}>`;
  }

  /** An INVITE without a usable Referred-By may still be the one: its target gives it away. */
  #bySimilarity(request: SipRequest): TransferContext | undefined {
    return [...this.#contexts.values()].find(
      ({ claimed, referTo }) => !claimed && sameTarget(request.uri, referTo),
    );
  }

  #fault(request: SipRequest, { call, referTo, referredBy }: TransferContext) {
    const got = request.get("Referred-By");
    if (got === undefined) {
      return alteration("REFERRED_BY_MISSING", "the referred INVITE has no Referred-By");
    }
    if (got.trim() !== referredBy) {
      const text = `Referred-By is altered: ${difference(referredBy, got)}`;
      return alteration("REFERRED_BY_ALTERED", text);
    }
    if (!sameTarget(request.uri, referTo)) {
      const text = `Request-URI is not the Refer-To: expected ${referTo}, got ${request.uri}`;
      return alteration("REFER_TO_ALTERED", text);
    }
    if (`<${request.uri}>` !== referTo) {
      const message = `Request-URI is spelled otherwise than Refer-To: ${request.uri}`;
      this.#edge.options.findings.add("REFER_TO_RESPELLED", message, call.identity.xI);
    }
    return undefined;
  }

  #trace(call: EdgeCall, from: string, to: string, detail: Record<string, unknown>): void {
    const { trace } = this.#edge.options;
    const id = call.dialog.id;
    trace.record({ type: "state", subject: "transfer", id, from, to, detail }, call.identity.xI);
  }
}

const UNKNOWN_TRANSFER: TransferClaim = {
  refusal: {
    status: 403,
    subCode: 510_403,
    text: "Referred-By names no transfer that is waiting (x-tt unknown or expired)",
  },
};

function alteration(code: string, text: string) {
  const refusal: EdgeRefusal = { status: 403, subCode: 510_403, text };
  return { code, refusal };
}

/** Aborted when the caller hangs up, or the application gives up. */
function whileUp(call: EdgeCall, signal: AbortSignal | undefined): AbortSignal {
  const gone = new AbortController();
  void call.ended.then(() => gone.abort(new Error("the caller hung up")));
  return signal === undefined ? gone.signal : AbortSignal.any([signal, gone.signal]);
}

function sameTarget(uri: string, referTo: string): boolean {
  const [a, b] = [parseUri(uri), parseUri(referTo.slice(1, -1))];
  return sameUri(a, b);
}

/** Where two texts part, with what each has there. */
function difference(expected: string, got: string): string {
  let from = 0;
  while (from < expected.length && expected[from] === got[from]) from += 1;
  const part = (text: string) => `"${text.slice(from, from + 40)}"`;
  return `at character ${from} expected ${part(expected)}, got ${part(got)}`;
}

function asRefusal(error: unknown, what: string): PstnRefusal {
  return error instanceof PstnRefusal ? error : refusedByNetwork(error, what);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
