import type { SipConnection } from "../../sip/connection.ts";
import { SipError } from "../../sip/error.ts";
import { SipResponse } from "../../sip/message.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import { strike } from "../fault-strike.ts";
import type { Trunk } from "../resource.ts";
import { advise } from "./advice.ts";
import type { ShownCertificate } from "./certificate.ts";
import { issuersOf } from "./chain.ts";
import { type ContactRules, judgeOrigin, type Origin, refusalInside } from "./contact.ts";
import type { Datacenter } from "./datacenter.ts";
import { IncomingInvite, inviteFault, numberFault, refuse } from "./invite.ts";
import type { Prober } from "./prober.ts";
import { type EdgeRefusal, REFUSALS } from "./refusal.ts";
import type { EdgeServices } from "./services.ts";
import type { TransferEngine } from "./transfer.ts";

export interface EdgeRouterOptions {
  readonly edge: EdgeServices;
  readonly prober: Prober;
  readonly transfers: TransferEngine;
  /** A call from the telephone network that passed every check. */
  readonly onCall: (invite: IncomingInvite) => void;
}

/** Decides what a request that reached a datacenter is, and who takes it. */
export class EdgeRouter implements AsyncDisposable {
  readonly #options: EdgeRouterOptions;
  readonly #tasks = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  /** Connections whose first request has shown that they are a border controller's. */
  readonly #judged = new WeakSet<SipConnection>();

  constructor(options: EdgeRouterOptions) {
    this.#options = options;
  }

  /** Every request of every datacenter comes here first. */
  readonly receive = (transaction: ServerTransaction, datacenter: Datacenter): void => {
    const task = this.#guarded(transaction, datacenter).finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the edge is closing"));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  /** What cannot be read is answered with 400, a fault of ours with 500; the edge stays up. */
  async #guarded(transaction: ServerTransaction, datacenter: Datacenter): Promise<void> {
    const { findings } = this.#options.edge.options;
    try {
      await this.#delay(datacenter);
      await this.#route(transaction, datacenter);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const isUnreadable = error instanceof SipError && error.code === "SIP_SYNTAX";
      const code = isUnreadable ? "REQUEST_UNREADABLE" : "EDGE_INTERNAL";
      findings.add(code, `${transaction.request.startLine}: ${String(error)}`);
      if (isOpen(transaction)) transaction.respond(isUnreadable ? 400 : 500);
    }
  }

  async #delay({ state }: Datacenter): Promise<void> {
    const { options } = this.#options.edge;
    const fault = strike(options, "acs.slow-sip");
    const delayMs = (state.kind === "slow" ? state.delayMs : 0) + Number(fault?.["ms"] ?? 0);
    if (delayMs > 0) await options.clock.sleep(delayMs, { signal: this.#abort.signal });
  }

  async #route(transaction: ServerTransaction, datacenter: Datacenter): Promise<void> {
    const { request } = transaction;
    if (request.toTag !== undefined) return this.#insideDialog(transaction);
    const { options } = this.#options.edge;
    if (datacenter.state.kind === "busy" || strike(options, "acs.busy") !== undefined) {
      transaction.respond(503, { headers: { "Retry-After": "1" } });
      return;
    }
    if (request.method === "OPTIONS") {
      if (strike(options, "acs.ignore-options") === undefined)
        this.#pinged(transaction, datacenter);
      return;
    }
    if (request.method === "INVITE") return await this.#invited(transaction, datacenter);
    transaction.respond(request.method === "NOTIFY" ? 481 : 405);
  }

