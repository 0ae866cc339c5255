import { randomBytes } from "node:crypto";
import type { DialogRequest } from "../sip/dialog.ts";
import { parseNameAddr, tagOf } from "../sip/fields.ts";
import { SipRequest } from "../sip/message.ts";
import { type ApplicationMessage, headerOf, type RequestLine } from "./application-message.ts";
import type { Contact } from "./contact.ts";
import type { Dialog } from "./dialog.ts";
import { contentType, replaceLocalhost, wireHeaders } from "./header-rules.ts";

/** A request as an application drafts it. */
export interface Draft {
  line: RequestLine;
  message: ApplicationMessage;
}

/** What drachtio writes itself into a request, from the application's values if it gave some. */
const OWNED = new Set(["from", "to", "call-id", "cseq", "max-forwards"]);
export const OWNED_CANCEL: ReadonlySet<string> = OWNED.union(
  new Set(["contact", "p-asserted-identity", "content-type"]),
);
/** Requests that tell the peer where to send later ones. */
const WANTS_CONTACT = new Set(["INVITE", "SUBSCRIBE", "REFER"]);
/** These go to the remote target whatever Request-URI drachtio-srf wrote. */
const TO_TARGET = new Set(["ACK", "PRACK"]);

/** A request outside a dialog; undefined if the application's From cannot be read. */
export function composeNew(
  { line, message }: Draft,
  contact: Contact,
  fresh: { callId: () => string; cseq: () => number },
): SipRequest | undefined {
  const from = fromOf(message, contact);
  if (from === undefined) return undefined;
  const { method, uri } = line;
  const to = headerOf(message, "To");
  const owned: [string, string][] = [
    ["Max-Forwards", headerOf(message, "Max-Forwards") ?? "70"],
    ["From", from],
    ["To", to === undefined ? `<${uri}>` : replaceLocalhost(to, contact)],
    ["Call-ID", headerOf(message, "Call-ID") ?? fresh.callId()],
    ["CSeq", `${cseqOf(message) ?? fresh.cseq()} ${method}`],
  ];
  const headers = [...owned, ...headersOf(method, message, contact)];
  return new SipRequest({ method, uri, headers, body: message.body });
}

export function composeInDialog({ line, message }: Draft, dialog: Dialog): DialogRequest {
  const { method, uri } = line;
  const toTarget = uri.includes("placeholder") || TO_TARGET.has(method);
  const number = cseqOf(message);
  const maxForwards = headerOf(message, "Max-Forwards");
  const headers = headersOf(method, message, dialog.contact);
  if (maxForwards !== undefined) headers.push(["Max-Forwards", maxForwards]);
  const composed = dialog.sip.request(method, {
    ...(toTarget ? {} : { uri }),
    ...(number === undefined ? {} : { number }),
    headers,
    body: message.body,
  });
  const { state } = dialog.sip;
  if (number !== undefined) state.localNumber = Math.max(state.localNumber ?? 0, number);
  return composed;
}

/** The ACK of a 2xx; `number` is the CSeq of its INVITE. */
export function composeAck({ message }: Draft, dialog: Dialog, number: number): DialogRequest {
  return dialog.sip.ack(number, {
    headers: headersOf("ACK", message, dialog.contact),
    body: message.body,
  });
}

function headersOf(method: string, message: ApplicationMessage, contact: Contact) {
  const headers = wireHeaders(message, contact, OWNED);
  const lacks = WANTS_CONTACT.has(method) && !headers.some(([name]) => name === "Contact");
  const own: [string, string][] = lacks ? [["Contact", `<${contact.uri}>`]] : [];
  return [...own, ...headers];
}

function fromOf(message: ApplicationMessage, contact: Contact): string | undefined {
  const given = headerOf(message, "From");
  const value = given === undefined ? `<${contact.uri}>` : replaceLocalhost(given, contact);
  try {
    parseNameAddr(value);
  } catch {
    return undefined;
  }
  return tagOf(value) === undefined ? `${value};tag=${newTag()}` : value;
}

export function lacksContentType(message: ApplicationMessage): boolean {
  return message.body.length > 0 && contentType(message) === undefined;
}

function cseqOf(message: ApplicationMessage): number | undefined {
  const number = Number.parseInt(headerOf(message, "CSeq") ?? "", 10);
  return Number.isNaN(number) ? undefined : number;
}

export const newTag = () => randomBytes(7).toString("base64url");
