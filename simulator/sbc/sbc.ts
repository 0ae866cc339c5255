import type { Clock } from "../clock.ts";
import type { DrachtioAddress } from "../drachtio/application.ts";
import { type InviteServer, serveInvites } from "../drachtio/invitation.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { type Attempt, type DomainProxy, DomainSide, nextHop } from "./domain-side.ts";
import { DEFAULT_POLICY, type HeaderPolicy } from "./header-policy.ts";
import { Health, type ProxyHealth } from "./health.ts";
import type { NumberPlan, SbcRoute } from "./numbers.ts";
import { SbcCall } from "./sbc-call.ts";

export interface SbcOptions {
  clock: Clock;
  trace: PartyTrace;
  /** The daemon with one UDP or TCP contact (trunk) and one TLS contact (Microsoft). */
  drachtio: DrachtioAddress;
  /** The SBC's name: in its certificate, its Contact and the resource's trunk. */
  fqdn: string;
  domainSide: {
    /** Port of the TLS contact, as paired in the resource. */
    port: number;
    /** Microsoft's proxies, in order of preference. */
    proxies: readonly DomainProxy[];
    /** Addresses that may call from Microsoft's side; others get 403. Default: any. */
    sources?: readonly string[];
  };
  trunkSide: {
    /** Addresses that may call from the trunk side; others get 403. Default: any. */
    sources?: readonly string[];
  };
  /** The first that matches a called number wins; none: 404. */
  routes: readonly SbcRoute[];
  /** How numbers without `+` are read. Default: not at all (484). */
  numberPlan?: NumberPlan;
  /** Default 127.0.0.1. */
  mediaHost?: string;
  headerPolicy?: HeaderPolicy;
  /** How often each proxy gets OPTIONS. Default 60,000. */
  optionsIntervalMs?: number;
  /** False leaves REFER out of `Allow` and answers it with 405. Default true. */
  allowRefer?: boolean;
  /** Ringing for a party that is being transferred. Default true. */
  ringback?: boolean;
  /** How long a call, or the new call of a REFER, may ring. Default 60,000. */
  answerTimeoutMs?: number;
  /** How long Microsoft may take to hang up the old dialog after a transfer. Default 32,000. */
  byeTimeoutMs?: number;
  /** A call is ended after this. Default four hours. */
  maxCallMs?: number;
  /**
   * `sbc.drop-header { header }`, `sbc.wrong-contact { contact? }`, `sbc.alter-referred-by`,
   * `sbc.no-notify`, `sbc.bye-instead-of-notify`
   */
  faults?: FaultPlan;
}

/** The session border controller between the customer's trunk and Microsoft. */
export interface Sbc extends AsyncDisposable {
  /** What the proxies answered to OPTIONS. */
  readonly proxies: readonly ProxyHealth[];
  readonly callCount: number;
}

export interface SettledSbcOptions {
  clock: Clock;
  trace: PartyTrace;
  faults: FaultPlan;
  routes: readonly SbcRoute[];
  numberPlan: NumberPlan | undefined;
  mediaHost: string;
  headerPolicy: HeaderPolicy;
  allowRefer: boolean;
  ringback: boolean;
  answerTimeoutMs: number;
  byeTimeoutMs: number;
  maxCallMs: number;
  trunkSources: readonly string[] | undefined;
  domainSources: readonly string[] | undefined;
  /** Puts places behind that did not answer the last OPTIONS. */
  orderProxies: (attempts: readonly Attempt[]) => readonly Attempt[];
}

export async function startSbc(options: SbcOptions): Promise<Sbc> {
  const { clock, trace, drachtio, fqdn, domainSide, allowRefer = true } = options;
  const { proxies, port } = domainSide;
  const domain = new DomainSide({ fqdn, port, proxies, allowRefer });
  let health: Health | undefined;
  const isDown = ({ proxy }: Attempt) =>
    proxies.some((each) => nextHop(each) === proxy && health?.isDown(each));
  const orderProxies = (attempts: readonly Attempt[]) =>
    attempts.toSorted((a, b) => Number(isDown(a)) - Number(isDown(b)));
  const settled = { ...settle(options), orderProxies };

  const server: InviteServer = await serveInvites({
    drachtio,
    trace,
    handle: (invitation) => new SbcCall({ ...settled, srf: server.srf, domain }, invitation).run(),
  });
  const { srf } = server;
  srf.use("options", (req, res) => {
    const own = req.protocol.startsWith("tls") ? domain.headers : { Allow: domain.allow };
    res.send(200, { headers: { ...own, Accept: "application/sdp" } });
  });
  const intervalMs = options.optionsIntervalMs ?? 60_000;
  const pings = new Health({ srf, clock, trace, domain, proxies, intervalMs });
  health = pings;
  return {
    get proxies() {
      return pings.proxies;
    },
    get callCount() {
      return server.callCount;
    },
    async [Symbol.asyncDispose]() {
      await pings[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function settle(options: SbcOptions): Omit<SettledSbcOptions, "orderProxies"> {
  const { clock, trace, routes, numberPlan, domainSide, trunkSide } = options;
  return {
    clock,
    trace,
    routes,
    numberPlan,
    faults: options.faults ?? faultPlan(),
    mediaHost: options.mediaHost ?? "127.0.0.1",
    headerPolicy: options.headerPolicy ?? DEFAULT_POLICY,
    allowRefer: options.allowRefer ?? true,
    ringback: options.ringback ?? true,
    answerTimeoutMs: options.answerTimeoutMs ?? 60_000,
    byeTimeoutMs: options.byeTimeoutMs ?? 32_000,
    maxCallMs: options.maxCallMs ?? 4 * 3_600_000,
    trunkSources: trunkSide.sources,
    domainSources: domainSide.sources,
  };
}
