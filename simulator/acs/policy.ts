/**
 * What the service does where Microsoft documents nothing or customers differ: one switch each,
 * with its default. docs/fidelity.md lists them with their evidence.
 */
export interface Policy {
  /** Which plain-http (and ws) callback and transport URLs are taken. Azure takes none. */
  readonly insecureCallbacks: "loopback" | "always" | "never";
  /** The api-versions answered; any other gets the service's "No HTTP resource was found". */
  readonly apiVersions: readonly string[];
  /** Greatest age of `x-ms-date` either way, in milliseconds; undefined checks nothing. */
  readonly clockSkewMs: number | undefined;
  /** SIP status for a call no Event Grid subscription hears of. */
  readonly unroutedStatus: number;
  /** How long an incoming call rings before it is refused with 480. */
  readonly ringTimeoutMs: number;
  /** How long an outgoing call rings before it is cancelled. */
  readonly dialTimeoutMs: number;
  /** SIP status by callRejectReason. */
  readonly rejectStatus: Readonly<Record<"none" | "busy" | "forbidden", number>>;
  /** What to do with custom headers beyond the documented limits and alphabet. */
  readonly customHeaders: "strict" | "truncate" | "pass";
  /** Spelling of the User-to-User header in `sipHeaders`. */
  readonly userToUserKey: string;
  /** Sub-code of the CallDisconnected that follows an accepted transfer. */
  readonly transferredSubCode: number;
  /** What becomes of a second play or recognise: refused, or queued behind the first. */
  readonly mediaOperations: "refuse" | "queue";
  /** PlayStarted before PlayCompleted (newer api-versions). */
  readonly playStarted: boolean;
  /** All-zero frames are marked `silent: true` on the media socket. */
  readonly markSilence: boolean;
  /** Audio queued towards one call beyond this is dropped and counted. */
  readonly playoutLimitMs: number;
  /** Unsent bytes on a media socket beyond which frames are dropped and counted. */
  readonly socketBacklogBytes: number;
  /** Reconnections after a media socket broke, each a second later. */
  readonly mediaReconnects: number;
  /** From the answer to a start of recording until it is active. */
  readonly recordingStartMs: number;
  /** Longest recording kept; the rest is cut. */
  readonly recordingLimitMs: number;
  /** How long an application may take to answer a callback. */
  readonly callbackTimeoutMs: number;
  /** How long an event waits for the answer to the one before, so that they keep their order. */
  readonly callbackOrderMs: number;
  /** Further attempts after a callback failed, a second apart. */
  readonly callbackRetries: number;
  /** Participants per page of a listing. */
  readonly participantPageSize: number;
  /** Greatest number of calls at once; one more gets 429. */
  readonly callLimit: number;
}

export const DEFAULT_POLICY: Policy = {
  insecureCallbacks: "loopback",
  apiVersions: ["2026-03-12", "2025-05-15", "2024-09-15", "2024-04-15", "2023-10-15", "2023-03-06"],
  clockSkewMs: undefined,
  unroutedStatus: 404,
  ringTimeoutMs: 60_000,
  dialTimeoutMs: 60_000,
  rejectStatus: { none: 603, busy: 486, forbidden: 403 },
  customHeaders: "strict",
  userToUserKey: "User-To-User",
  transferredSubCode: 7000,
  mediaOperations: "refuse",
  playStarted: true,
  markSilence: false,
  playoutLimitMs: 600_000,
  socketBacklogBytes: 1_000_000,
  mediaReconnects: 1,
  recordingStartMs: 0,
  recordingLimitMs: 3_600_000,
  callbackTimeoutMs: 10_000,
  callbackOrderMs: 50,
  callbackRetries: 0,
  participantPageSize: 100,
  callLimit: 1_000,
};
