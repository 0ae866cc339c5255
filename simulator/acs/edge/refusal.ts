import { SipError } from "../../sip/error.ts";
import type { SipResponse } from "../../sip/message.ts";
import { PstnRefusal } from "../pstn.ts";

/** A code and its text, as in `sipDetails` and `q850Details`. */
export interface CodeDetail {
  readonly code: number;
  readonly message: string;
}

/** Why Microsoft itself refuses: SIP status, sub-code, and the words of its REASON header. */
export interface EdgeRefusal {
  readonly status: number;
  readonly subCode: number;
  readonly text: string;
  /** Q.850 cause; default by {@link causeOf}. */
  readonly cause?: number;
  /** Further headers of the response: Min-SE, Unsupported, Retry-After. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Refusals with a documented sub-code, and the wording of the documentation or of traces. */
export const REFUSALS = {
  noTrunk: { status: 403, subCode: 510_532, text: "No trunk config was found" },
  noRoute: { status: 403, subCode: 510_559, text: "No viable path" },
  malformed: { status: 400, subCode: 540_400, text: "Malformed message" },
  failover: { status: 408, subCode: 500_001, text: "Failover timer expired" },
  notAcknowledged: {
    status: 408,
    subCode: 1106,
    text: "Call Controller timed out while waiting for acknowledgement",
  },
  noSrtp: { status: 488, subCode: 531_000, text: "SrtpEncryptionRequired" },
  noMedia: { status: 488, subCode: 531_000, text: "CannotSupportAnyMedia" },
  blackhole: { status: 488, subCode: 531_052, text: "BlackholeMedia" },
  loop: { status: 500, subCode: 510_482, text: "Loop detected" },
} as const satisfies Record<string, EdgeRefusal>;

/**
 * Q.850 causes by SIP status after NICC ND1017:2006/07. 486 is 34 there, not RFC 4497's 17; the
 * carriers' equipment may redial because of it.
 */
const CAUSES: Readonly<Record<number, number>> = {
  200: 16,
  400: 127,
  403: 21,
  404: 1,
  408: 102,
  410: 22,
  480: 18,
  481: 41,
  484: 28,
  486: 34,
  487: 127,
  488: 88,
  500: 41,
  502: 38,
  503: 41,
  504: 102,
  600: 17,
  603: 21,
  604: 1,
};

export function causeOf(status: number): number {
  return CAUSES[status] ?? (status < 500 ? 127 : 41);
}

/** `Q.850;cause=16;text="<correlation guid>;<message>"` */
export function formatReason(correlationId: string, text: string, cause: number): string {
  return `Q.850;cause=${cause};text="${correlationId};${text.replaceAll(/["\\]/g, "'")}"`;
}

/** The Q.850 part of Reason headers (RFC 3326); undefined when there is none. */
export function q850Of(reasons: readonly string[]): CodeDetail | undefined {
  return reasonOf(reasons, "q.850");
}

function reasonOf(reasons: readonly string[], protocol: string): CodeDetail | undefined {
  const reason = reasons.find((value) => value.trim().toLowerCase().startsWith(protocol));
  const cause = /;\s*cause\s*=\s*(\d+)/i.exec(reason ?? "")?.[1];
  if (cause === undefined) return undefined;
  const text = /;\s*text\s*=\s*"((?:[^"\\]|\\.)*)"/i.exec(reason ?? "")?.[1] ?? "";
  return { code: Number(cause), message: text.replaceAll(/\\(.)/g, "$1") };
}

/** The border controller said no: sub-code 560xxx, with what it said. */
export function refusedBySbc(response: SipResponse, what: string): PstnRefusal {
  const { status, reason } = response;
  const q850 = q850Of(response.list("Reason"));
  return new PstnRefusal(`${what} was refused with ${status} ${reason}`, {
    code: status,
    subCode: 560_000 + status,
    sip: { code: status, message: reason },
    ...(q850 === undefined ? {} : { q850 }),
  });
}

export function refusedByEdge({ status, subCode, text }: EdgeRefusal, what: string): PstnRefusal {
  return new PstnRefusal(`${what}: ${text}`, { code: status, subCode });
}

/** A trunk that could not be reached or did not answer, in the service's numbers. */
export function refusedByNetwork(error: unknown, what: string): PstnRefusal {
  if (!(error instanceof SipError)) return unreachable(`${what}: ${String(error)}`, 569_002, 504);
  if (error.code === "SIP_TIMEOUT") return refusedByEdge(REFUSALS.failover, what);
  if (error.code === "SIP_ABORTED") return unreachable(`${what} was cancelled`, 540_487, 487);
  const code = nodeCode(error);
  return unreachable(`${what}: ${error.message}`, TLS_SUB_CODES[code] ?? 569_002, 504);
}

/** SEC_E_CERT_EXPIRED, SEC_E_UNTRUSTED_ROOT and 0x80090326; other connection faults are 569002. */
const TLS_SUB_CODES: Readonly<Record<string, number>> = {
  CERT_HAS_EXPIRED: 569_008,
  CERT_NOT_YET_VALID: 569_003,
  INVALID_PURPOSE: 569_003,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 569_009,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 569_009,
  DEPTH_ZERO_SELF_SIGNED_CERT: 569_009,
  SELF_SIGNED_CERT_IN_CHAIN: 569_009,
};

function nodeCode({ cause }: Error): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}

function unreachable(message: string, subCode: number, code: number): PstnRefusal {
  return new PstnRefusal(message, { code, subCode });
}
