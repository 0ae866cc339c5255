import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import { CallRefused, hangUp } from "../drachtio/dial.ts";
import { strike } from "../drachtio/strike.ts";
import type { FaultPlan } from "../faults.ts";
import type { MediaSession } from "../media/session.ts";
import type { PartyTrace } from "../trace.ts";
import type { Bridge } from "./bridge.ts";
import { dialLeg, endLeg, type Leg, type LegTarget } from "./leg.ts";
import { ReferNotifier } from "./notifier.ts";
import { parseReferTo, type ReferTarget } from "./refer-to.ts";

export interface TransferOptions {
  srf: Srf;
  clock: Clock;
  trace: PartyTrace;
  faults: FaultPlan;
  callId: string;
  bridge: Bridge;
  /** Where a REFER leads: back to Microsoft, or to one of our own routes; undefined: nowhere. */
  targetOf: (
    refer: ReferTarget,
    headers: Readonly<Record<string, string>>,
  ) => LegTarget | undefined;
  openMedia: (target: LegTarget) => Promise<MediaSession>;
  /** Whether the transferred party hears ringing while the new call rings. */
  ringback: boolean;
  /** How long the new call may ring. */
  answerTimeoutMs: number;
  /** How long Microsoft may take to hang up the old dialog before the SBC does. */
  byeTimeoutMs: number;
}

/**
 * Executes a REFER on behalf of the party at the other leg: 202, NOTIFY 100, a new call to the
 * target, its progress as NOTIFYs; then either the media moves and the old dialog waits for its
 * BYE, or the original call goes on as it was.
 */
export async function transfer(
  leg: Leg,
  { req, res }: { req: Srf.SrfRequest; res: Srf.SrfResponse },
  options: TransferOptions,
): Promise<void> {
  const { bridge, clock, faults, trace, callId } = options;
  const refer = req.has("Refer-To") ? parseReferTo(req.get("Refer-To")) : undefined;
  if (refer === undefined) return res.send(400, "Bad Refer-To", {});
  if (bridge.isTransferring) return res.send(491);
  bridge.beginTransfer(leg);
  res.send(202, { headers: { ...leg.headers } });
  const note = (from: string, to: string, detail = {}) =>
    trace.record({ type: "state", subject: "transfer", id: callId, from, to, detail }, callId);
  note("requested", "accepted", { target: refer.uri });
  const notifier = new ReferNotifier(leg.dialog, leg.headers);
  if (strike({ faults, trace }, "sbc.no-notify", callId) !== undefined) notifier.stop();
  if (strike({ faults, trace }, "sbc.bye-instead-of-notify", callId) !== undefined) {
    notifier.stop();
    void hangUp(leg.dialog, { clock });
  }
  try {
    void notifier.report(100, "Trying");
    const replacement = await placeCall({ req, refer, notifier }, options);
    await bridge.completeTransfer(replacement);
    note("accepted", "connected");
    await finish(leg, notifier, options);
  } catch (error) {
    const { status, reason } = refusalOf(error);
    if (!(error instanceof CallRefused) && !bridge.over.aborted) {
      trace.record({ type: "error", code: "TRANSFER", message: String(error) }, callId);
    }
    note("accepted", "failed", { status, reason });
    void notifier.report(status, reason);
    bridge.abandonTransfer();
  }
}

interface Referred {
  req: Srf.SrfRequest;
  refer: ReferTarget;
  notifier: ReferNotifier;
}

async function placeCall(
  { req, refer, notifier }: Referred,
  options: TransferOptions,
): Promise<Leg> {
  const { srf, clock, bridge, targetOf, openMedia, answerTimeoutMs, ringback } = options;
  const target = targetOf(refer, { ...req.headers, ...refer.headers });
  if (target === undefined) throw new CallRefused(refer.uri, { status: 404, reason: "Not Found" });
  const media = await openMedia(target);
  const patience = new AbortController();
  const ringing = new AbortController();
  let rings = !ringback;
  const onProvisional = ({ status, reason }: Srf.SrfResponse) => {
    void notifier.report(status, reason);
    if (!rings) bridge.ringTransferee(ringing.signal);
    rings = true;
  };
  using _deadline = clock.after(answerTimeoutMs, () =>
    patience.abort(new CallRefused(refer.uri, { status: 408, reason: "Request Timeout" })),
  );
  try {
    const dialog = await dialLeg(srf, {
      target: withReferredBy(target, req, options),
      media,
      signal: AbortSignal.any([bridge.over, patience.signal]),
      onProvisional,
      onFailover: () => {},
    });
    const { side, headers } = target;
    const leg: Leg = { side, dialog, media, headers: contactOf(headers) };
    return await accepted(leg, clock);
  } catch (error) {
    await media[Symbol.asyncDispose]();
    throw error;
  } finally {
    ringing.abort();
  }
}

async function accepted(leg: Leg, clock: Clock): Promise<Leg> {
  try {
    leg.media.accept(leg.dialog.remote.sdp);
    return leg;
  } catch (cause) {
    await endLeg(leg, clock, 'SIP;cause=488;text="Not Acceptable Here"');
    throw cause;
  }
}

/** Byte for byte: the value is case-sensitive, and it is how Microsoft finds the call again. */
function withReferredBy(
  target: LegTarget,
  req: Srf.SrfRequest,
  options: TransferOptions,
): LegTarget {
  if (!req.has("Referred-By")) return target;
  const value = req.get("Referred-By");
  const altered = strike(options, "sbc.alter-referred-by", options.callId) !== undefined;
  const referredBy = altered ? value.toLowerCase() : value;
  return { ...target, headers: { ...target.headers, "Referred-By": referredBy } };
}

function contactOf({ Contact }: Readonly<Record<string, string>>): Record<string, string> {
  return Contact === undefined ? {} : { Contact };
}

/** The last report, then Microsoft's BYE; neither is waited for when the call itself is over. */
async function finish(leg: Leg, notifier: ReferNotifier, options: TransferOptions): Promise<void> {
  const { bridge, clock, byeTimeoutMs } = options;
  const { promise, resolve } = Promise.withResolvers<void>();
  const over = () => resolve();
  using _deadline = clock.after(byeTimeoutMs, over);
  bridge.over.addEventListener("abort", over, { once: true });
  if (bridge.over.aborted) over();
  const hungUp = notifier.report(200, "OK").then(() => bridge.gone(leg));
  await Promise.race([hungUp, promise]);
  bridge.over.removeEventListener("abort", over);
  await endLeg(leg, clock);
}

/** What to report: the refusal, or the end of the call that was to be transferred. */
function refusalOf(error: unknown): { status: number; reason: string } {
  if (error instanceof CallRefused) return { status: error.status, reason: error.reason };
  return { status: 487, reason: "Request Terminated" };
}
