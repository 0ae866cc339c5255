import { expect, test } from "vitest";
import { Dialog, dialogIdOf, dialogIdOfResponse } from "./dialog.ts";
import { SipRequest, SipResponse } from "./message.ts";

const invite = (headers: Record<string, string | string[]> = {}) =>
  new SipRequest({
    method: "INVITE",
    uri: "sip:bob@biloxi.example",
    headers: {
      Via: "SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK1",
      From: "Alice <sip:alice@atlanta.example>;tag=a",
      To: "Bob <sip:bob@biloxi.example>",
      "Call-ID": "c1",
      CSeq: "100 INVITE",
      Contact: "<sip:alice@pc33.atlanta.example>",
      ...headers,
    },
  });

const ROUTES = { "Record-Route": ["<sip:p2.example;lr>, <sip:p1.example;lr>"] };

function answer(request: SipRequest, status: number, toTag: string, contact?: string) {
  const headers = contact === undefined ? {} : { Contact: contact };
  return SipResponse.to(request, status, { toTag, headers });
}

test("the caller's dialog turns the Record-Route round and aims at the callee's Contact", () => {
  const request = invite(ROUTES);
  const dialog = Dialog.asUac(request, answer(request, 200, "b", "<sip:bob@192.0.2.4>"));
  expect(dialog.state).toEqual({
    callId: "c1",
    localTag: "a",
    remoteTag: "b",
    localAddress: "Alice <sip:alice@atlanta.example>;tag=a",
    remoteAddress: "Bob <sip:bob@biloxi.example>;tag=b",
    localNumber: 100,
    remoteNumber: undefined,
    remoteTarget: "sip:bob@192.0.2.4",
    routeSet: ["<sip:p1.example;lr>", "<sip:p2.example;lr>"],
    role: "uac",
    phase: "confirmed",
  });
});

test("the callee's dialog keeps the order and aims at the caller's Contact", () => {
  const request = invite(ROUTES);
  const dialog = Dialog.asUas(request, answer(request, 180, "b"));
  expect(dialog.state).toMatchObject({
    localTag: "b",
    remoteTag: "a",
    localAddress: "Bob <sip:bob@biloxi.example>;tag=b",
    remoteNumber: 100,
    localNumber: undefined,
    remoteTarget: "sip:alice@pc33.atlanta.example",
    routeSet: ["<sip:p2.example;lr>", "<sip:p1.example;lr>"],
    phase: "early",
  });
});

