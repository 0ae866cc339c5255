import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import type { SipConnection } from "../sip/connection.ts";
import { SipRequest, SipResponse } from "../sip/message.ts";
import { Registrations } from "./registrations.ts";

function start(transport: SipConnection["transport"] = "ws") {
  const clock = manualClock();
  const registrations = new Registrations(clock);
  let closed = false;
  const closing = new Set<() => void>();
  const connection: SipConnection = {
    id: "ws-1",
    transport,
    outbound: false,
    local: { host: "127.0.0.1", port: 1 },
    remote: { host: "127.0.0.1", port: 2 },
    servername: undefined,
    get closed() {
      return closed;
    },
    peerCertificate: () => undefined,
    authorizationError: undefined,
    socket: undefined,
    onClose(listener) {
      const tell = () => listener(undefined);
      closing.add(tell);
      return () => void closing.delete(tell);
    },
    close() {
      closed = true;
      for (const tell of closing) tell();
    },
  };
  const register = (contact: string, expires?: string) => {
    const headers = { Contact: contact, ...(expires === undefined ? {} : { Expires: expires }) };
    const request = new SipRequest({ method: "REGISTER", uri: "sip:queue.test", headers });
    registrations.learn(request, new SipResponse({ status: 200 }), connection);
  };
  return { clock, registrations, connection, closing, register };
}

const URI = "sip:x7@ABC.invalid;transport=ws";

test("a registered contact is found by user and host, whatever its parameters", () => {
  const { registrations, connection, register } = start();
  register("<sip:x7@abc.invalid;transport=ws>;expires=60");
  expect(registrations.find(URI)).toBe(connection);
  expect(registrations.find("sip:other@abc.invalid")).toBeUndefined();
  expect(registrations.find("tel:+1")).toBeUndefined();
});

test("a registration lasts as long as it says, an hour by default", async () => {
  const { clock, registrations, register } = start();
  register("<sip:x7@abc.invalid>", "60");
  register("<sip:y8@abc.invalid>");
  await clock.advance(60_000);
  expect(registrations.find(URI)).toBeUndefined();
  expect(registrations.find("sip:y8@abc.invalid")).toBeDefined();
  await clock.advance(3_540_000);
  expect([registrations.find("sip:y8@abc.invalid"), clock.pending]).toEqual([undefined, 0]);
});

test("Expires 0 ends it", () => {
  const { registrations, register } = start();
  register("<sip:x7@abc.invalid>;expires=60");
  register("<sip:x7@abc.invalid>;expires=0");
  expect(registrations.find(URI)).toBeUndefined();
});

test("a client that registers anew leaves nothing behind on its connection", () => {
  const { closing, register } = start();
  for (let round = 0; round < 5; round++) register("<sip:x7@abc.invalid>;expires=60");
  expect(closing.size).toBe(1);
  register("<sip:x7@abc.invalid>;expires=0");
  expect(closing.size).toBe(0);
});

test("the longest time a client can ask for is what it gets", async () => {
  const { clock, registrations, register } = start();
  register("<sip:x7@abc.invalid>;expires=4294967295");
  await clock.advance(4_294_967_294_999);
  expect(registrations.find(URI)).toBeDefined();
  await clock.advance(1);
  expect([registrations.find(URI), clock.pending]).toEqual([undefined, 0]);
});

test("it ends with its connection", () => {
  const { clock, registrations, connection, register } = start();
  register("<sip:x7@abc.invalid>;expires=60");
  connection.close();
  expect([registrations.find(URI), clock.pending]).toEqual([undefined, 0]);
});

test("UDP has no connection to remember, and a contact nobody can read is none", () => {
  const udp = start("udp");
  udp.register("<sip:x7@abc.invalid>");
  expect(udp.registrations.find(URI)).toBeUndefined();
  const { clock, register } = start();
  register("*");
  register("<sip:");
  expect(clock.pending).toBe(0);
});
