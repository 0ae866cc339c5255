import type { SipRequest, SipResponse } from "../../sip/message.ts";

/** What a border controller says it can do, from the Allow and Supported of its first message. */
export interface PeerAbilities {
  readonly refer: boolean;
  readonly replaces: boolean;
  readonly timer: boolean;
}

export function abilitiesOf(message: SipRequest | SipResponse): PeerAbilities {
  const allow = new Set(message.list("Allow").map((method) => method.toUpperCase()));
  const supported = new Set(message.list("Supported").map((option) => option.toLowerCase()));
  return {
    // Without NOTIFY a REFER would have no outcome.
    refer: allow.has("REFER") && allow.has("NOTIFY"),
    replaces: supported.has("replaces"),
    timer: supported.has("timer"),
  };
}
