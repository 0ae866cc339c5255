import { Core, type Session, SessionState } from "sip.js";
import type { Clock } from "../clock.ts";
import type { Audio } from "../media/frame.ts";
import type { MediaSession } from "../media/session.ts";

/** How a call ended. `reason` is the text of the BYE's Reason header, if there was one. */
export interface CallEnd {
  by: "local" | "remote";
  reason?: string;
}

/** A call that was answered. Disposing it hangs up. */
export interface PhoneCall extends AsyncDisposable {
  readonly callId: string;
  /** The call's media: frames, recordings (`said`, `heard`) and statistics, also after the end. */
  readonly session: MediaSession;
  /** Resolves once, whoever hangs up. */
  readonly ended: Promise<CallEnd>;
  /** Speaks; resolves when the last frame has left, or when aborted. */
  say(audio: Audio, options?: { signal?: AbortSignal }): Promise<{ playedMs: number }>;
  /** Presses keys `0-9 * # A-D` as RFC 4733 events. */
  press(digits: string, options?: { signal?: AbortSignal }): Promise<void>;
  /** BYE; resolves when the peer answered it or did not in time. Twice is fine. */
  hangUp(): Promise<void>;
}

/** How long the peer may take to answer our BYE. */
const BYE_TIMEOUT_MS = 500;

export interface PhoneCallOptions {
  clock: Clock;
  session: Session;
  media: MediaSession;
  callId: string;
}

/** Wraps a session that sip.js has just established. */
export class EstablishedCall implements PhoneCall {
  readonly callId: string;
  readonly session: MediaSession;
  readonly ended: Promise<CallEnd>;
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #end = Promise.withResolvers<CallEnd>();
  #hangUp: Promise<void> | undefined;
  #weHungUp = false;

  constructor({ clock, session, media, callId }: PhoneCallOptions) {
    this.callId = callId;
    this.session = media;
    this.ended = this.#end.promise;
    this.#clock = clock;
    this.#session = session;
    session.delegate = {
      ...session.delegate,
      onBye: (bye) => {
        const reason = bye.request.getHeader("Reason");
        void bye.accept();
        this.#finish({ by: "remote", ...(reason === undefined ? {} : { reason }) });
      },
    };
    session.stateChange.addListener((state) => {
      if (state !== SessionState.Terminated) return;
      this.#finish({ by: this.#weHungUp ? "local" : "remote" });
    });
  }

  say(audio: Audio, options: { signal?: AbortSignal } = {}): Promise<{ playedMs: number }> {
    return this.session.play(audio, options);
  }

  press(digits: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.session.sendDigits(digits, options);
  }

  hangUp(): Promise<void> {
    this.#hangUp ??= this.#sayBye();
    return this.#hangUp;
  }

  /** The connection to the server is gone: nobody can say BYE any more. */
  connectionLost(reason: string): void {
    this.#finish({ by: "remote", reason });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hangUp();
    await this.session[Symbol.asyncDispose]();
  }

  async #sayBye(): Promise<void> {
    if (this.#session.state !== SessionState.Established) return;
    this.#weHungUp = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    using _deadline = this.#clock.after(BYE_TIMEOUT_MS, resolve);
    const answered = () => resolve();
    const requestDelegate = { onAccept: answered, onReject: answered, onRedirect: answered };
    this.#session.bye({ requestDelegate }).catch(answered);
    await promise;
    this.#finish({ by: "local" });
  }

  #finish(end: CallEnd): void {
    this.#end.resolve(end);
    stopRetransmitting(this.#session);
    // Stops the media; recordings and figures stay readable.
    void this.session[Symbol.asyncDispose]();
  }
}

/**
 * sip.js 0.21.2 repeats its answer to a re-INVITE from a timer that it loses when a second re-INVITE
 * comes within 500 ms. That timer looks at this field and, once the call is over, never stops.
 */
function stopRetransmitting({ dialog }: Session): void {
  if (dialog instanceof Core.SessionDialog) dialog.reinviteUserAgentServer = undefined;
}
