import type { Clock } from "../clock.ts";
import type { DrachtioAddress } from "../drachtio/application.ts";
import { type Invitation, type InviteServer, serveInvites } from "../drachtio/invitation.ts";
import { callThrough } from "../drachtio/link.ts";
import { strike } from "../drachtio/strike.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import type { PartyTrace } from "../trace.ts";
import { type CarrierRoute, numberAt, routeFor } from "./routes.ts";

export interface CarrierOptions {
  clock: Clock;
  trace: PartyTrace;
  /** The daemon that has the carrier's UDP and WebSocket contacts. */
  drachtio: DrachtioAddress;
  routes: readonly CarrierRoute[];
  /** `carrier.refuse { status, reason? }` */
  faults?: FaultPlan;
}

/** The telephone network between the customer and the IVR. */
export interface Carrier extends AsyncDisposable {
  readonly callCount: number;
}

/** Caller identity and custom headers; everything else ends at the carrier. */
const PASSED =
  /^(?:X-.+|P-Asserted-Identity|Privacy|Diversion|History-Info|User-to-User|Subject)$/i;

/**
 * Routes by number and passes the call on as a B2BUA of signalling: SDP, and so the media, goes
 * end to end. Callers come over UDP (sipp) or WebSocket (sip.js). A number without a route: 404.
 */
export async function startCarrier(options: CarrierOptions): Promise<Carrier> {
  const { clock, trace, drachtio, routes, faults = faultPlan() } = options;

  const handle = async (invitation: Invitation) => {
    const fault = strike({ faults, trace }, "carrier.refuse", invitation.callId);
    if (fault !== undefined) {
      return invitation.refuse(Number(fault["status"] ?? 503), fault["reason"]?.toString());
    }
    const route = routeFor(routes, invitation.number);
    if (route === undefined) return invitation.refuse(404);
    const { maxForwards } = invitation;
    if (maxForwards < 1) return invitation.refuse(483);
    await callThrough(invitation, {
      srf: server.srf,
      clock,
      uri: numberAt(invitation.number, route.to),
      headers: { ...onward(invitation), "Max-Forwards": String(maxForwards - 1) },
      signal: invitation.signal,
    });
  };

  const server: InviteServer = await serveInvites({ drachtio, trace, handle });
  return server;
}

/** Our own From, To and Contact (RFC 7092): the caller's number and name at our address. */
function onward({ request, from }: Invitation): Record<string, string> {
  const name = /^\s*("[^"]*")\s*</.exec(request.get("From"))?.[1];
  const passed = Object.entries(request.headers).filter(([header]) => PASSED.test(header));
  return { ...Object.fromEntries(passed), From: `${name ?? ""} <sip:${from}@localhost>`.trim() };
}
