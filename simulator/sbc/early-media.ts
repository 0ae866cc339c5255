import type Srf from "drachtio-srf";
import type { Invitation } from "../drachtio/invitation.ts";
import { relay } from "../media/relay.ts";
import type { MediaSession } from "../media/session.ts";

export interface EarlyMediaOptions {
  near: MediaSession;
  far: MediaSession;
  /** Our answer to the caller's offer. */
  sdp: string;
  headers: Readonly<Record<string, string>>;
}

/**
 * Passes provisional responses to the caller. One with SDP opens the media before the answer; one
 * without says that the caller's side has to ring by itself. Disposed when the answer comes.
 */
export class EarlyMedia implements Disposable {
  readonly #options: EarlyMediaOptions;
  readonly #invitation: Invitation;
  #relay: Disposable | undefined;

  constructor(options: EarlyMediaOptions, invitation: Invitation) {
    this.#options = options;
    this.#invitation = invitation;
  }

  progress({ status, body }: Srf.SrfResponse): void {
    const { headers, sdp } = this.#options;
    const open = this.#relay !== undefined || (body && this.#open(body));
    this.#invitation.progress(status, open ? { headers, sdp } : { headers });
  }

  [Symbol.dispose](): void {
    this.#relay?.[Symbol.dispose]();
  }

  #open(sdp: string): boolean {
    const { near, far } = this.#options;
    try {
      far.accept(sdp);
    } catch {
      // Of no use before the answer; whether the answer is, is judged when it comes.
      return false;
    }
    this.#relay = relay(near, far);
    return true;
  }
}
