import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import { CallRefused, dial, hangUp } from "./dial.ts";
import type { Invitation, ResponseOptions } from "./invitation.ts";

/** How a call through us ended. `reason` is the BYE's Reason header or the refusal's phrase. */
export interface LinkEnd {
  by: "caller" | "callee" | "us" | "refused";
  /** Of a refusal. */
  status?: number;
  reason?: string;
}

export interface ThroughOptions {
  srf: Srf;
  clock: Clock;
  /** Where the call goes on. */
  uri: string;
  headers?: Readonly<Record<string, string>>;
  proxy?: string;
  /** Aborting with {@link CallRefused} while it rings refuses the caller with that. */
  signal: AbortSignal;
  onConnected?: () => void;
}

/**
 * A back-to-back user agent for one call whose SDP passes through: dials on, passes provisional
 * responses, the answer or the refusal back, and keeps both dialogs together until the end.
 */
export async function callThrough(
  invitation: Invitation,
  options: ThroughOptions,
): Promise<LinkEnd> {
  const { srf, clock, uri, signal, headers = {}, onConnected = () => {}, ...rest } = options;
  if (invitation.offer === "") {
    // RFC 3261 §13.2.1 allows a late offer; to pass one on, the answer would have to wait in our ACK.
    invitation.refuse(488, undefined, { Warning: '399 linecheck "an offer is needed"' });
    return { by: "refused", status: 488 };
  }
  const onProvisional = ({ status, body }: Srf.SrfResponse) =>
    invitation.progress(status, body ? { sdp: body } : {});
  try {
    const typed = { ...headers, "Content-Type": contentTypeOf(invitation) };
    const onward = { ...rest, headers: typed, localSdp: invitation.offer, signal, onProvisional };
    const callee = await dial(srf, uri, onward);
    const caller = await answerOrHangUp(invitation, { callee, clock, sdp: callee.remote.sdp });
    onConnected();
    return await linkDialogs(caller, callee, { clock, signal });
  } catch (error) {
    if (!(error instanceof CallRefused)) throw error;
    passRefusal(invitation, error);
    return { by: "refused", status: error.status, reason: error.reason };
  }
}

/** The body passes whatever it is; without a type it can only be meant as SDP (RFC 3261 §20.15). */
function contentTypeOf({ request }: Invitation): string {
  return request.has("Content-Type") ? request.get("Content-Type") : "application/sdp";
}

export interface AnswerOptions extends ResponseOptions {
  /** The other side, which has answered already. */
  callee: Srf.Dialog;
  clock: Clock;
}

/** Answers the caller; the callee is hung up when the caller's CANCEL came in between. */
export async function answerOrHangUp(
  invitation: Invitation,
  { callee, clock, ...response }: AnswerOptions,
): Promise<Srf.Dialog> {
  try {
    return await invitation.answer(response);
  } catch (error) {
    await hangUp(callee, { clock });
    throw error;
  }
}

/**
 * The refusal as it goes on to the caller. Challenges and redirections are for the one who dialled,
 * which is us (RFC 3261 §16.7 would let a proxy pass them).
 */
export function passRefusal(
  invitation: Invitation,
  { status, reason, response }: CallRefused,
): void {
  const ours = status < 400 || status === 401 || status === 407;
  const headers: Record<string, string> = response?.has("Reason")
    ? { Reason: response.get("Reason") }
    : {};
  if (ours) invitation.refuse(500, undefined, headers);
  else invitation.refuse(status, reason || undefined, headers);
}

/**
 * BYE, re-INVITE and INFO of one side go to the other. Resolves when the call is over and both
 * sides know.
 */
async function linkDialogs(
  caller: Srf.Dialog,
  callee: Srf.Dialog,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<LinkEnd> {
  const { promise, resolve } = Promise.withResolvers<LinkEnd>();
  const abort = () => resolve({ by: "us" });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  const sides = [
    { by: "caller", from: caller, to: callee },
    { by: "callee", from: callee, to: caller },
  ] as const;
  for (const { by, from, to } of sides) {
    from.on("destroy", (bye) => resolve({ by, ...reasonOf(bye) }));
    from.on("modify", (req, res) => void passReinvite(to, req, res));
    from.on("refresh", () => {});
    from.on("info", (req, res) => void passInfo(to, req, res));
    refuseRefer(from);
    // It may have hung up while the other side was still being answered.
    if (!from.connected) resolve({ by });
  }
  const end = await promise;
  signal.removeEventListener("abort", abort);
  const headers: Record<string, string> = end.reason === undefined ? {} : { Reason: end.reason };
  await Promise.all([caller, callee].map((dialog) => hangUp(dialog, { clock, headers })));
  return end;
}

/** drachtio-srf would answer 200 to a REFER nobody listens to, and the transfer would hang. */
export function refuseRefer(dialog: Srf.Dialog): void {
  const Allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY";
  dialog.on("refer", (_req, res) => res.send(405, { headers: { Allow } }));
}

export function reasonOf(message: Srf.SipMessage): { reason?: string } {
  return message.has("Reason") ? { reason: message.get("Reason") } : {};
}

/**
 * Sends a new offer in a dialog; resolves with its final response. `Dialog.modify` would do the
 * same, but after one refused re-INVITE it never sends another.
 */
export function reinvite(
  dialog: Srf.Dialog,
  sdp: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Srf.SrfResponse> {
  const typed = { ...headers, "Content-Type": "application/sdp" };
  return dialog.request({ method: "INVITE", headers: typed, body: sdp });
}

async function passReinvite(to: Srf.Dialog, req: Srf.SrfRequest, res: Srf.SrfResponse) {
  // As with the call itself: a late offer would need its answer in our ACK.
  if (req.body === "") return res.send(488);
  try {
    const { status, body, reason } = await reinvite(to, req.body);
    if (status === 200) res.send(200, { body });
    else res.send(status, reason, {});
  } catch {
    // The other dialog has just ended; its BYE is on the way here.
    res.send(481);
  }
}

async function passInfo(to: Srf.Dialog, req: Srf.SrfRequest, res: Srf.SrfResponse) {
  try {
    const headers = { "Content-Type": req.get("Content-Type") };
    const { status, reason } = await to.request({ method: "INFO", headers, body: req.body });
    res.send(status, reason, {});
  } catch {
    // As above: the other dialog has just ended.
    res.send(481);
  }
}
