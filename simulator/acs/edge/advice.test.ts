import { expect, test } from "vitest";
import { manualClock } from "../../clock.ts";
import { SipRequest } from "../../sip/message.ts";
import { openTrace } from "../../trace.ts";
import { advise } from "./advice.ts";
import { Findings } from "./findings.ts";

const GOOD = {
  Via: "SIP/2.0/TLS sbc.linecheck.test:5061;branch=z9hG4bK1",
  From: "<sip:+14255550100@sbc.linecheck.test>;tag=1",
  Contact: "<sip:sbc.linecheck.test:5061;transport=tls>",
  Allow: "INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,REFER",
};
const URI = "sip:+18005550100@sip.pstnhub.microsoft.com;user=phone";

async function adviceOn(headers: Partial<typeof GOOD> & Record<string, string>, uri = URI) {
  await using trace = openTrace({ clock: manualClock() });
  const findings = new Findings(trace.as("acs"));
  const request = new SipRequest({ method: "INVITE", uri, headers: { ...GOOD, ...headers } });
  advise(request, findings);
  advise(request, findings);
  expect(trace.events).toEqual([]);
  return findings.all.map(({ code, severity }) => `${severity} ${code}`);
}

test("an INVITE by the book gives no advice", async () => {
  expect(await adviceOn({})).toEqual([]);
  expect(await adviceOn({ From: "<sip:anonymous@anonymous.invalid>;tag=1" })).toEqual([]);
});

test.each([
  ["VIA_IS_ADDRESS", { Via: "SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1" }],
  ["CONTACT_WITHOUT_TLS", { Contact: "<sip:sbc.linecheck.test>" }],
  ["ALLOW_WITHOUT_NOTIFY", { Allow: "INVITE,ACK,BYE" }],
  ["RECORD_ROUTE_PRESENT", { "Record-Route": "<sip:sbc.linecheck.test;lr>" }],
  ["FROM_NOT_E164", { From: "<sip:4255550100@sbc.linecheck.test>;tag=1" }],
  ["ASSERTED_IDENTITY_UNUSED", { "P-Asserted-Identity": "<tel:+14255550199>" }],
])("%s is advised once", async (code, headers) => {
  expect(await adviceOn(headers)).toEqual([`advice ${code}`]);
});

test("a number without user=phone is advised, an opaque target is not", async () => {
  const uri = "sip:+18005550100@sip.pstnhub.microsoft.com";
  expect(await adviceOn({}, uri)).toEqual(["advice USER_PHONE_MISSING"]);
  expect(await adviceOn({}, "sip:sip.pstnhub.microsoft.com;x-m=8:acs:1")).toEqual([]);
});
