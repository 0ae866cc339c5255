import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import type { TransportName } from "./connection.ts";
import { SipRequest, SipResponse } from "./message.ts";
import { type ServerHost, ServerMachine } from "./server-transaction.ts";
import { RecordingConnection } from "./testing/recording-connection.ts";
import { DEFAULT_TIMERS } from "./timers.ts";

const hop = (method: string) => new SipRequest({ method, uri: "sip:bob@192.0.2.1" });

function receive(method: string, transport: TransportName = "udp") {
  const clock = manualClock();
  const connection = new RecordingConnection(transport, clock);
  const request = new SipRequest({
    method,
    uri: "sip:bob@192.0.2.1",
    headers: {
      Via: "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1",
      From: "<sip:alice@192.0.2.2>;tag=a",
      To: "<sip:bob@192.0.2.1>",
      "Call-ID": "c1",
      CSeq: `7 ${method}`,
    },
  });
  const log: string[] = [];
  const host: ServerHost = {
    clock,
    timers: DEFAULT_TIMERS,
    unansweredInviteMs: 600_000,
    newId: () => "ours",
    serialise: (response) => response.toBuffer(),
    write: (bytes, arrival, done) => arrival.connection.write(bytes, done),
    succeeds: (_, { toTag }) => void log.push(`success ${toTag}`),
    terminated: () => void log.push(`terminated at ${clock.now()}`),
    fault: (error) => void log.push(`fault ${String(error)}`),
  };
  const machine = new ServerMachine(host, { request, connection, via: request.via, key: "k" });
  machine.onEnd((end) => void log.push(`${end} at ${clock.now()}`));
  machine.onAck(() => void log.push(`ack at ${clock.now()}`));
  machine.onCancel(() => void log.push(`cancel in ${machine.state}`));
  return { clock, connection, request, machine, log };
}

test("a refused INVITE over UDP is repeated by timer G until timer H gives up", async () => {
  const { clock, connection, machine, log } = receive("INVITE");
  machine.respond(486);
  await clock.advance(100_000);
  expect(connection.times).toEqual([
    0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
  ]);
  expect(log).toEqual(["ackTimeout at 32000", "terminated at 32000"]);
  expect(clock.pending).toBe(0);
});

test("the ACK ends that, and timer I absorbs later ones", async () => {
  const { clock, connection, machine, log } = receive("INVITE");
  machine.respond(486);
  await clock.advance(600);
  machine.receiveAck(hop("ACK"));
  machine.receiveAck(hop("ACK"));
  await clock.advance(100_000);
  expect(connection.times).toEqual([0, 500]);
  expect(log).toEqual(["done at 600", "terminated at 5600"]);
});

test("over TCP a refusal is sent once, and its ACK ends everything", async () => {
  const { clock, connection, machine, log } = receive("INVITE", "tcp");
  machine.respond(486);
  await clock.advance(20_000);
  expect(connection.times).toEqual([0]);
  machine.receiveAck(hop("ACK"));
  expect(log).toEqual(["done at 20000", "terminated at 20000"]);
});

test.each(["udp", "tcp"] as const)(
  "a 2xx over %s is repeated until its ACK comes",
  async (transport) => {
    const { clock, connection, machine, log } = receive("INVITE", transport);
    machine.respond(200);
    await clock.advance(8000);
    machine.receiveAck(hop("ACK"));
    machine.receiveAck(hop("ACK"));
    await clock.advance(100_000);
    expect(connection.times).toEqual([0, 500, 1500, 3500, 7500]);
    expect(log).toEqual([
      "success ours",
      "ack at 8000",
      "done at 8000",
      "ack at 8000",
      "terminated at 32000",
    ]);
  },
);

test("a 2xx whose ACK never comes is given up after 64*T1", async () => {
  const { clock, connection, machine, log } = receive("INVITE");
  machine.respond(200);
  await clock.advance(100_000);
  expect(connection.times).toEqual([
    0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
  ]);
  expect(log).toEqual(["success ours", "ackTimeout at 32000", "terminated at 32000"]);
  expect(clock.pending).toBe(0);
});

test("a proxy's 2xx is not repeated, and every later one passes", async () => {
  const { clock, connection, machine, request, log } = receive("INVITE");
  for (const toTag of ["f1", "f1", "f2"]) {
    machine.send(SipResponse.to(request, 200, { toTag }), { retransmit: false });
  }
  await clock.advance(100_000);
  expect(connection.times).toEqual([0, 0, 0]);
  expect(log).toEqual([
    "success f1",
    "done at 0",
    "success f1",
    "success f2",
    "terminated at 32000",
  ]);
});

