import { expect, test } from "vitest";
import { SipError } from "../../sip/error.ts";
import { SipResponse } from "../../sip/message.ts";
import {
  causeOf,
  formatReason,
  q850Of,
  REFUSALS,
  refusedByEdge,
  refusedByNetwork,
  refusedBySbc,
} from "./refusal.ts";

test("what the border controller refuses is 560xxx with its words and its Q.850 cause", () => {
  const response = new SipResponse({
    status: 486,
    reason: "Busy Here",
    headers: { Reason: 'SIP;cause=486, Q.850 ;cause=17 ;text="User \\"busy\\", sorry"' },
  });
  expect(refusedBySbc(response, "INVITE to +18005550150")).toMatchObject({
    name: "PstnRefusal",
    message: "INVITE to +18005550150 was refused with 486 Busy Here",
    code: 486,
    subCode: 560_486,
    sip: { code: 486, message: "Busy Here" },
    q850: { code: 17, message: 'User "busy", sorry' },
  });
});

test("details are left out when the border controller gave none", () => {
  expect(refusedBySbc(new SipResponse({ status: 503 }), "x").q850).toBeUndefined();
  expect(q850Of(["SIP;cause=200"])).toBeUndefined();
});

test("486 maps to cause 34 after NICC ND1017, not to 17", () => {
  expect(causeOf(486)).toBe(34);
  expect(causeOf(200)).toBe(16);
  expect(causeOf(477)).toBe(127);
});

test("a REASON names the call and cannot be broken out of", () => {
  expect(formatReason("3b6a-guid", 'say "no"\\', 16)).toBe(
    `Q.850;cause=16;text="3b6a-guid;say 'no''"`,
  );
});

test("Microsoft's own refusals have their documented sub-codes", () => {
  expect(refusedByEdge(REFUSALS.noRoute, "dialling +1")).toMatchObject({
    code: 403,
    subCode: 510_559,
    message: "dialling +1: No viable path",
  });
});

const tls = (code: string) => Object.assign(new Error("handshake failed"), { code });

test.each([
  [new SipError("SIP_TIMEOUT", "no final response"), 408, 500_001],
  [new SipError("SIP_ABORTED", "cancelled"), 487, 540_487],
  [new SipError("SIP_TRANSPORT", "refused", { cause: tls("ECONNREFUSED") }), 504, 569_002],
  [new SipError("SIP_TRANSPORT", "expired", { cause: tls("CERT_HAS_EXPIRED") }), 504, 569_008],
  [
    new SipError("SIP_TRANSPORT", "root", { cause: tls("DEPTH_ZERO_SELF_SIGNED_CERT") }),
    504,
    569_009,
  ],
  [new Error("something else"), 504, 569_002],
])("%s becomes %i/%i", (error, code, subCode) => {
  expect(refusedByNetwork(error, "INVITE")).toMatchObject({ code, subCode });
});
