import type { Clock, Timer } from "../../clock.ts";
import type { MediaSession } from "../../media/session.ts";

const CHECKS = 4;

export interface MediaWatchOptions {
  readonly clock: Clock;
  readonly media: MediaSession;
  /** A call is lost when no packet came for this long. */
  readonly timeoutMs: number;
  readonly onSilence: () => void;
}

/** Notices that nothing comes from the border controller any more; a held call may be silent. */
export class MediaWatch implements Disposable {
  readonly #timer: Timer;
  #packets = 0;
  #silentChecks = 0;

  constructor({ clock, media, timeoutMs, onSilence }: MediaWatchOptions) {
    this.#timer = clock.every(timeoutMs / CHECKS, () => {
      this.#silentChecks = this.#isSilent(media) ? this.#silentChecks + 1 : 0;
      if (this.#silentChecks < CHECKS) return;
      this.#timer.cancel();
      onSilence();
    });
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  #isSilent(media: MediaSession): boolean {
    const { packets } = media.statistics().received;
    const hasMoved = packets !== this.#packets;
    this.#packets = packets;
    const direction = media.negotiated?.direction;
    return !hasMoved && (direction === "sendrecv" || direction === "recvonly");
  }
}
