import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import { CallRefused, dial, hangUp } from "../drachtio/dial.ts";
import { type MediaSession, openMediaSession } from "../media/session.ts";
import type { PartyTrace } from "../trace.ts";
import type { Attempt } from "./domain-side.ts";

/** `trunk`: the carrier, the IVR and the queue, plain RTP. `domain`: Microsoft, SRTP. */
export type Side = "trunk" | "domain";

/** One answered dialog with its media. */
export interface Leg {
  readonly side: Side;
  readonly dialog: Srf.Dialog;
  readonly media: MediaSession;
  /** Headers of our in-dialog requests and answers on this side. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface LegMediaOptions {
  clock: Clock;
  trace: PartyTrace;
  mediaHost: string;
}

export function openLegMedia(
  { clock, trace, mediaHost }: LegMediaOptions,
  side: Side,
  call: string,
): Promise<MediaSession> {
  const srtp = side === "domain" ? "required" : "off";
  return openMediaSession({ clock, trace, call, host: mediaHost, srtp });
}

export interface LegTarget {
  side: Side;
  attempts: readonly Attempt[];
  headers: Readonly<Record<string, string>>;
}

export interface DialLegOptions {
  target: LegTarget;
  media: MediaSession;
  signal: AbortSignal;
  onProvisional: (response: Srf.SrfResponse) => void;
  /** A place failed and the next one is tried. */
  onFailover: (refused: CallRefused, next: Attempt) => void;
}

/** Only these say "try another proxy"; any other refusal is the called side's answer. */
const FAILOVER = new Set([408, 503, 504]);

/**
 * Sends the INVITE to one place after the other until one answers or refuses for good. A
 * connection that cannot be made counts as 503, as drachtio reports it.
 */
export async function dialLeg(srf: Srf, options: DialLegOptions): Promise<Srf.Dialog> {
  const { target, media, signal, onProvisional, onFailover } = options;
  const { attempts, headers } = target;
  let ringing = false;
  const heard = (response: Srf.SrfResponse) => {
    ringing = true;
    onProvisional(response);
  };
  for (const [index, attempt] of attempts.entries()) {
    const next = attempts[index + 1];
    try {
      const invite = { ...attempt, headers, localSdp: media.offer(), signal };
      return await dial(srf, attempt.uri, { ...invite, onProvisional: heard });
    } catch (error) {
      const failed = error instanceof CallRefused && FAILOVER.has(error.status) && !ringing;
      if (!failed || next === undefined) throw error;
      onFailover(error, next);
    }
  }
  throw new CallRefused("no place to send the call to", { status: 404 });
}

export async function endLeg(leg: Leg, clock: Clock, reason?: string): Promise<void> {
  const headers: Record<string, string> = reason === undefined ? {} : { Reason: reason };
  await hangUp(leg.dialog, { clock, headers });
  await leg.media[Symbol.asyncDispose]();
}
