import { expect, test } from "vitest";
import { asTransport, chooseContact, makeContact } from "./contact.ts";

const udp = makeContact({ transport: "udp", host: "127.0.0.1", port: 5060 });
const other = makeContact({ transport: "udp", host: "10.0.0.1", port: 5060 });
const tcp = makeContact({ transport: "tcp", host: "127.0.0.1", port: 5060 });
const tls = makeContact({ transport: "tls", host: "127.0.0.1", port: 5061 });
const wss = makeContact({ transport: "wss", host: "::1", port: 443 });
const all = [wss, tls, tcp, udp, other];

test("a contact says its transport unless it is UDP", () => {
  expect([udp, tcp, tls, wss].map(({ uri }) => uri)).toEqual([
    "sip:127.0.0.1:5060",
    "sip:127.0.0.1:5060;transport=tcp",
    "sips:127.0.0.1:5061;transport=tls",
    "sips:[::1]:443;transport=wss",
  ]);
});

test("the world is told the advertised address", () => {
  const advertise = { host: "sbc.linecheck.test", port: 5061 };
  const contact = makeContact({ transport: "tls", host: "127.0.0.1", port: 40_000, advertise });
  expect(contact).toMatchObject({
    hostPort: "sbc.linecheck.test:5061",
    localHost: "127.0.0.1",
    localPort: 40_000,
  });
});

test.each([
  ["UDP when nothing is said", { host: "127.0.0.9", secure: false }, udp],
  ["the transport asked for", { host: "127.0.0.9", transport: "tcp", secure: false }, tcp],
  ["TLS for sips", { host: "127.0.0.9", secure: true }, tls],
  ["TLS for sips over tcp", { host: "127.0.0.9", transport: "tcp", secure: true }, tls],
  ["the nearest address", { host: "10.0.0.77", secure: false }, other],
  ["a public address for a name", { host: "example.com", secure: false }, other],
] as const)("the choice is %s", (_, destination, expected) => {
  expect(chooseContact(all, destination)).toBe(expected);
});

test("no listener fits a transport nobody listens on", () => {
  expect(chooseContact([udp], { host: "127.0.0.1", secure: true })).toBeUndefined();
  expect([asTransport("TCP"), asTransport("sctp"), asTransport(null)]).toEqual([
    "tcp",
    undefined,
    undefined,
  ]);
});
