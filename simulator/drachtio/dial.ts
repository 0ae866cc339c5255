import type Srf from "drachtio-srf";
import type { Clock } from "../clock.ts";
import { CallCancelled } from "./invitation.ts";

// What drachtio-srf 5.0.29 does and its published types leave out or have wrong.
declare module "drachtio-srf" {
  interface Dialog {
    connected: boolean;
    request(options: InDialogRequest): Promise<SrfResponse>;
    on(event: "destroy", listener: (bye: SrfRequest, reason: string) => void): this;
  }
  interface SrfRequest {
    cancel(options: { headers: SipMessageHeaders }, callback: () => void): void;
  }
  interface InDialogRequest {
    method: SipMethod;
    headers?: SipMessageHeaders;
    body?: string;
  }
}

/** A final refusal of a call we placed. `response` is what came, unless the daemon itself gave up. */
export class CallRefused extends Error {
  override readonly name = "CallRefused";
  readonly code = "CALL_REFUSED";
  readonly status: number;
  readonly reason: string;
  readonly response: Srf.SrfResponse | undefined;

  constructor(uri: string, refusal: Refusal) {
    super(`${uri} answered ${refusal.status} ${refusal.reason ?? ""}`.trim());
    this.status = refusal.status;
    this.reason = refusal.reason ?? "";
    this.response = refusal.res;
  }
}

/** drachtio-srf's SipError. */
interface Refusal {
  status: number;
  reason?: string;
  res?: Srf.SrfResponse;
}

export interface DialOptions {
  headers?: Readonly<Record<string, string>>;
  localSdp: string;
  /** Next hop, where it differs from the Request-URI. */
  proxy?: string;
  /** Aborting sends CANCEL; the promise rejects at once with the signal's reason. */
  signal: AbortSignal;
  /** 101-199, in order of arrival. */
  onProvisional?: (response: Srf.SrfResponse) => void;
}

/**
 * Places a call; resolves with the dialog on 200 and rejects with {@link CallRefused} otherwise.
 * An answer that crosses our CANCEL is acknowledged and ended with BYE (RFC 3261 §15).
 */
export async function dial(srf: Srf, uri: string, options: DialOptions): Promise<Srf.Dialog> {
  const { signal, headers = {}, localSdp, proxy, onProvisional = () => {} } = options;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  let sent: Srf.SrfRequest | undefined;
  const cancel = () => {
    sent?.cancel(cancelOptions(signal), () => {});
    aborted.reject(signal.reason);
  };
  const onSent = (error: unknown, request?: Srf.SrfRequest) => {
    sent = request;
    if (error === null && signal.aborted) sent?.cancel(cancelOptions(signal), () => {});
  };
  signal.addEventListener("abort", cancel, { once: true });
  const uacOptions = {
    headers: { ...headers },
    localSdp,
    ...(proxy === undefined ? {} : { proxy }),
  };
  // The published type of cbRequest leaves out its first argument.
  const progress = { cbRequest: onSent as () => void, cbProvisional: onProvisional };
  const answered = srf.createUAC(uri, uacOptions, progress);
  answered.then((dialog) => signal.aborted && dialog.destroy()).catch(() => {});
  try {
    return await Promise.race([answered, aborted.promise]);
  } catch (error) {
    throw isRefusal(error) ? new CallRefused(uri, error) : error;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** The caller's Reason goes on with its CANCEL, so that every leg of the call says the same. */
function cancelOptions({ reason }: AbortSignal): { headers: Record<string, string> } {
  const text = reason instanceof CallCancelled ? reason.reason : undefined;
  return { headers: text === undefined ? {} : { Reason: text } };
}

function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && "status" in error && typeof error.status === "number";
}

/** How long a peer may take to answer BYE before we stop waiting; the daemon goes on by itself. */
const BYE_TIMEOUT_MS = 500;

export interface HangUpOptions {
  clock: Clock;
  headers?: Readonly<Record<string, string>>;
}

/** BYE; resolves when it was answered, refused or not answered in time. Twice is fine. */
export async function hangUp(dialog: Srf.Dialog, options: HangUpOptions): Promise<void> {
  if (!dialog.connected) return;
  // drachtio-srf does this when the answer comes; until then a second BYE would go out.
  dialog.connected = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  using _deadline = options.clock.after(BYE_TIMEOUT_MS, resolve);
  dialog.destroy({ headers: { ...options.headers } }, () => resolve());
  await promise;
}
