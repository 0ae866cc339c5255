import { MediaRefused } from "../../media/sdp.ts";
import type { MediaSession } from "../../media/session.ts";
import { Dialog } from "../../sip/dialog.ts";
import { SipRequest, type SipResponse } from "../../sip/message.ts";
import type { ClientTransaction } from "../../sip/transaction.ts";
import { PstnRefusal } from "../pstn.ts";
import type { Trunk } from "../resource.ts";
import { EdgeCall } from "./call.ts";
import type { Datacenter } from "./datacenter.ts";
import { historyInfo, REDIRECTED, type Redirection } from "./history.ts";
import { bracketed, createIdentity, type DialogIdentity, hexId } from "./identity.ts";
import type { EdgePolicy } from "./policy.ts";
import {
  causeOf,
  formatReason,
  REFUSALS,
  refusedByEdge,
  refusedByNetwork,
  refusedBySbc,
} from "./refusal.ts";
import type { EdgeServices } from "./services.ts";
import { agreedAsCaller, offerHeaders } from "./session-timer.ts";

/** A call to be made to the telephone network. */
export interface DialOrder {
  /** E.164. */
  readonly to: string;
  /** E.164 or "anonymous". */
  readonly from: string;
  readonly sipHeaders?: Readonly<Record<string, string>>;
  readonly correlationId: string;
  /** Where to dial from while it serves; default: the first datacenter. */
  readonly datacenter?: Datacenter;
  readonly signal?: AbortSignal;
  readonly redirectedFrom?: Redirection;
  /** 180, 183, 181 as they come. */
  readonly onProgress?: (status: number) => void;
}

/** The same with the trunk chosen, and for a call that takes another one's place. */
export interface TrunkOrder extends DialOrder {
  readonly trunk: Trunk;
  /** Value of a Replaces header, and the Request-URI that goes with it. */
  readonly replaces?: { readonly value: string; readonly uri: string };
}

/** Only these finals, or none at all, make Microsoft try the next border controller. */
const FAILOVER_STATUSES = new Set([408, 503, 504]);

/**
 * Calls out by the voice routes: first matching route first, its trunks in random order, trunks
 * that are not healthy last. Rejects with {@link PstnRefusal}.
 */
export async function dialRoutes(edge: EdgeServices, order: DialOrder): Promise<EdgeCall> {
  const what = `call to ${order.to}`;
  if (edge.options.resource.routesFor(order.to).length === 0) {
    const warnings = edge.options.resource.warnings.map((warning) => `; ${warning}`).join("");
    throw refusedByEdge(REFUSALS.noRoute, `${what}: no voice route matches${warnings}`);
  }
  let last = refusedByEdge(REFUSALS.noRoute, `${what}: no trunk of its voice routes is available`);
  for (const { trunk, from } of candidates(edge, order)) {
    try {
      return await dialFromAnywhere(edge, { ...order, trunk, from });
    } catch (error) {
      if (!(error instanceof PstnRefusal) || !isFailover(error)) throw error;
      last = error;
    }
    if (order.signal?.aborted) break;
  }
  throw last;
}

/** A trunk that cannot be reached is tried from the other datacenters before the next trunk is. */
async function dialFromAnywhere(edge: EdgeServices, order: TrunkOrder): Promise<EdgeCall> {
  let last = refusedByEdge(REFUSALS.noRoute, `call to ${order.to}: no datacenter is up`);
  const first = order.datacenter ?? firstServing(edge);
  const others = edge.options.datacenters.filter((other) => other !== first && other.stack);
  for (const datacenter of [first, ...others]) {
    try {
      return await dialTrunk(edge, { ...order, datacenter });
    } catch (error) {
      const isUnreached = error instanceof PstnRefusal && isUnreachable(error);
      if (!isUnreached || order.signal?.aborted) throw error;
      last = error;
    }
  }
  throw last;
}

/** Calls out on one trunk. Rejects with {@link PstnRefusal}. */
export async function dialTrunk(edge: EdgeServices, order: TrunkOrder): Promise<EdgeCall> {
  const datacenter = order.datacenter ?? firstServing(edge);
  const media = await edge.openMedia(order.correlationId);
  try {
    return await new OutgoingInvite(edge, order, { datacenter, media }).run();
  } catch (error) {
    await media[Symbol.asyncDispose]();
    throw error;
  }
}

/** A trunk that may carry a call, and the caller id it is to show. */
type Candidate = Pick<TrunkOrder, "trunk" | "from">;

