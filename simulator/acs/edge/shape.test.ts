import { expect, test } from "vitest";
import { SipRequest, SipResponse } from "../../sip/message.ts";
import { productName, shape } from "./shape.ts";

const PRODUCT = productName("2024.2.6.5", "USEA.5");

function lines(message: SipRequest | SipResponse): string[] {
  shape(message, PRODUCT);
  return message.toString().split("\r\n");
}

test("an answer to OPTIONS looks like the proxy's", () => {
  const request = new SipRequest({
    method: "OPTIONS",
    uri: "sip:sip.pstnhub.microsoft.com:5061",
    headers: {
      Via: "SIP/2.0/TLS 203.0.113.9;branch=z9hG4bK1HQpp1BtBQ30N",
      From: "<sip:sbc.linecheck.test:5061;transport=tls>;tag=SX7B39veap93c",
      To: "<sip:sip.pstnhub.microsoft.com>",
      "Call-ID": "dfe4b29f-51cb",
      CSeq: "23765299 OPTIONS",
    },
  });
  expect(lines(SipResponse.to(request, 200))).toEqual([
    "SIP/2.0 200 OK",
    "FROM: <sip:sbc.linecheck.test:5061;transport=tls>;tag=SX7B39veap93c",
    "TO: <sip:sip.pstnhub.microsoft.com>",
    "CSEQ: 23765299 OPTIONS",
    "CALL-ID: dfe4b29f-51cb",
    "VIA: SIP/2.0/TLS 203.0.113.9;branch=z9hG4bK1HQpp1BtBQ30N",
    "CONTENT-LENGTH: 0",
    "ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY",
    "SERVER: Microsoft.PSTNHub.SIPProxy v.2024.2.6.5 i.USEA.5",
    "",
    "",
  ]);
});

test("a request has its fields in the traces' order, repeated fields stay in theirs", () => {
  const request = new SipRequest({
    method: "REFER",
    uri: "sip:sbc.linecheck.test:5061;transport=tls",
    headers: {
      Via: "SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK2",
      Route: ["<sip:a.test;lr>", "<sip:b.test;lr>"],
      Contact: "<sip:api-du-a-usea.pstnhub.microsoft.com:443>",
      From: "<sip:a@b>;tag=1",
      To: "<sip:c@d>;tag=2",
      "Call-ID": "1",
      CSeq: "1 REFER",
      "Refer-To": "<sip:x>",
    },
  });
  const names = lines(request).map((line) => line.split(":")[0]);
  expect(names.slice(1, -2).join(" ")).toBe(
    "FROM TO CSEQ CALL-ID VIA ROUTE ROUTE CONTACT CONTENT-LENGTH REFER-TO USER-AGENT ALLOW",
  );
  expect(request.all("Route")).toEqual(["<sip:a.test;lr>", "<sip:b.test;lr>"]);
});

test("custom headers keep the application's spelling and the length fits the body", () => {
  const request = new SipRequest({
    method: "INVITE",
    uri: "sip:+18005550150@sbc.linecheck.test",
    headers: { "X-AI-Summary": "dispute", "User-To-User": "u", "content-type": "application/sdp" },
    body: "v=0\r\n",
  });
  expect(lines(request)).toEqual(
    expect.arrayContaining([
      "X-AI-Summary: dispute",
      "User-To-User: u",
      "CONTENT-TYPE: application/sdp",
      "CONTENT-LENGTH: 5",
    ]),
  );
});