test("a repeated INVITE gets the last response again, or nothing after a 2xx", () => {
  const { connection, machine } = receive("INVITE");
  machine.receiveRepeated();
  expect(connection.startLines).toEqual([]);
  machine.respond(100);
  machine.respond(183);
  machine.receiveRepeated();
  machine.respond(200);
  machine.receiveRepeated();
  machine.receiveAck(hop("ACK"));
  machine.receiveRepeated();
  expect(connection.startLines).toEqual([
    "SIP/2.0 100 Trying",
    "SIP/2.0 183 Session Progress",
    "SIP/2.0 183 Session Progress",
    "SIP/2.0 200 OK",
  ]);
});

test("any other request is absorbed until answered, then answered again for timer J", async () => {
  const { clock, connection, machine, log } = receive("OPTIONS");
  machine.receiveRepeated();
  machine.respond(200);
  machine.receiveRepeated();
  await clock.advance(31_999);
  machine.receiveRepeated();
  await clock.advance(1);
  machine.receiveRepeated();
  expect(connection.times).toEqual([0, 0, 31_999]);
  expect(log).toEqual(["done at 0", "terminated at 32000"]);
});

test("over TCP timer J is zero", () => {
  const { machine, log } = receive("BYE", "tls");
  machine.respond(200);
  expect(log).toEqual(["done at 0", "terminated at 0"]);
});

test.each([
  ["INVITE", 486, 200],
  ["INVITE", 200, 200],
  ["INVITE", 200, 180],
  ["OPTIONS", 200, 200],
])("after %s was answered with %d, %d is refused", (method, first, second) => {
  const { machine } = receive(method);
  machine.respond(first);
  expect(() => machine.respond(second)).toThrow(
    expect.objectContaining({
      code: "SIP_STATE",
      message: `${method} was already answered with ${first}; cannot send ${second}`,
    }),
  );
});

test("the first response fixes the To tag", () => {
  const { machine, connection } = receive("INVITE");
  machine.respond(100);
  machine.respond(180, { toTag: "chosen" });
  machine.respond(183, { toTag: "other" });
  machine.respond(200);
  const tags = connection.written.map(({ message }) => message.toTag);
  expect(tags).toEqual([undefined, "chosen", "chosen", "chosen"]);
  expect(machine.toTag).toBe("chosen");
});

test("CANCEL of a pending INVITE answers it and aborts the signal before telling anyone", () => {
  const { machine, connection, log } = receive("INVITE");
  const cancel = hop("CANCEL");
  machine.receiveCancel(cancel, 487);
  expect(connection.startLines).toEqual(["SIP/2.0 487 Request Terminated"]);
  expect(machine.cancelled.aborted).toBe(true);
  expect(machine.cancelled.reason).toBe(cancel);
  expect(log).toEqual(["cancel in completed"]);
});

test("CANCEL after a final response changes nothing but is told", () => {
  const { machine, connection, log } = receive("INVITE");
  machine.respond(200);
  machine.receiveCancel(hop("CANCEL"), 487);
  expect(connection.startLines).toEqual(["SIP/2.0 200 OK"]);
  expect(machine.cancelled.aborted).toBe(false);
  expect(log).toEqual(["success ours", "cancel in accepted"]);
});

test("a failing write ends a pending transaction", () => {
  const { machine, connection, log } = receive("INVITE");
  connection.failure = new Error("ECONNRESET");
  machine.respond(180);
  expect(log).toEqual(["transport at 0", "terminated at 0"]);
});

test("an INVITE the application never answers gets 408", async () => {
  const { clock, connection, machine, log } = receive("INVITE", "tcp");
  machine.respond(180);
  await clock.advance(600_000);
  expect(connection.startLines.at(-1)).toBe("SIP/2.0 408 Request Timeout");
  machine.receiveAck(hop("ACK"));
  expect(log).toEqual(["unanswered at 600000", "terminated at 600000"]);
});

test("any other request the application never answers is forgotten when its sender is", async () => {
  const { clock, connection, log } = receive("OPTIONS");
  await clock.advance(100_000);
  expect(connection.startLines).toEqual([]);
  expect(log).toEqual(["unanswered at 32000", "terminated at 32000"]);
  expect(clock.pending).toBe(0);
});

test("an aborted transaction leaves no timer", async () => {
  const { machine, log, clock } = receive("INVITE");
  machine.respond(200);
  machine.abort();
  machine.abort();
  expect(clock.pending).toBe(0);
  expect(log).toEqual(["success ours", "terminated at 0", "aborted at 0"]);
});
