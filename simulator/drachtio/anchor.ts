import type Srf from "drachtio-srf";

/** The part of a media session that a dialog needs; see simulator/media/session.ts. */
export interface DescribedMedia {
  offer(options?: { direction?: MediaDirection }): string;
  answer(offer: string): string;
  accept(answer: string): void;
}

type MediaDirection = "sendrecv" | "sendonly" | "recvonly" | "inactive";

export interface AnchorOptions {
  /** Headers of our answers, such as a Contact with a name. */
  headers?: Readonly<Record<string, string>>;
  /** The peer changed the direction (hold, resume), after it was answered. */
  onOffer?: (offer: string) => void;
}

/**
 * Answers a dialog's re-INVITEs from a media session of ours: hold, resume, new address. An offer
 * we cannot take is refused with 488 and the session stays as it was (RFC 3261 §14.2).
 */
export function anchor(
  dialog: Srf.Dialog,
  media: DescribedMedia,
  { headers = {}, onOffer = () => {} }: AnchorOptions = {},
): void {
  dialog.on("modify", (req, res) => {
    try {
      const late = req.body === "";
      const body = late ? media.offer() : media.answer(req.body);
      if (late) acceptLateAnswer(dialog, media, req.body);
      res.send(200, { headers: { ...headers, "Content-Type": "application/sdp" }, body });
      if (!late) onOffer(req.body);
    } catch {
      // The media session says why in the trace; on the wire there is only this.
      res.send(488);
    }
  });
}

/**
 * The SDP to answer an INVITE with: an answer to its offer, or our offer when it has none; then the
 * caller's answer comes with the ACK.
 */
export function describe(media: DescribedMedia, offer: string): string {
  return offer === "" ? media.offer() : media.answer(offer);
}

/** Takes the answer to a late offer from the ACK of `dialog`; an answer we cannot use ends the call. */
export function acceptLateAnswer(dialog: Srf.Dialog, media: DescribedMedia, offer: string): void {
  if (offer !== "") return;
  dialog.once("ack", (ack) => {
    try {
      media.accept(ack.body);
    } catch {
      const headers = { Reason: 'SIP;cause=488;text="Not Acceptable Here"' };
      dialog.destroy({ headers }, () => {});
    }
  });
}
