import type { SessionDescriptionHandler } from "sip.js";
import type { MediaSession } from "../media/session.ts";

/** What sip.js asks about media, answered by a {@link MediaSession} with plain RTP (no WebRTC). */
export interface MediaDescriptions extends SessionDescriptionHandler {
  /** Why the last offer could not be answered, for the caller of `accept()`. */
  readonly refusal: unknown;
}

/** `onRefused` runs before sip.js hears of a bad offer: its own answer would be 480 for all causes. */
export function describeMedia(media: MediaSession, onRefused: () => void): MediaDescriptions {
  let remoteOffer: string | undefined;
  let offered = false;
  let refusal: unknown;

  const describe = () => {
    if (remoteOffer !== undefined) return media.answer(remoteOffer);
    offered = true;
    return media.offer();
  };

  return {
    get refusal() {
      return refusal;
    },
    hasDescription: (contentType) => contentType.toLowerCase().startsWith("application/sdp"),
    async getDescription() {
      try {
        return { body: describe(), contentType: "application/sdp" };
      } catch (error) {
        refusal = error;
        onRefused();
        throw error;
      } finally {
        remoteOffer = undefined;
      }
    },
    async setDescription(sdp) {
      if (offered) media.accept(sdp);
      else remoteOffer = sdp;
      offered = false;
    },
    async rollbackDescription() {
      offered = false;
      remoteOffer = undefined;
    },
    sendDtmf: () => false,
    // The call owns the session: its recordings are read after sip.js has closed this handler.
    close() {},
  };
}
