import type { ResultInformation } from "./callbacks.ts";
import { type LegEnd, type PstnLeg, PstnRefusal } from "./pstn.ts";

/** This application ended the call (recordings from 2025-03 on). */
export const ENDED_BY_APPLICATION: ResultInformation = {
  code: 200,
  subCode: 7000,
  message:
    "Call was ended by Azure Communication Service Call Automation API or a server bot. DiagCode: 0#7000.@",
};

/** The other application's leg of a call ended it. */
export const ENDED_BY_OTHER: ResultInformation = {
  code: 200,
  subCode: 5001,
  message: "This conversation has ended.. DiagCode: 0#5001.@",
};

/** Microsoft's PSTN call-end codes: 540xxx for calls that came in, 560xxx for calls that went out. */
export function resultOfEnd(leg: PstnLeg, end: LegEnd): ResultInformation {
  const isIncoming = leg.direction === "incoming";
  const details = detailsOf(end);
  if (end.by === "network") {
    const code = end.sip?.code ?? 500;
    const subCode = (isIncoming ? 540_000 : 560_000) + code;
    return { code, subCode, message: end.sip?.message ?? "The connection was lost.", ...details };
  }
  const [subCode, party] = isIncoming
    ? ([540_000, "local PSTN caller"] as const)
    : ([560_000, "remote PSTN participant"] as const);
  return { code: 200, subCode, message: `Call ended successfully by ${party}.`, ...details };
}

/** Why a dial or a transfer did not succeed, from whoever refused. */
export function resultOfRefusal(error: unknown): ResultInformation {
  if (error instanceof PstnRefusal) {
    const { code, subCode, message } = error;
    return { code, subCode, message, ...detailsOf(error) };
  }
  return { code: 500, subCode: 9999, message: error instanceof Error ? error.message : "Unknown" };
}

function detailsOf({ sip, q850 }: Pick<LegEnd, "sip" | "q850">) {
  return {
    ...(sip === undefined ? {} : { sipDetails: sip }),
    ...(q850 === undefined ? {} : { q850Details: q850 }),
  };
}
