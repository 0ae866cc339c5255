import { expect, test } from "vitest";
import type { SipConnection, TransportName } from "../sip/connection.ts";
import { SipRequest, SipResponse } from "../sip/message.ts";
import { makeContact } from "./contact.ts";
import type { ControlConnection } from "./control.ts";
import { Dialog } from "./dialog.ts";
import { dialogHop, endpointOf, isOurs, readSipUri } from "./next-hop.ts";

const contact = makeContact({ transport: "udp", host: "127.0.0.1", port: 5060 });

function connectionOf(transport: TransportName, port: number): SipConnection {
  return { transport, remote: { host: "10.0.0.7", port } } as SipConnection;
}

interface Shape {
  transport?: TransportName;
  contactUri?: string;
  recordRoute?: string;
  sourcePort?: number;
}

/** Where a request in a dialog goes that a peer at 10.0.0.7 began. */
function hopOf(shape: Shape) {
  const { transport = "udp", contactUri = "sip:b@10.0.0.7:5060", sourcePort = 5060 } = shape;
  const headers: [string, string][] = [
    ["From", "<sip:b@x>;tag=1"],
    ["To", "<sip:a@x>"],
    ["Call-ID", "c"],
    ["CSeq", "1 INVITE"],
    ["Contact", `<${contactUri}>`],
  ];
  if (shape.recordRoute !== undefined) headers.push(["Record-Route", shape.recordRoute]);
  const request = new SipRequest({ method: "INVITE", uri: "sip:a@x", headers });
  const response = SipResponse.to(request, 200, { toTag: "2" });
  const connection = connectionOf(transport, sourcePort);
  const owner = {} as ControlConnection;
  const dialog = Dialog.uas(request, response, { owner, contact, connection });
  const { nextHop } = dialog.sip.request("BYE");
  const options = dialogHop(dialog, nextHop);
  return { ...options.target, flow: options.connection === connection };
}

test.each<[string, Shape, object]>([
  ["the Contact", {}, { host: "10.0.0.7", port: 5060, transport: "udp", flow: false }],
  [
    "a Contact with a name",
    { contactUri: "sip:b@sbc.test:5061;transport=tls" },
    { host: "sbc.test", port: 5061, transport: "tls", flow: false },
  ],
  [
    "the source, when the Contact is another address",
    { contactUri: "sip:b@192.168.0.9:5060", sourcePort: 40_000 },
    { host: "10.0.0.7", port: 40_000, flow: true },
  ],
  [
    "the source, when UDP came from another port than the Contact names",
    { sourcePort: 40_000 },
    { host: "10.0.0.7", port: 40_000, flow: true },
  ],
  [
    "the Contact's port over TCP, whose source port means nothing",
    { transport: "tcp", sourcePort: 40_000 },
    { host: "10.0.0.7", port: 5060, transport: "tcp", flow: false },
  ],
  [
    "the recorded route, whatever the Contact",
    { contactUri: "sip:b@192.168.0.9", recordRoute: "<sip:10.0.0.8:5070;lr>" },
    { host: "10.0.0.8", port: 5070, flow: false },
  ],
  [
    "the Contact, when the recorded route cannot be read",
    { recordRoute: "nonsense" },
    { host: "10.0.0.7", port: 5060, flow: false },
  ],
  [
    "the WebSocket a browser is on",
    { transport: "ws", contactUri: "sip:x@abc.invalid;transport=ws", sourcePort: 50_000 },
    { host: "10.0.0.7", port: 50_000, transport: "ws", flow: true },
  ],
  [
    "TLS for a sips Contact",
    { transport: "tcp", contactUri: "sips:b@10.0.0.7:5061" },
    { host: "10.0.0.7", port: 5061, transport: "tls", flow: false },
  ],
])("a request in a dialog goes to %s", (_, shape, expected) => {
  expect(hopOf(shape)).toMatchObject(expected);
});

test("our own listeners are known by both their addresses", () => {
  const advertise = { host: "sbc.test", port: 5090 };
  const ours = makeContact({ transport: "tls", host: "127.0.0.1", port: 5061, advertise });
  const at = (host: string, port: number) => isOurs([ours], { transport: "tls", host, port });
  expect([at("127.0.0.1", 5061), at("sbc.test", 5090), at("sbc.test", 5061)]).toEqual([
    true,
    true,
    false,
  ]);
});

test("an address comes from maddr before the host, with the transport's port", () => {
  const uri = readSipUri("sip:a@example.com;maddr=10.0.0.1");
  expect(uri && endpointOf(uri, "tls")).toEqual({ transport: "tls", host: "10.0.0.1", port: 5061 });
  expect([readSipUri("tel:+1"), readSipUri("nonsense")]).toEqual([undefined, undefined]);
});
