import { isIP } from "node:net";
import type { SipRequest } from "../../sip/message.ts";
import { parseUri } from "../../sip/uri.ts";
import type { Findings } from "./findings.ts";

interface Advice {
  readonly code: string;
  /** Undefined: nothing to say about this request. */
  readonly check: (request: SipRequest) => string | undefined;
}

/**
 * Notes what Microsoft tolerates in a border controller's request though its specification says
 * otherwise ("Direct Routing: SIP specification"). Such habits work until something else changes.
 */
export function advise(request: SipRequest, findings: Findings): void {
  for (const { code, check } of request.method === "INVITE" ? INVITE_ADVICE : ADVICE) {
    const message = check(request);
    if (message !== undefined) findings.advise(code, `${request.method}: ${message}`);
  }
}

const ADVICE: readonly Advice[] = [
  {
    code: "VIA_IS_ADDRESS",
    check: ({ via }) =>
      isIP(via.host) === 0 ? undefined : `Via has the address ${via.host} instead of the FQDN`,
  },
  {
    code: "CONTACT_WITHOUT_TLS",
    check: (request) =>
      parameter(request.contact?.uri ?? "", "transport") === "tls"
        ? undefined
        : "Contact has no transport=tls",
  },
  {
    code: "ALLOW_WITHOUT_NOTIFY",
    check: (request) =>
      request.list("Allow").includes("NOTIFY") ? undefined : "Allow does not list NOTIFY",
  },
  {
    code: "RECORD_ROUTE_PRESENT",
    check: (request) =>
      request.has("Record-Route") ? "Record-Route is present; Contact alone is advised" : undefined,
  },
];

const INVITE_ADVICE: readonly Advice[] = [
  ...ADVICE,
  {
    code: "USER_PHONE_MISSING",
    check: ({ uri }) =>
      parameter(uri, "user") === "phone" || !uri.includes("@")
        ? undefined
        : "Request-URI has no user=phone",
  },
  {
    code: "FROM_NOT_E164",
    check: ({ from }) => {
      const uri = parseUri(from.uri);
      const user = uri.kind === "sip" ? uri.user : uri.rest;
      return user?.startsWith("+") || /^anonymous$/i.test(user ?? "")
        ? undefined
        : `From has "${user ?? ""}" instead of +E.164`;
    },
  },
  {
    code: "ASSERTED_IDENTITY_UNUSED",
    check: (request) =>
      request.has("P-Asserted-Identity")
        ? "P-Asserted-Identity is not used for the caller id; From is"
        : undefined,
  },
];

function parameter(text: string, name: string): string | undefined {
  const uri = text === "" ? undefined : parseUri(text);
  return uri?.kind === "sip" ? uri.parameters.get(name)?.toLowerCase() : undefined;
}
