import type Srf from "drachtio-srf";
import type { PartyTrace } from "../trace.ts";
import { connectDrachtio, type DrachtioAddress, type DrachtioApplication } from "./application.ts";

/** A call that came in and was not answered yet. */
export interface Invitation {
  readonly callId: string;
  /** User part of the Request-URI. */
  readonly number: string;
  /** User part of the From URI. */
  readonly from: string;
  /** Max-Forwards as it came; 70 without one. */
  readonly maxForwards: number;
  readonly request: Srf.SrfRequest;
  /** The caller's SDP; empty for a late offer. */
  readonly offer: string;
  /** Aborted when the caller gives up (CANCEL) or the application is disposed. */
  readonly signal: AbortSignal;
  /** Without `status`, 180 without a body. */
  progress(status?: number, options?: ResponseOptions): void;
  /** A final refusal. Does nothing when the call was answered, refused or cancelled before. */
  refuse(status: number, reason?: string, headers?: Record<string, string>): void;
  /** 200 with our SDP. Rejects when the caller has given up. */
  answer(options: ResponseOptions): Promise<Srf.Dialog>;
}

export interface ResponseOptions {
  sdp?: string;
  headers?: Readonly<Record<string, string>>;
}

/** The caller sent CANCEL. `reason` is that request's Reason header. */
export class CallCancelled extends Error {
  override readonly name = "CallCancelled";
  readonly code = "CALL_CANCELLED";
  readonly reason: string | undefined;

  constructor(callId: string, reason?: string) {
    super(`the caller cancelled ${callId}${reason === undefined ? "" : `: ${reason}`}`);
    this.reason = reason;
  }
}

export interface InviteServerOptions {
  drachtio: DrachtioAddress;
  trace: PartyTrace;
  /** One call, from its INVITE to its end. What it throws is traced and refused with 500. */
  handle: (invitation: Invitation) => Promise<void>;
  /** Calls at a time; one more gets 503. Default 1,000. */
  maxCalls?: number;
  signal?: AbortSignal;
}

/** A drachtio application that takes calls. Disposing it ends them and disconnects. */
export interface InviteServer extends AsyncDisposable {
  readonly srf: DrachtioApplication;
  /** Calls that are not over. */
  readonly callCount: number;
}

export async function serveInvites(options: InviteServerOptions): Promise<InviteServer> {
  const { drachtio, trace, handle, maxCalls = 1_000, signal } = options;
  const srf = await connectDrachtio({ ...drachtio, ...(signal === undefined ? {} : { signal }) });
  const stop = new AbortController();
  const calls = new Set<Promise<void>>();
  let connection = new AbortController();
  let disposal: Promise<void> | undefined;

  const serve = async (invitation: Invitation) => {
    try {
      await handle(invitation);
    } catch (error) {
      if (!invitation.signal.aborted) complain(trace, invitation.callId, error);
    } finally {
      invitation.refuse(stop.signal.aborted ? 503 : 500);
    }
  };

  srf.invite((req, res) => {
    const invitation = receive(req, res, AbortSignal.any([stop.signal, connection.signal]));
    const refusal = unacceptable(req);
    if (refusal !== undefined) return invitation.refuse(...refusal);
    if (calls.size >= maxCalls || stop.signal.aborted) return invitation.refuse(503);
    const call = serve(invitation);
    calls.add(call);
    void call.then(() => calls.delete(call));
  });
  // Dialogs live in the daemon; when it goes, or forgets us, nothing of a call is left to control.
  srf.addListener("close", () => {
    connection.abort(new Error("the connection to the drachtio daemon is lost"));
    connection = new AbortController();
  });

  const dispose = async () => {
    stop.abort(new Error("the application is shutting down"));
    await Promise.all(calls);
    await srf[Symbol.asyncDispose]();
  };
  return {
    srf,
    get callCount() {
      return calls.size;
    },
    [Symbol.asyncDispose]: () => (disposal ??= dispose()),
  };
}

/** What no application of ours could serve: status, reason, headers. */
function unacceptable(req: Srf.SrfRequest): [number, string, Record<string, string>?] | undefined {
  // drachtio-srf would answer 200 and then fail for want of a remote target.
  if (!req.has("Contact")) return [400, "Missing Contact"];
  const required = req.has("Require") ? req.get("Require").split(",") : [];
  const unsupported = required.map((tag) => tag.trim()).filter((tag) => !SUPPORTED.has(tag));
  if (unsupported.length === 0) return undefined;
  return [420, "Bad Extension", { Unsupported: unsupported.join(", ") }];
}

/** Option tags that the daemon takes care of. */
const SUPPORTED = new Set(["timer"]);

function hopsOf(req: Srf.SrfRequest): number {
  const hops = req.has("Max-Forwards") ? Number.parseInt(req.get("Max-Forwards"), 10) : 70;
  return Number.isNaN(hops) ? 0 : hops;
}

function receive(req: Srf.SrfRequest, res: Srf.SrfResponse, over: AbortSignal): Invitation {
  const cancel = new AbortController();
  const callId = req.get("Call-ID");
  req.on("cancel", (message) =>
    cancel.abort(
      new CallCancelled(callId, message.has("Reason") ? message.get("Reason") : undefined),
    ),
  );
  const signal = AbortSignal.any([cancel.signal, over]);
  return {
    callId,
    number: userOf(req.uri),
    from: userOf(req.get("From")),
    maxForwards: hopsOf(req),
    request: req,
    offer: req.body ?? "",
    signal,
    progress(status = 180, { sdp, headers = {} } = {}) {
      if (res.finalResponseSent || cancel.signal.aborted) return;
      res.send(status, { headers: { ...headers }, ...(sdp === undefined ? {} : { body: sdp }) });
    },
    refuse(status, reason, headers = {}) {
      if (res.finalResponseSent || cancel.signal.aborted) return;
      // drachtio-srf takes the standard phrase when the reason is left out.
      if (reason === undefined) res.send(status, { headers: { ...headers } });
      else res.send(status, reason, { headers: { ...headers } });
    },
    async answer({ sdp = "", headers = {} }) {
      signal.throwIfAborted();
      try {
        return await req.srf.createUAS(req, res, { localSdp: sdp, headers: { ...headers } });
      } catch (error) {
        // The daemon knows of the CANCEL before it has told us.
        if (UNKNOWN_TRANSACTION.test(String(error))) cancel.abort(new CallCancelled(callId));
        signal.throwIfAborted();
        throw error;
      }
    },
  };
}

const UNKNOWN_TRANSACTION = /unknown transaction/i;

/** The user part of a SIP URI or of a header that holds one; empty if there is none. */
export function userOf(value: string): string {
  const user = /sips?:([^@;?>\s]*)(?:;[^@?>\s]*)?@/i.exec(value)?.[1] ?? "";
  return user.replace("%2B", "+");
}

function complain(trace: PartyTrace, callId: string, error: unknown): void {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  trace.record({ type: "error", code: "CALL_HANDLER", message }, callId);
}
