import type { SipRequest, SipResponse } from "../../sip/message.ts";
import { isCustomHeader } from "./headers.ts";

/** Order of the header fields in public traces of Microsoft's proxy; others follow as they are. */
const ORDER = [
  "FROM",
  "TO",
  "CSEQ",
  "CALL-ID",
  "MAX-FORWARDS",
  "VIA",
  "ROUTE",
  "RECORD-ROUTE",
  "CONTACT",
  "CONTENT-LENGTH",
  "REFER-TO",
  "REFERRED-BY",
  "USER-AGENT",
  "CONTENT-TYPE",
];
const LAST = ["ALLOW", "SERVER"];

/** Microsoft's own list: no REFER, UPDATE, PRACK or INFO. */
const ALLOW = "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY";

/**
 * Gives a message the look of Microsoft's proxy: names in capitals, its order, its product name.
 * Custom headers keep the spelling the application gave them.
 */
export function shape(message: SipRequest | SipResponse, product: string): void {
  message.set("CONTENT-LENGTH", message.body.length);
  message.set("ALLOW", ALLOW);
  message.set(message.kind === "request" ? "USER-AGENT" : "SERVER", product);
  const fields = [...message.headers()].map(([name, value]) => [shownName(name), value] as const);
  message.replaceHeaders(fields.toSorted(([a], [b]) => rank(a) - rank(b)));
}

/** `Microsoft.PSTNHub.SIPProxy v.2024.2.6.5 i.USEA.5` */
export function productName(version: string, region: string): string {
  return `Microsoft.PSTNHub.SIPProxy v.${version} i.${region}`;
}

function shownName(name: string): string {
  return isCustomHeader(name) ? name : name.toUpperCase();
}

function rank(name: string): number {
  const early = ORDER.indexOf(name);
  if (early >= 0) return early;
  return ORDER.length + 1 + LAST.indexOf(name);
}