function candidates(edge: EdgeServices, { to, from, datacenter }: DialOrder): Candidate[] {
  const { resource, health } = edge.options;
  const region = (datacenter ?? firstServing(edge)).name;
  const chosen = new Map<string, Candidate>();
  for (const route of resource.routesFor(to)) {
    const known = route.trunks
      .map((fqdn) => resource.trunk(fqdn))
      .filter((trunk) => trunk?.enabled);
    const callerId = route.callerIdOverride ?? from;
    for (const trunk of edge.policy.trunkOrder === "random" ? edge.shuffled(known) : known) {
      if (trunk === undefined || chosen.has(trunk.fqdn)) continue;
      chosen.set(trunk.fqdn, { trunk, from: callerId });
    }
  }
  const usable = [...chosen.values()].filter(
    ({ trunk }) => edge.policy.unseenTrunks === "try" || health.wasSeen(trunk.fqdn),
  );
  const isDemoted = ({ trunk }: Candidate) => !health.isHealthyAt(trunk.fqdn, region);
  return usable.toSorted((a, b) => Number(isDemoted(a)) - Number(isDemoted(b)));
}

function firstServing({ options }: EdgeServices): Datacenter {
  const [first] = options.datacenters;
  const serving = options.datacenters.find(({ stack }) => stack !== undefined) ?? first;
  if (serving === undefined) throw new Error("the edge has no datacenter");
  return serving;
}

function isFailover({ code, subCode }: PstnRefusal): boolean {
  return FAILOVER_STATUSES.has(code) && subCode !== REFUSALS.notAcknowledged.subCode;
}

/** No connection: neither the border controller nor its silence said anything. */
function isUnreachable({ code, sip }: PstnRefusal): boolean {
  return code === 504 && sip === undefined;
}

interface OutgoingParts {
  readonly datacenter: Datacenter;
  readonly media: MediaSession;
}

/** One INVITE to one border controller, from its offer to its ACK. */
class OutgoingInvite {
  readonly #edge: EdgeServices;
  readonly #order: TrunkOrder;
  readonly #datacenter: Datacenter;
  readonly #media: MediaSession;
  readonly #identity: DialogIdentity;
  readonly #what: string;
  readonly #callId: string;
  #session: Pick<EdgePolicy, "sessionExpiresS" | "minSessionExpiresS">;

