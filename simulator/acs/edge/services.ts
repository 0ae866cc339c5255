import type { X509Certificate } from "node:crypto";
import type { Clock } from "../../clock.ts";
import type { FaultPlan } from "../../faults.ts";
import { type MediaSession, openMediaSession } from "../../media/session.ts";
import type { Endpoint } from "../../sip/connection.ts";
import { type Dialog, dialogIdOf } from "../../sip/dialog.ts";
import { SipError } from "../../sip/error.ts";
import type { SipRequest, SipResponse } from "../../sip/message.ts";
import type { SipStack } from "../../sip/stack.ts";
import type { ServerTransaction } from "../../sip/transaction.ts";
import { formatHostPort, parseSipUri } from "../../sip/uri.ts";
import type { PartyTrace } from "../../trace.ts";
import type { IdSource } from "../ids.ts";
import type { Resource, Trunk } from "../resource.ts";
import type { TrunkHealth } from "../trunk-health.ts";
import { abilitiesOf, type PeerAbilities } from "./abilities.ts";
import type { Datacenter } from "./datacenter.ts";
import type { Findings } from "./findings.ts";
import type { EdgePolicy } from "./policy.ts";

/** Something that takes the requests of a dialog. */
export interface DialogOwner {
  /** Whose border controller is at the other end. */
  readonly trunk: Trunk;
  receive(transaction: ServerTransaction): void;
  bye(): Promise<void>;
}

export interface EdgeServicesOptions {
  readonly clock: Clock;
  readonly trace: PartyTrace;
  readonly resource: Resource;
  readonly policy: EdgePolicy;
  readonly ids: IdSource;
  /** A number in [0, 1) for each free choice: the order of trunks, the pause after glare. */
  readonly random: () => number;
  readonly faults: FaultPlan;
  /** Address of our media sockets. */
  readonly mediaHost: string;
  /** A second address of this machine, if it has one. */
  readonly otherAddress: string | undefined;
  readonly findings: Findings;
  readonly health: TrunkHealth;
  readonly datacenters: readonly Datacenter[];
  /** What the certificates of border controllers must lead to. */
  readonly trustedRoots: readonly X509Certificate[];
  /** Name table for border controllers whose trunk has no address of its own. */
  readonly resolve?: (fqdn: string) => string | undefined;
}

/** What every part of the edge needs of the others: settings, senders, names, live dialogs. */
export class EdgeServices {
  readonly options: EdgeServicesOptions;
  readonly #dialogs = new Map<string, DialogOwner>();
  readonly #abilities = new Map<string, PeerAbilities>();

  constructor(options: EdgeServicesOptions) {
    this.options = options;
  }

  get policy(): EdgePolicy {
    return this.options.policy;
  }

  get liveDialogs(): number {
    return this.#dialogs.size;
  }

  register(dialog: Dialog, owner: DialogOwner): void {
    this.#dialogs.set(dialog.id, owner);
  }

  release(dialog: Dialog): void {
    this.#dialogs.delete(dialog.id);
  }

  /** Ends every dialog that is up. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#dialogs.values()].map((owner) => owner.bye()));
  }

  ownerOf(request: SipRequest): DialogOwner | undefined {
    return this.#dialogs.get(dialogIdOf(request));
  }

  /**
   * Our proxy as a hop of the dialog, for INVITEs and their answers: nobody could send SIP to the
   * port of our Contact. Undefined: the policy wants none.
   */
  recordRoute({ name, host, port }: Datacenter): string | undefined {
    const { recordRoute, routeBy } = this.policy;
    if (!recordRoute) return undefined;
    return `<sip:${formatHostPort(routeBy === "name" ? name : host, port)};transport=tls;lr>`;
  }

  /** OPTIONS told what a trunk can do; for its calls that do not say. */
  learnAbilities(trunk: Trunk, message: SipRequest): void {
    if (message.has("Allow")) this.#abilities.set(trunk.fqdn, abilitiesOf(message));
  }

  /** What the sender can do, by its Allow and Supported, or by its last OPTIONS. */
  abilities(trunk: Trunk, message: SipRequest | SipResponse): PeerAbilities {
    const said = abilitiesOf(message);
    const known = message.has("Allow") ? undefined : this.#abilities.get(trunk.fqdn);
    return known === undefined ? said : { ...said, refer: known.refer };
  }

  /** The stack of `preferred` while it serves, else of any datacenter that does. */
  stack(preferred: Datacenter): SipStack {
    const serving = [preferred, ...this.options.datacenters].find(({ stack }) => stack);
    if (serving?.stack !== undefined) return serving.stack;
    throw new SipError("SIP_TRANSPORT", "every datacenter is down");
  }

  /** Where a trunk listens; `uri` is the next hop of a dialog, by default the paired port. */
  endpoint(trunk: Trunk, uri?: string): Endpoint {
    const { host: fqdn, port } = uri === undefined ? named(trunk) : parseSipUri(uri);
    const host = trunk.address ?? this.options.resolve?.(fqdn);
    if (host === undefined) {
      const text = `${fqdn} is in no name table; give the trunk an address or the edge a resolver`;
      throw new SipError("SIP_UNRESOLVED", text);
    }
    return { transport: "tls", host, port: port ?? trunk.sipSignalingPort, servername: fqdn };
  }

  openMedia(call: string): Promise<MediaSession> {
    const { clock, trace, mediaHost, faults, policy } = this.options;
    return openMediaSession({
      clock,
      trace,
      call,
      host: mediaHost,
      faults,
      srtp: "required",
      suites: policy.offerBothSuites
        ? ["AES_CM_128_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80"]
        : ["AES_CM_128_HMAC_SHA1_80"],
      style: MICROSOFT_SDP,
      // Both ends of a call record it; nobody asks the middle.
      recordLimitMs: 0,
    });
  }

  /** Fisher-Yates: every order is as likely as any other. */
  shuffled<Item>(items: readonly Item[]): Item[] {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = Math.floor(this.options.random() * (last + 1));
      const [a, b] = [shuffled[last], shuffled[other]];
      if (a !== undefined && b !== undefined) [shuffled[last], shuffled[other]] = [b, a];
    }
    return shuffled;
  }
}

/** Session lines and crypto tags of public traces. */
const MICROSOFT_SDP = {
  sessionName: "session",
  bandwidth: "CT:10000000",
  firstCryptoTag: 0,
  attributes: [{ name: "label", value: "main-audio" }],
};

function named({ fqdn, sipSignalingPort }: Trunk) {
  return { host: fqdn, port: sipSignalingPort };
}
