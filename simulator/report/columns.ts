import type { Party } from "../trace.ts";
import { isArrow, type Row } from "./arrows.ts";

/** The order of a ladder's columns: along the call, from the customer to the human agent. */
export const COLUMNS: readonly Party[] = [
  "phone",
  "carrier",
  "ivr",
  "sbc",
  "acs",
  "agent",
  "speech",
  "openai",
  "queue",
  "human",
  "scenario",
];

/** Whether a row needs the column of that party. */
export function involves(row: Row, party: Party): boolean {
  return isArrow(row) ? row.from === party || row.to === party : row.party === party;
}
