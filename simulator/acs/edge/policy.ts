/**
 * What the Direct Routing edge does where Microsoft documents nothing, or where resources differ:
 * one switch each, with its default. docs/fidelity-direct-routing.md lists the evidence.
 */
export interface EdgePolicy {
  /** 180 to the border controller while the application has not answered yet. */
  readonly ringing: boolean;
  /** Record-Route on top of our INVITEs and answers; without it the next hop is our Contact. */
  readonly recordRoute: boolean;
  /**
   * What Record-Route names: our FQDN, or our address. A lab switch: a border controller that knows
   * only DNS cannot find the lab's Microsoft by name.
   */
  readonly routeBy: "name" | "address";
  /** Which inbound headers reach the application: `current` any `X-*`, `legacy` `X-MS-Custom-*`. */
  readonly inboundHeaders: "current" | "legacy";
  /** Custom headers beyond the documented limits and alphabet, either way. */
  readonly customHeaders: "strict" | "truncate" | "pass";
  /** Where custom headers ride in a transfer whose REFER the border controller routes itself. */
  readonly directTransferHeaders: "refer" | "referAndReferTo";
  /** Where they ride in a hairpin transfer. */
  readonly hairpinHeaders: "thirdInvite" | "thirdInviteAndRefer";
  /** Refer-To of a hairpin: with the number as user, or opaque (`x-m` only, no user part). */
  readonly referTo: "phone" | "opaque";
  /** REFER comes from another local address on a connection of its own. */
  readonly referFromOtherAddress: boolean;
  /** That other address. Where the machine does not have it, the connection alone is another. */
  readonly otherAddress: string;
  /** How to transfer when the border controller lists no REFER but does list Replaces. */
  readonly withoutRefer: "replaces" | "internal";
  /** Wait for a NOTIFY with a final status, from the REFER on. */
  readonly transferTimeoutMs: number;
  /** The original call when that NOTIFY, or the answer to the REFER, never comes. */
  readonly missingNotify: "drop" | "keep";
  /** Nothing but 100 came to our INVITE within this: the next trunk is tried. */
  readonly failoverTimeoutMs: number;
  /** Order of the healthy trunks of one route. */
  readonly trunkOrder: "random" | "listed";
  /** Trunks that never sent a valid OPTIONS: nothing is sent to them. */
  readonly unseenTrunks: "skip" | "try";
  /** Between our probes of one trunk, from each datacenter. */
  readonly optionsIntervalMs: number;
  /** A probe without an answer for this long has failed. */
  readonly optionsTimeoutMs: number;
  /** No OPTIONS of a trunk for this long: it is demoted to the end of the list. */
  readonly healthyForMs: number;
  /** A certificate this close to its end is reported as expiring. */
  readonly certificateWarningMs: number;
  /** A certificate without extended key usage: strict refuses it. */
  readonly missingKeyUsage: "refuse" | "accept";
  /** In-dialog requests that lost `x-i` and `x-c` of our Contact. */
  readonly lostIdentity: "refuse" | "accept";
  /** Session-Expires that we offer, in seconds; 0 offers no session timer. */
  readonly sessionExpiresS: number;
  /** Min-SE; an INVITE that asks for less gets 422. */
  readonly minSessionExpiresS: number;
  /** Our SDP lists AES_CM_128_HMAC_SHA1_32 before _80, as Microsoft's does. */
  readonly offerBothSuites: boolean;
  /** TLS 1.3 besides 1.2. */
  readonly tls13: boolean;
  /** An INVITE with more History-Info entries than this goes in circles. */
  readonly historyLimit: number;
  /** A call from which no packet came for this long is dropped; 0: never. */
  readonly mediaTimeoutMs: number;
  /** The status for OPTIONS and INVITE that name no border controller at all. */
  readonly missingContactStatus: number;
  /** Version in SERVER and USER-AGENT. */
  readonly proxyVersion: string;
}

export const DEFAULT_EDGE_POLICY: EdgePolicy = {
  ringing: true,
  recordRoute: true,
  routeBy: "name",
  inboundHeaders: "current",
  customHeaders: "strict",
  directTransferHeaders: "refer",
  hairpinHeaders: "thirdInvite",
  referTo: "phone",
  referFromOtherAddress: true,
  otherAddress: "127.0.0.2",
  withoutRefer: "replaces",
  transferTimeoutMs: 60_000,
  missingNotify: "drop",
  failoverTimeoutMs: 10_000,
  trunkOrder: "random",
  unseenTrunks: "skip",
  optionsIntervalMs: 60_000,
  optionsTimeoutMs: 10_000,
  healthyForMs: 180_000,
  certificateWarningMs: 30 * 86_400_000,
  missingKeyUsage: "refuse",
  lostIdentity: "refuse",
  sessionExpiresS: 3_600,
  minSessionExpiresS: 300,
  offerBothSuites: true,
  tls13: false,
  historyLimit: 10,
  mediaTimeoutMs: 20_000,
  missingContactStatus: 403,
  proxyVersion: "2026.3.12.1",
};
