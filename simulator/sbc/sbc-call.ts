import type Srf from "drachtio-srf";
import { acceptLateAnswer, describe } from "../drachtio/anchor.ts";
import { CallRefused, hangUp } from "../drachtio/dial.ts";
import type { Invitation } from "../drachtio/invitation.ts";
import { answerOrHangUp, passRefusal } from "../drachtio/link.ts";
import { strike } from "../drachtio/strike.ts";
import type { MediaSession } from "../media/session.ts";
import { Bridge, type BridgeEnd, endOf } from "./bridge.ts";
import type { DomainSide } from "./domain-side.ts";
import { EarlyMedia } from "./early-media.ts";
import { passHeaders, strippedHeaders, withoutHeader } from "./header-policy.ts";
import { dialLeg, type Leg, type LegTarget, openLegMedia, type Side } from "./leg.ts";
import { routeFor, type SbcRoute, toE164 } from "./numbers.ts";
import type { ReferTarget } from "./refer-to.ts";
import type { SettledSbcOptions } from "./sbc.ts";
import { transfer } from "./transfer.ts";

export type SbcCallOptions = SettledSbcOptions & { srf: Srf; domain: DomainSide };

/** The two media sessions of a call that is being set up. */
interface Media {
  near: MediaSession;
  far: MediaSession;
}

/** A call as it goes on: to which number, from which, by which route. */
interface Onward {
  number: string;
  caller: string;
  to: SbcRoute["to"];
}

/** One call through the SBC, from its INVITE to its end. */
export class SbcCall {
  readonly #options: SbcCallOptions;
  readonly #invitation: Invitation;
  readonly #side: Side;
  readonly #transfers = new Set<Promise<void>>();
  #state = "ringing";

  constructor(options: SbcCallOptions, invitation: Invitation) {
    this.#options = options;
    this.#invitation = invitation;
    // Only Microsoft's side has a TLS contact.
    this.#side = invitation.request.protocol.startsWith("tls") ? "domain" : "trunk";
  }