  #insideDialog(transaction: ServerTransaction): void {
    const owner = this.#options.edge.ownerOf(transaction.request);
    if (owner === undefined) {
      transaction.respond(481);
      return;
    }
    const refusal = this.#connectionFault(transaction, owner.trunk);
    if (refusal === undefined) owner.receive(transaction);
    else this.#refuse(transaction, refusal);
  }

  /** The first request of a connection is judged; what we dialled was judged by its handshake. */
  #connectionFault({ connection, request }: ServerTransaction, trunk: Trunk) {
    if (connection.outbound || this.#judged.has(connection)) return undefined;
    const rules = { ...this.#rules(), trunk };
    const refusal = refusalInside(request, shownBy(connection), rules);
    if (refusal === undefined) this.#judged.add(connection);
    return refusal;
  }

  #rules(): ContactRules {
    const { policy, options } = this.#options.edge;
    const { resource, clock, trustedRoots } = options;
    return { resource, now: clock.date(), policy, trustedRoots };
  }

  #pinged(transaction: ServerTransaction, datacenter: Datacenter): void {
    const { edge, prober } = this.#options;
    const origin = this.#originOf(transaction);
    if (origin === undefined) return;
    advise(transaction.request, edge.options.findings);
    // Public traces show no tag on the To of this answer.
    transaction.send(SipResponse.to(transaction.request, 200));
    edge.learnAbilities(origin.trunk, transaction.request);
    edge.options.health.pingReceived(origin.trunk.fqdn, datacenter.name);
    prober.start(origin.trunk);
  }

  async #invited(transaction: ServerTransaction, datacenter: Datacenter): Promise<void> {
    const { edge, transfers, onCall } = this.#options;
    const origin = this.#originOf(transaction);
    if (origin === undefined) return;
    const { request } = transaction;
    advise(request, edge.options.findings);
    const fault = this.#injectedRefusal() ?? inviteFault(request, edge);
    const claim = transfers.claim(request, fault);
    const refusal = fault ?? (claim === undefined ? numberFault(request) : claim.refusal);
    if (refusal !== undefined) {
      this.#refuse(transaction, refusal);
      return;
    }
    transaction.respond(100);
    const context = claim?.context;
    const correlationId = context?.call.identity.xI;
    const invite = new IncomingInvite({ edge, transaction, datacenter, origin, correlationId });
    if (context === undefined) onCall(invite);
    else await transfers.carry(invite, context);
  }

  /** The trunk behind a request; undefined: it was refused. */
  #originOf(transaction: ServerTransaction): Origin | undefined {
    const { edge } = this.#options;
    const { health } = edge.options;
    const { connection, request } = transaction;
    const judged = judgeOrigin(request, shownBy(connection), this.#rules());
    if ("origin" in judged) {
      const { trunk } = judged.origin;
      this.#judged.add(connection);
      if (judged.certificate.ends !== undefined) {
        health.certificateSeen(trunk.fqdn, judged.certificate.ends);
      }
      return judged.origin;
    }
    const { trunk, certificate, refusal } = judged;
    if (trunk !== undefined && certificate?.fault === "expired" && certificate.ends !== undefined) {
      health.certificateSeen(trunk.fqdn, certificate.ends);
    }
    this.#refuse(transaction, refusal);
    return undefined;
  }

  /** Fault `acs.refuse-invite` (`status`, `reason`). */
  #injectedRefusal(): EdgeRefusal | undefined {
    const fault = strike(this.#options.edge.options, "acs.refuse-invite");
    if (fault === undefined) return undefined;
    const status = Number(fault["status"] ?? 503);
    return { status, subCode: 510_000 + status, text: String(fault["reason"] ?? "planned fault") };
  }

  #refuse(transaction: ServerTransaction, refusal: EdgeRefusal): void {
    const { ids, findings } = this.#options.edge.options;
    const { request } = transaction;
    const text = `${request.method} from ${request.top("Contact") ?? "nowhere"} was refused with ${refusal.status}: ${refusal.text}`;
    findings.add("REQUEST_REFUSED", text);
    refuse(transaction, refusal, ids.guid());
  }
}

function shownBy(connection: SipConnection): ShownCertificate {
  const certificate = connection.peerCertificate();
  return {
    raw: certificate?.raw,
    issuers: issuersOf(certificate),
    authorizationError: connection.authorizationError,
  };
}

function isOpen({ state }: ServerTransaction): boolean {
  return state === "trying" || state === "proceeding";
}

/** What an INVITE gets when nothing is there to take calls. */
export const NOBODY: EdgeRefusal = { ...REFUSALS.noRoute, status: 480, text: "nobody takes calls" };
