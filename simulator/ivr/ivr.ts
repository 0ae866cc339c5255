import type { Clock } from "../clock.ts";
import type { DrachtioAddress } from "../drachtio/application.ts";
import { type Invitation, type InviteServer, serveInvites } from "../drachtio/invitation.ts";
import { type FaultPlan, faultPlan } from "../faults.ts";
import type { Audio } from "../media/frame.ts";
import type { PartyTrace } from "../trace.ts";
import { type IvrCall, IvrCallRun } from "./ivr-call.ts";
import type { MenuEntry } from "./menu.ts";

export interface IvrPrompts {
  menu: Audio;
  /** "That is not a valid choice." */
  invalid: Audio;
  /** While the call is being transferred. */
  transferring: Audio;
  /** Before hanging up: refused, or no choice was made. */
  unavailable: Audio;
}

export interface IvrOptions {
  clock: Clock;
  trace: PartyTrace;
  drachtio: DrachtioAddress;
  prompts: IvrPrompts;
  /** Key -> reason and destination. */
  menu: Readonly<Record<string, MenuEntry>>;
  /** The business rule: the customer's id by caller number, or undefined for a stranger. */
  customers: (callerNumber: string) => string | undefined;
  /** Where transferred calls go: `sip:host:port`. */
  sbc: string;
  /** Default 127.0.0.1. */
  mediaHost?: string;
  /** Default 5,000. */
  digitTimeoutMs?: number;
  /** How often the menu is played. Default 3. */
  attempts?: number;
  /** How long the destination may ring. Default 60,000. */
  answerTimeoutMs?: number;
  /** A call is ended after this. Default one hour. */
  maxCallMs?: number;
  /** `ivr.drop-header { header }` */
  faults?: FaultPlan;
}

/** The customer's IVR application: answers, asks, and transfers through the SBC. */
export interface Ivr extends AsyncDisposable {
  /** Calls so far, oldest first, with what happened in each. */
  readonly calls: readonly IvrCall[];
}

/** Calls remembered for assertions. */
const MAX_REMEMBERED = 1_000;

export async function startIvr(options: IvrOptions): Promise<Ivr> {
  const {
    mediaHost = "127.0.0.1",
    digitTimeoutMs = 5_000,
    attempts = 3,
    answerTimeoutMs = 60_000,
    maxCallMs = 3_600_000,
    faults = faultPlan(),
  } = options;
  const settled = { ...options, mediaHost, digitTimeoutMs, attempts, answerTimeoutMs, maxCallMs };
  const calls: IvrCall[] = [];

  const handle = async (invitation: Invitation) => {
    const run = new IvrCallRun({ ...settled, faults, srf: server.srf }, invitation);
    calls.push(run.call);
    if (calls.length > MAX_REMEMBERED) calls.shift();
    await run.run();
  };

  const { trace, drachtio } = options;
  const server: InviteServer = await serveInvites({ drachtio, trace, handle });
  return { calls, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