  constructor(edge: EdgeServices, order: TrunkOrder, { datacenter, media }: OutgoingParts) {
    this.#edge = edge;
    this.#order = order;
    this.#datacenter = datacenter;
    this.#media = media;
    this.#callId = hexId(edge.options.ids);
    this.#session = edge.policy;
    this.#what = `INVITE for ${order.to} to ${order.trunk.fqdn}`;
    this.#identity = createIdentity({
      ids: edge.options.ids,
      correlationId: order.correlationId,
      region: datacenter.region,
      origin: "microsoft",
    });
  }

  async run(): Promise<EdgeCall> {
    let transaction = this.#send(1);
    let response = await this.#final(transaction);
    if (response.status === 422 && this.#lengthen(response)) {
      transaction = this.#send(2);
      response = await this.#final(transaction);
    }
    if (response.status >= 300) throw refusedBySbc(response, this.#what);
    try {
      return await this.#confirm(transaction, response);
    } catch (error) {
      throw error instanceof PstnRefusal ? error : refusedByNetwork(error, this.#what);
    }
  }

  /** The border controller wants a longer session: once more with its Min-SE (RFC 4028 §7.3). */
  #lengthen(response: SipResponse): boolean {
    const leastS = Number.parseInt(response.get("Min-SE") ?? "", 10);
    if (!(leastS > this.#session.sessionExpiresS)) return false;
    this.#session = { sessionExpiresS: leastS, minSessionExpiresS: leastS };
    return true;
  }

  #send(sequence: number): ClientTransaction {
    try {
      const target = this.#edge.endpoint(this.#order.trunk);
      const request = this.#request(sequence);
      return this.#edge.stack(this.#datacenter).request(request, { target });
    } catch (error) {
      throw refusedByNetwork(error, this.#what);
    }
  }

  /** The final response, unless the caller gives up or nothing is heard of the trunk in time. */
  async #final(transaction: ClientTransaction): Promise<SipResponse> {
    const { signal, onProgress } = this.#order;
    const { promise: given, reject: giveUp } = Promise.withResolvers<never>();
    const stop = (refusal: PstnRefusal, reason: string) => {
      transaction.cancel({ Reason: formatReason(this.#identity.xI, reason, causeOf(487)) });
      giveUp(refusal);
    };
    const abort = () =>
      stop(
        new PstnRefusal(`${this.#what} was cancelled`, { code: 487, subCode: 540_487 }),
        "CallEndReasonCancelled",
      );
    const { clock } = this.#edge.options;
    using silence = clock.after(this.#edge.policy.failoverTimeoutMs, () =>
      stop(refusedByEdge(REFUSALS.failover, this.#what), REFUSALS.failover.text),
    );
    const unsubscribe = transaction.onResponse(({ status }) => {
      if (status <= 100) return;
      silence.cancel();
      if (status < 200) onProgress?.(status);
    });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      if (signal?.aborted) abort();
      return await Promise.race([transaction.final, given]);
    } catch (error) {
      void this.#disown(transaction);
      throw error instanceof PstnRefusal ? error : refusedByNetwork(error, this.#what);
    } finally {
      signal?.removeEventListener("abort", abort);
      unsubscribe();
    }
  }

  /** A 2xx that crosses our CANCEL still makes a call, which has to be ended. */
  async #disown(transaction: ClientTransaction): Promise<void> {
    try {
      const late = await transaction.final;
      if (late.status >= 300) return;
      const dialog = await this.#acknowledge(transaction, late);
      const { request, nextHop } = dialog.request("BYE");
      const target = this.#edge.endpoint(this.#order.trunk, nextHop);
      await this.#edge.stack(this.#datacenter).request(request, { target }).final;
    } catch {
      // Nobody waits for this call any more; what did not arrive is in the trace.
    }
  }

  async #acknowledge(transaction: ClientTransaction, response: SipResponse): Promise<Dialog> {
    const dialog = Dialog.asUac(transaction.request, response);
    // Our own proxy stands in Record-Route for the border controller's sake; it is no hop of ours.
    const own = this.#edge.recordRoute(this.#datacenter);
    dialog.state.routeSet = dialog.state.routeSet.filter((route) => route !== own);
    const { request, nextHop } = dialog.ack(transaction.request.cseq.number);
    const target = this.#edge.endpoint(this.#order.trunk, nextHop);
    await transaction.acknowledge(response, request, { target });
    return dialog;
  }

  async #confirm(transaction: ClientTransaction, response: SipResponse): Promise<EdgeCall> {
    const dialog = await this.#acknowledge(transaction, response);
    const call = new EdgeCall({
      edge: this.#edge,
      dialog,
      identity: this.#identity,
      trunk: this.#order.trunk,
      datacenter: this.#datacenter,
      media: this.#media,
      abilities: this.#edge.abilities(this.#order.trunk, response),
    });
    try {
      this.#media.accept(response.body.toString());
      call.renegotiation.agree(agreedAsCaller(response));
      return call;
    } catch (error) {
      if (!(error instanceof MediaRefused)) throw error;
      const { findings } = this.#edge.options;
      findings.add("MEDIA_REFUSED", `${this.#what}: ${error.message}`, this.#identity.xI);
      await call.bye(error.code);
      throw refusedByEdge({ ...REFUSALS.noMedia, text: error.message }, this.#what);
    }
  }

  #request(sequence: number): SipRequest {
    const { to, trunk, replaces, redirectedFrom, sipHeaders = {} } = this.#order;
    const host = `${trunk.fqdn}:${trunk.sipSignalingPort}`;
    const cause = redirectedFrom === undefined ? "" : `;cause=${REDIRECTED}`;
    const own = `${this.#datacenter.name}:${this.#datacenter.port}`;
    const request = new SipRequest({
      method: "INVITE",
      uri: replaces?.uri ?? `sip:${to}@${host};user=phone${cause};transport=tls`,
      headers: {
        From: `${this.#callerId()};tag=${this.#identity.tag}`,
        To: `<sip:${to}@${host};user=phone>`,
        CSeq: `${sequence} INVITE`,
        "Call-ID": this.#callId,
        "Max-Forwards": "70",
        "Record-Route": this.#edge.recordRoute(this.#datacenter),
        Contact: bracketed(this.#identity.contactUri),
        "Content-Type": "application/sdp",
        Replaces: replaces?.value,
        "History-Info": redirectedFrom && historyInfo(redirectedFrom, to, own),
        ...offerHeaders(this.#session),
        ...this.#assertedIdentity(),
      },
      body: this.#media.offer(),
    });
    request.addAll(sipHeaders);
    return request;
  }

  #callerId(): string {
    const { from } = this.#order;
    if (!from.startsWith("+")) return '"Anonymous" <sip:anonymous@anonymous.invalid>';
    return this.#numberAddress(from);
  }

  #numberAddress(number: string): string {
    return `<sip:${number}@${this.#datacenter.name}:${this.#datacenter.port};user=phone>`;
  }

  /** The billed number, hidden from the called party unless the trunk says otherwise. */
  #assertedIdentity(): Record<string, string> {
    const { from, trunk } = this.#order;
    if (!from.startsWith("+")) return {};
    const asserted = { "P-Asserted-Identity": this.#numberAddress(from) };
    return trunk.privacyHeader === "id" ? { ...asserted, Privacy: "id" } : asserted;
  }
}
