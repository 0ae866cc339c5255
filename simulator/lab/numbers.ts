import type { MenuEntry } from "../ivr/menu.ts";

/** The lab's numbering plan and names; every one of them is fictional. */
export const NUMBERS = {
  /** What the customer dials; the carrier brings it to the IVR. */
  service: "+18005551234",
  /** The voice agent, behind the SBC and ACS Direct Routing. */
  agent: "+18005550100",
  /** The human queue, behind ACS's voice routes and the SBC. */
  queue: "+18005550150",
} as const;

export const SBC_FQDN = "sbc.linecheck.test";
/** An SBC that goes by a name its certificate is not for. */
export const RENAMED_SBC_FQDN = "sbc2.linecheck.test";
export const SBC_DOMAIN = "linecheck.test";

/** The names of Microsoft's SIP proxies, in the order in which an SBC tries them. */
export const MICROSOFT_PROXIES = [
  "sip.pstnhub.microsoft.com",
  "sip2.pstnhub.microsoft.com",
  "sip3.pstnhub.microsoft.com",
] as const;

/** The IVR's menu: the key, what the caller wants by it, and where the call goes. */
export const MENU: Readonly<Record<string, MenuEntry>> = {
  "1": { reason: "orders", destination: NUMBERS.agent },
  "2": { reason: "billing", destination: NUMBERS.agent },
  "3": { reason: "technical-support", destination: NUMBERS.agent },
};

/** What the IVR says. */
export const PROMPTS = {
  menu: "Welcome to Contoso Telecom. For orders, press one. For billing, press two. For technical support, press three.",
  invalid: "Sorry, that is not a valid choice.",
  transferring: "Please hold while I connect you.",
  unavailable: "This service is not available right now. Please call again later.",
} as const;

/** Who speaks with which voice; the voices differ, so that a recording tells them apart. */
export const VOICES = {
  customer: "en-US-AndrewNeural",
  human: "en-GB-RyanNeural",
  ivr: "en-US-TonyNeural",
  agent: "en-US-AvaMultilingualNeural",
} as const;
