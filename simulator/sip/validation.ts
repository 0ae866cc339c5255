import { SipError } from "./error.ts";
import { parseCSeq, parseNameAddr, parseVia } from "./fields.ts";
import type { SipRequest } from "./message.ts";
import { parseUri } from "./uri.ts";

/** A refusal the stack sends by itself. */
export interface Refusal {
  status: number;
  reason?: string;
}

/** Headers that may stand only once and have one value (RFC 3261 table 2). */
const SINGLE = ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type"];

const CHECKS: readonly [header: string, check: (request: SipRequest) => void][] = [
  ["Via", (request) => request.list("Via").forEach((via) => parseVia(via))],
  ["From", (request) => checkAddress(request.get("From"))],
  ["To", (request) => checkAddress(request.get("To"))],
  ["CSeq", checkCSeq],
  ["Max-Forwards", checkMaxForwards],
  ["Date", checkDate],
  ["Contact", (request) => checkContacts(request)],
  ["Route", (request) => request.list("Route").forEach((route) => checkAddress(route))],
  [
    "Record-Route",
    (request) => request.list("Record-Route").forEach((route) => checkAddress(route)),
  ],
];

/** What RFC 3261 §8.2 and §16.3 want checked before a request reaches anyone. */
export function refusalFor(request: SipRequest): Refusal | undefined {
  if (request.version.toUpperCase() !== "SIP/2.0") return { status: 505 };
  const { defect } = request;
  if (defect?.status !== undefined) return { status: defect.status };
  const flaw = flawOf(request);
  if (flaw !== undefined) return { status: 400, reason: `Bad ${flaw}` };
  return checkRequestUri(request.uri);
}

function flawOf(request: SipRequest): string | undefined {
  if (request.defect !== undefined) {
    const { header } = request.defect;
    return header === undefined ? "Request" : `${properName(header)} Header`;
  }
  for (const name of ["Via", "From", "To", "Call-ID", "CSeq"]) {
    if (!request.has(name)) return `Request: missing ${name} Header`;
  }
  for (const name of SINGLE) {
    const values = request.all(name);
    if (values.length > 1 && new Set(values).size > 1) return `${name} Header`;
  }
  return CHECKS.find(([, check]) => !passes(check, request))?.[0].concat(" Header");
}

function passes(check: (request: SipRequest) => void, request: SipRequest): boolean {
  try {
    check(request);
    return true;
  } catch (error) {
    if (error instanceof SipError) return false;
    throw error;
  }
}

function checkAddress(value = ""): void {
  parseUri(parseNameAddr(value).uri);
}

function checkContacts(request: SipRequest): void {
  for (const value of request.list("Contact")) {
    if (value.trim() !== "*") checkAddress(value);
  }
}

function checkCSeq(request: SipRequest): void {
  const { method } = parseCSeq(request.get("CSeq") ?? "");
  if (method !== request.method) {
    throw new SipError("SIP_SYNTAX", `expected CSeq for ${request.method}, got ${method}`);
  }
}

function checkMaxForwards(request: SipRequest): void {
  const value = request.get("Max-Forwards");
  if (value !== undefined && !(/^\d+$/.test(value) && Number(value) <= 255)) {
    throw new SipError("SIP_SYNTAX", `expected Max-Forwards from 0 to 255, got "${value}"`);
  }
}

const DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** SIP dates are in GMT (RFC 3261 §20.17). */
function checkDate(request: SipRequest): void {
  const value = request.get("Date");
  if (value !== undefined && !DATE.test(value)) {
    throw new SipError("SIP_SYNTAX", `expected a date in GMT, got "${value}"`);
  }
}

function checkRequestUri(uri: string): Refusal | undefined {
  try {
    const parsed = parseUri(uri);
    if (parsed.kind === "other") return parsed.scheme === "tel" ? undefined : { status: 416 };
    // "?Route=…" would smuggle headers past whoever routed the request (RFC 3261 table 1).
    return parsed.headers === undefined ? undefined : { status: 400, reason: "Bad Request-URI" };
  } catch (error) {
    if (error instanceof SipError) return { status: 400, reason: "Bad Request-URI" };
    throw error;
  }
}

function properName(name: string): string {
  return name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase());
}