  async run(): Promise<void> {
    const target = this.#admit();
    if (target === undefined) return;
    await using resources = new AsyncDisposableStack();
    const { callId } = this.#invitation;
    const near = resources.use(await openLegMedia(this.#options, this.#side, callId));
    const far = resources.use(await openLegMedia(this.#options, target.side, callId));
    try {
      const bridge = await this.#connect(target, { near, far });
      await this.#converse(bridge);
    } catch (error) {
      if (!(error instanceof CallRefused)) throw error;
      this.#move("refused", { status: error.status, reason: error.reason });
      passRefusal(this.#invitation, error);
    }
  }

  /** Checks source, hops and number; refuses the call itself when something is wrong. */
  #admit(): LegTarget | undefined {
    const { numberPlan, routes } = this.#options;
    const { number, maxForwards } = this.#invitation;
    if (!this.#isKnownSource()) return this.#refuse(403, "Forbidden");
    if (maxForwards < 1) return this.#refuse(483, "Too Many Hops");
    const called = toE164(number, numberPlan);
    if (called === undefined) return this.#refuse(484, "Address Incomplete");
    const route = routeFor(routes, called, this.#side);
    if (route === undefined) return this.#refuse(404, "Not Found");
    const { request } = this.#invitation;
    const stripped = strippedHeaders(request.headers, this.#options.headerPolicy);
    this.#move("routed", { number: called, route: route.to, stripped });
    const caller = this.#callerNumber();
    const target = this.#target({ number: called, caller, to: route.to }, request.headers);
    const hops = { "Max-Forwards": String(maxForwards - 1) };
    return { ...target, headers: { ...target.headers, ...hops } };
  }

  #refuse(status: number, reason: string): undefined {
    this.#move("refused", { status, reason });
    this.#invitation.refuse(status, reason);
  }

  #isKnownSource(): boolean {
    const sources =
      this.#side === "domain" ? this.#options.domainSources : this.#options.trunkSources;
    return sources === undefined || sources.includes(this.#invitation.request.source_address);
  }

  /** Where a number's route leads, and the INVITE's headers on that side. */
  #target({ number, caller, to }: Onward, headers: Readonly<Record<string, string>>): LegTarget {
    const { domain, headerPolicy } = this.#options;
    const passed = this.#withFaults(passHeaders(headers, headerPolicy));
    if (to !== "microsoft") {
      const servers = typeof to === "string" ? [to] : to;
      const attempts = servers.map((uri) => ({ uri: uri.replace(/^(sips?:)/, `$1${number}@`) }));
      return { side: "trunk", attempts, headers: { ...passed, From: `<sip:${caller}@localhost>` } };
    }
    const attempts = this.#options.orderProxies(domain.toNumber(number));
    return { side: "domain", attempts, headers: { ...passed, ...this.#domainHeaders(caller) } };
  }

  #withFaults(headers: Record<string, string>): Record<string, string> {
    const dropped = strike(this.#options, "sbc.drop-header", this.#invitation.callId)?.["header"];
    return dropped === undefined ? headers : withoutHeader(headers, String(dropped));
  }

  #domainHeaders(caller: string): Record<string, string> {
    const { domain } = this.#options;
    const wrong = strike(this.#options, "sbc.wrong-contact", this.#invitation.callId);
    const Contact = String(wrong?.["contact"] ?? "<sip:203.0.113.9:5061;transport=tls>");
    const headers = { ...domain.headers, From: domain.from(caller) };
    return wrong === undefined ? headers : { ...headers, Contact };
  }

  /** The carrier's assertion, where there is one; an anonymous caller stays anonymous. */
  #callerNumber(): string {
    const { request, from } = this.#invitation;
    const asserted = this.#side === "trunk" ? request.callingNumber : from;
    const { numberPlan } = this.#options;
    return toE164(asserted, numberPlan) ?? (asserted || "anonymous");
  }

  /** Dials on and answers the caller. */
  async #connect(target: LegTarget, media: Media): Promise<Bridge> {
    const { near, far } = media;
    const { clock } = this.#options;
    const invitation = this.#invitation;
    const sdp = describeOrRefuse(near, invitation.offer);
    const callee = await this.#dial(target, media, sdp);
    await acceptOrHangUp(far, callee, this.#options);
    const headers = this.#headers();
    const caller = await answerOrHangUp(invitation, { callee, clock, sdp, headers });
    acceptLateAnswer(caller, near, invitation.offer);
    return this.#bridge([
      { side: this.#side, dialog: caller, media: near, headers },
      { side: target.side, dialog: callee, media: far, headers: this.#contact(target.side) },
    ]);
  }

  /** `sdp` is our answer to the caller, for early media. */
  async #dial(target: LegTarget, { near, far }: Media, sdp: string): Promise<Srf.Dialog> {
    const { srf, clock, answerTimeoutMs } = this.#options;
    const invitation = this.#invitation;
    const patience = new AbortController();
    using _deadline = clock.after(answerTimeoutMs, () =>
      patience.abort(new CallRefused(invitation.number, { status: 408, reason: "No Answer" })),
    );
    using early = new EarlyMedia({ near, far, sdp, headers: this.#headers() }, invitation);
    return await dialLeg(srf, {
      target,
      media: far,
      signal: AbortSignal.any([invitation.signal, patience.signal]),
      onProvisional: (response) => early.progress(response),
      onFailover: (failed, next) =>
        this.#move("failover", { status: failed.status, reason: failed.reason, next: next.uri }),
    });
  }

  #bridge(pair: readonly [Leg, Leg]): Bridge {
    const { clock, allowRefer } = this.#options;
    const bridge: Bridge = new Bridge(
      {
        clock,
        takesRefer: (leg) => allowRefer && leg.side === "domain",
        onRefer: (leg, req, res) => {
          const running = transfer(leg, { req, res }, this.#transferOptions(bridge));
          this.#transfers.add(running);
          void running.finally(() => this.#transfers.delete(running));
        },
      },
      pair,
    );
    return bridge;
  }

  async #converse(bridge: Bridge): Promise<void> {
    const { clock, maxCallMs } = this.#options;
    const { signal } = this.#invitation;
    this.#move("connected");
    const stop = () => bridge.end({});
    using _limit = clock.after(maxCallMs, stop);
    signal.addEventListener("abort", stop, { once: true });
    try {
      const end = await over(bridge);
      this.#move("ended", { ...end });
    } finally {
      signal.removeEventListener("abort", stop);
      await Promise.all([bridge.close(), ...this.#transfers]);
    }
  }

  #transferOptions(bridge: Bridge) {
    const { callId } = this.#invitation;
    const openMedia = ({ side }: LegTarget) => openLegMedia(this.#options, side, callId);
    const targetOf = (refer: ReferTarget, headers: Readonly<Record<string, string>>) =>
      this.#referTarget(refer, headers);
    return { ...this.#options, callId, bridge, openMedia, targetOf };
  }

  /** Our own name: one of our routes. Any other: back to Microsoft, whatever the URI says. */
  #referTarget(
    refer: ReferTarget,
    headers: Readonly<Record<string, string>>,
  ): LegTarget | undefined {
    const { domain, headerPolicy, numberPlan, routes } = this.#options;
    const caller = this.#transfereeNumber();
    if (domain.isOwnName(refer.host)) {
      const number = toE164(refer.user ?? "", numberPlan);
      const route = number === undefined ? undefined : routeFor(routes, number, "domain");
      return number === undefined || route === undefined
        ? undefined
        : this.#target({ number, caller, to: route.to }, headers);
    }
    const attempts = this.#options.orderProxies(domain.toReferTarget(refer));
    const { Replaces } = refer.headers;
    const replaces: Record<string, string> = Replaces === undefined ? {} : { Replaces };
    const passed = { ...this.#withFaults(passHeaders(headers, headerPolicy)), ...replaces };
    return { side: "domain", attempts, headers: { ...passed, ...this.#domainHeaders(caller) } };
  }

  /** The party on the trunk side, who called or was called. */
  #transfereeNumber(): string {
    const { numberPlan } = this.#options;
    const { number } = this.#invitation;
    return this.#side === "trunk" ? this.#callerNumber() : (toE164(number, numberPlan) ?? number);
  }

  #headers(): Record<string, string> {
    return this.#side === "domain" ? this.#options.domain.headers : {};
  }

  #contact(side: Side): Record<string, string> {
    return side === "domain" ? { Contact: this.#options.domain.contact } : {};
  }

  #move(to: string, detail: Record<string, unknown> = {}): void {
    const { callId: id } = this.#invitation;
    const from = this.#state;
    this.#state = to;
    this.#options.trace.record({ type: "state", subject: "sbc-call", id, from, to, detail }, id);
  }
}

function describeOrRefuse(media: MediaSession, offer: string): string {
  try {
    return describe(media, offer);
  } catch (cause) {
    throw notAcceptable(cause);
  }
}

async function acceptOrHangUp(media: MediaSession, dialog: Srf.Dialog, options: SbcCallOptions) {
  try {
    media.accept(dialog.remote.sdp);
  } catch (cause) {
    const headers = { Reason: 'SIP;cause=488;text="Not Acceptable Here"' };
    await hangUp(dialog, { clock: options.clock, headers });
    throw notAcceptable(cause);
  }
}

function notAcceptable(cause: unknown): CallRefused {
  const reason = "Not Acceptable Here";
  return new CallRefused(cause instanceof Error ? cause.message : "SDP", { status: 488, reason });
}

function over(bridge: Bridge): Promise<BridgeEnd> {
  if (bridge.over.aborted) return Promise.resolve(endOf(bridge.over));
  return new Promise((resolve) => {
    bridge.over.addEventListener("abort", () => resolve(endOf(bridge.over)), { once: true });
  });
}
