import { type Invitation, SessionState } from "sip.js";
import type { Clock } from "../clock.ts";
import type { MediaSession } from "../media/session.ts";
import { EstablishedCall, type PhoneCall } from "./phone-call.ts";
import { describeMedia, type MediaDescriptions } from "./session-description.ts";

/** Message headers by name, in any case. */
export interface CallHeaders {
  get(name: string): string | undefined;
}

/** A call that rings at this phone. */
export interface IncomingPhoneCall {
  readonly callId: string;
  readonly headers: CallHeaders;
  /** The caller's number: user part of the From URI. */
  readonly from: string;
  readonly displayName?: string;
  /** Resolves when the caller gave up (CANCEL) before it was answered. */
  readonly cancelled: Promise<void>;
  /** 200 OK with our SDP. Rejects with {@link CallGone} or the media session's refusal (488). */
  answer(): Promise<PhoneCall>;
  /** Final refusal: 486, 603, 480. */
  reject(status: number, reason?: string): Promise<void>;
}

/** The caller hung up before the phone was picked up. */
export class CallGone extends Error {
  override readonly name = "CallGone";
  readonly code = "CALL_GONE";
}

export interface IncomingCallOptions {
  clock: Clock;
  invitation: Invitation;
  openMedia: (callId: string) => Promise<MediaSession>;
  /** Hands sip.js the media of this invitation. */
  describe: (descriptions: MediaDescriptions) => void;
  onAnswered: (call: EstablishedCall) => void;
}

export function incomingCall(options: IncomingCallOptions): IncomingPhoneCall {
  const { invitation } = options;
  const { request, remoteIdentity } = invitation;
  const cancelled = Promise.withResolvers<void>();
  invitation.delegate = { ...invitation.delegate, onCancel: () => cancelled.resolve() };
  const displayName = remoteIdentity.displayName;
  return {
    callId: request.callId,
    headers: { get: (name) => request.getHeader(name) },
    from: remoteIdentity.uri.user ?? "",
    ...(displayName ? { displayName } : {}),
    cancelled: cancelled.promise,
    answer: () => answer(options),
    async reject(status, reason) {
      if (invitation.state !== SessionState.Initial) return;
      await invitation.reject({ statusCode: status, ...(reason ? { reasonPhrase: reason } : {}) });
    },
  };
}

async function answer(options: IncomingCallOptions): Promise<PhoneCall> {
  const { clock, invitation, openMedia, describe, onAnswered } = options;
  const { callId } = invitation.request;
  const media = await openMedia(callId);
  const descriptions = describeMedia(media, () => void invitation.reject({ statusCode: 488 }));
  describe(descriptions);
  try {
    await invitation.accept();
    if (invitation.state !== SessionState.Established) throw gone(callId);
  } catch (error) {
    await media[Symbol.asyncDispose]();
    if (descriptions.refusal !== undefined) throw descriptions.refusal;
    throw error instanceof CallGone ? error : gone(callId, error);
  }
  const call = new EstablishedCall({ clock, session: invitation, media, callId });
  onAnswered(call);
  return call;
}

function gone(callId: string, cause?: unknown): CallGone {
  return new CallGone(`call ${callId} ended before it was answered`, { cause });
}