test("a request in a dialog with loose routes keeps its target in the request line", () => {
  const request = invite(ROUTES);
  const target = "sip:bob@192.0.2.4;x-i=0F0a;x-c=abc/s/1/2";
  const dialog = Dialog.asUac(request, answer(request, 200, "b", `<${target}>`));
  const bye = dialog.request("BYE", { headers: { Reason: "Q.850;cause=16" } });
  expect(bye.nextHop).toBe("sip:p1.example;lr");
  expect(bye.request.toString()).toBe(
    [
      `BYE ${target} SIP/2.0`,
      "Max-Forwards: 70",
      "Route: <sip:p1.example;lr>",
      "Route: <sip:p2.example;lr>",
      "From: Alice <sip:alice@atlanta.example>;tag=a",
      "To: Bob <sip:bob@biloxi.example>;tag=b",
      "Call-ID: c1",
      "CSeq: 101 BYE",
      "Reason: Q.850;cause=16",
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
  );
});

test("a strict router gets its own URI in the request line and the target at the end", () => {
  const request = invite({ "Record-Route": ["<sip:p2.example;lr>", "<sip:strict.example>"] });
  const dialog = Dialog.asUac(request, answer(request, 200, "b", "<sip:bob@192.0.2.4>"));
  const { request: bye, nextHop } = dialog.request("BYE");
  expect(bye.uri).toBe("sip:strict.example");
  expect(bye.all("Route")).toEqual(["<sip:p2.example;lr>", "<sip:bob@192.0.2.4>"]);
  expect(nextHop).toBe("sip:strict.example");
});

test("without routes the request goes to the target", () => {
  const request = invite();
  const dialog = Dialog.asUac(request, answer(request, 200, "b", "<sip:bob@192.0.2.4>"));
  expect(dialog.request("INFO")).toMatchObject({ nextHop: "sip:bob@192.0.2.4" });
});

test("CSeq grows by one per request, and the ACK takes the INVITE's", () => {
  const request = invite();
  const dialog = Dialog.asUac(request, answer(request, 200, "b"));
  expect(dialog.ack(100, { body: "v=0" }).request.get("CSeq")).toBe("100 ACK");
  expect(dialog.request("INVITE").request.get("CSeq")).toBe("101 INVITE");
  expect(dialog.request("BYE").request.get("CSeq")).toBe("102 BYE");
  const callee = Dialog.asUas(request, answer(request, 200, "b"));
  expect(callee.request("BYE").request.get("CSeq")).toBe("1 BYE");
});

test("a dialog whose numbers are used up says so", () => {
  const request = invite();
  const dialog = Dialog.asUac(request, answer(request, 200, "b"));
  dialog.state.localNumber = 2_147_483_647;
  expect(() => dialog.request("BYE")).toThrow(expect.objectContaining({ code: "SIP_STATE" }));
});

const incoming = (cseq: string) => {
  const method = cseq.split(" ")[1] ?? "";
  return new SipRequest({ method, uri: "sip:b@c", headers: { CSeq: cseq } });
};

test("a request with a number not above the last is out of order; ACK and CANCEL never are", () => {
  const request = invite();
  const dialog = Dialog.asUas(request, answer(request, 200, "b"));
  expect(dialog.receive(incoming("100 ACK"))).toBe(true);
  expect(dialog.receive(incoming("102 INFO"))).toBe(true);
  expect(dialog.receive(incoming("101 INFO"))).toBe(false);
  expect(dialog.receive(incoming("102 INFO"))).toBe(false);
  expect(dialog.receive(incoming("102 ACK"))).toBe(true);
  expect(dialog.receive(incoming("103 BYE"))).toBe(true);
});

test.each([
  ["INVITE", "sip:alice@new.example"],
  ["UPDATE", "sip:alice@new.example"],
  ["INFO", "sip:alice@pc33.atlanta.example"],
])("the Contact of %s leaves the target at %s", (method, target) => {
  const request = invite();
  const dialog = Dialog.asUas(request, answer(request, 200, "b"));
  const headers = { CSeq: `101 ${method}`, Contact: "<sip:alice@new.example>" };
  dialog.receive(new SipRequest({ method, uri: "sip:b@c", headers }));
  expect(dialog.state.remoteTarget).toBe(target);
});

test("the 2xx confirms an early dialog with its own Contact and Record-Route", () => {
  const request = invite(ROUTES);
  const dialog = Dialog.asUac(request, answer(request, 183, "b", "<sip:early@192.0.2.4>"));
  expect(dialog.state.phase).toBe("early");
  const final = answer(request, 200, "b", "<sip:final@192.0.2.4>");
  final.set("Record-Route", "<sip:p9.example;lr>");
  dialog.confirm(final);
  expect(dialog.state).toMatchObject({
    phase: "confirmed",
    remoteTarget: "sip:final@192.0.2.4",
    routeSet: ["<sip:p9.example;lr>"],
  });
  const later = answer(request, 200, "b", "<sip:moved@192.0.2.4>");
  later.set("Record-Route", "<sip:ignored.example;lr>");
  dialog.confirm(later);
  expect(dialog.state.routeSet).toEqual(["<sip:p9.example;lr>"]);
});

test("a refusal of a re-INVITE leaves the target alone, a 2xx moves it", () => {
  const request = invite();
  const dialog = Dialog.asUac(request, answer(request, 200, "b", "<sip:bob@192.0.2.4>"));
  dialog.receiveResponse(answer(request, 491, "b", "<sip:bob@192.0.2.5>"));
  expect(dialog.state.remoteTarget).toBe("sip:bob@192.0.2.4");
  dialog.receiveResponse(answer(request, 200, "b", "<sip:bob@192.0.2.5>"));
  expect(dialog.state.remoteTarget).toBe("sip:bob@192.0.2.5");
});

test("both sides know a dialog by the tags as they see them", () => {
  const request = invite();
  const response = answer(request, 200, "b");
  const caller = Dialog.asUac(request, response);
  const callee = Dialog.asUas(request, response);
  expect(dialogIdOfResponse(response)).toBe(caller.id);
  expect(dialogIdOf(caller.request("BYE").request)).toBe(callee.id);
  expect(dialogIdOf(callee.request("BYE").request)).toBe(caller.id);
});

test("a peer without Contact is addressed as far as known", () => {
  const request = invite();
  expect(Dialog.asUac(request, answer(request, 200, "b")).state.remoteTarget).toBe(
    "sip:bob@biloxi.example",
  );
});
