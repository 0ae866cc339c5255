import { expect, test } from "vitest";
import { type ManualClock, manualClock } from "../clock.ts";
import { ClientMachine } from "./client-transaction.ts";
import type { TransportName } from "./connection.ts";
import { SipError } from "./error.ts";
import { SipRequest, SipResponse } from "./message.ts";
import { RecordingConnection } from "./testing/recording-connection.ts";
import { DEFAULT_TIMERS } from "./timers.ts";

function begin(method: string, transport: TransportName = "udp", everyResponse = false) {
  const clock = manualClock();
  const connection = new RecordingConnection(transport, clock);
  const request = new SipRequest({
    method,
    uri: "sip:bob@192.0.2.2",
    headers: {
      Via: `SIP/2.0/${transport.toUpperCase()} 192.0.2.1;branch=z9hG4bK1`,
      "Max-Forwards": "70",
      Route: "<sip:proxy.example;lr>",
      From: "<sip:alice@192.0.2.1>;tag=a",
      To: "<sip:bob@192.0.2.2>",
      "Call-ID": "c1",
      CSeq: `7 ${method}`,
      "X-Customer-ID": "C-1042",
    },
  });
  const log: string[] = [];
  const cancels: SipRequest[] = [];
  const machine = new ClientMachine({
    id: "z9hG4bK1",
    request,
    clock,
    timers: DEFAULT_TIMERS,
    everyResponse,
    serialise: (message) => message.toBuffer(),
    write: (flow, bytes, done) => flow.write(bytes, done),
    sendAck: async (ack) => {
      const bytes = ack.toBuffer();
      connection.write(bytes, () => {});
      return {
        flow: { connection, local: connection.local, remote: connection.remote },
        bytes,
        connection,
      };
    },
    sendCancel: (cancel) => void cancels.push(cancel),
    onTerminated: () => void log.push(`terminated at ${clock.now()}`),
    fault: (error) => void log.push(`fault ${String(error)}`),
  });
  machine.onResponse(({ status, toTag }) => void log.push(`${status}${toTag ? ` ${toTag}` : ""}`));
  machine.onEnd((error) => void log.push(`end ${error?.code ?? "answered"} at ${clock.now()}`));
  machine.start(connection);
  const answer = (status: number, toTag?: string) =>
    machine.receive(SipResponse.to(request, status, { toTag }));
  return { clock, connection, machine, request, log, cancels, answer };
}

const pass = async (clock: ManualClock, durationMs = 100_000) => clock.advance(durationMs);

test("an unanswered INVITE over UDP is repeated by timer A and given up by timer B", async () => {
  const { clock, connection, log, machine } = begin("INVITE");
  await pass(clock);
  expect(connection.times).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500]);
  expect(log).toEqual(["end SIP_TIMEOUT at 32000", "terminated at 32000"]);
  await expect(machine.final).rejects.toThrow(
    "no final response to INVITE sip:bob@192.0.2.2 within 32000 ms",
  );
  expect(clock.pending).toBe(0);
});

test("any other request is repeated by timer E, at most every T2, and given up by timer F", async () => {
  const { clock, connection, log } = begin("OPTIONS");
  await pass(clock);
  expect(connection.times).toEqual([
    0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
  ]);
  expect(log).toEqual(["end SIP_TIMEOUT at 32000", "terminated at 32000"]);
});

test.each(["INVITE", "OPTIONS"])("%s over TCP is sent once", async (method) => {
  const { clock, connection, log } = begin(method, "tcp");
  await pass(clock);
  expect(connection.times).toEqual([0]);
  expect(log[0]).toBe("end SIP_TIMEOUT at 32000");
});

test("a provisional response ends the repetition of an INVITE and its time-out", async () => {
  const { clock, connection, log, answer, machine } = begin("INVITE");
  await pass(clock, 600);
  answer(180, "b");
  await pass(clock, 3_600_000);
  expect(connection.times).toEqual([0, 500]);
  expect(machine.state).toBe("proceeding");
  expect(log).toEqual(["180 b"]);
});

test("a provisional response slows the repetition of another request to T2", async () => {
  const { clock, connection, answer } = begin("SUBSCRIBE");
  answer(100);
  await pass(clock, 10_000);
  expect(connection.times).toEqual([0, 500, 4500, 8500]);
});

test("a refused INVITE is acknowledged on the same hop, as often as it is refused", async () => {
  const { clock, connection, answer, log } = begin("INVITE");
  answer(486, "b");
  answer(486, "b");
  await pass(clock, 31_999);
  expect(log).toEqual(["486 b", "end answered at 0"]);
  await pass(clock, 1);
  expect(log.at(-1)).toBe("terminated at 32000");
  expect(connection.startLines).toEqual([
    "INVITE sip:bob@192.0.2.2 SIP/2.0",
    "ACK sip:bob@192.0.2.2 SIP/2.0",
    "ACK sip:bob@192.0.2.2 SIP/2.0",
  ]);
  expect(connection.written[1]?.message.toString()).toBe(
    [
      "ACK sip:bob@192.0.2.2 SIP/2.0",
      "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
      "Max-Forwards: 70",
      "Route: <sip:proxy.example;lr>",
      "From: <sip:alice@192.0.2.1>;tag=a",
      "To: <sip:bob@192.0.2.2>;tag=b",
      "Call-ID: c1",
      "CSeq: 7 ACK",
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
  );
});

test("over TCP timers D and K are zero", () => {
  const invite = begin("INVITE", "tcp");
  invite.answer(404, "b");
  expect(invite.log).toEqual(["404 b", "end answered at 0", "terminated at 0"]);
  const options = begin("OPTIONS", "tls");
  options.answer(200, "b");
  expect(options.log).toEqual(["200 b", "end answered at 0", "terminated at 0"]);
  expect(options.clock.pending).toBe(0);
});

test("over UDP timer K absorbs repeated finals for T4", async () => {
  const { clock, answer, log } = begin("OPTIONS");
  answer(200, "b");
  answer(200, "b");
  await pass(clock);
  expect(log).toEqual(["200 b", "end answered at 0", "terminated at 5000"]);
});

test("each fork's 2xx is delivered once and repeated ones get that fork's ACK again", async () => {
  const { connection, machine, request, answer, log, clock } = begin("INVITE");
  answer(200, "b1");
  answer(200, "b1");
  answer(200, "b2");
  for (const toTag of ["b1", "b2"]) {
    const ack = new SipRequest({ method: "ACK", uri: `sip:${toTag}@192.0.2.2` });
    await machine.acknowledge(SipResponse.to(request, 200, { toTag }), ack);
  }
  connection.written.length = 0;
  answer(200, "b2");
  answer(200, "b1");
  expect(connection.startLines).toEqual([
    "ACK sip:b2@192.0.2.2 SIP/2.0",
    "ACK sip:b1@192.0.2.2 SIP/2.0",
  ]);
  expect(log).toEqual(["200 b1", "end answered at 0", "200 b2"]);
  await pass(clock);
  expect(log.at(-1)).toBe("terminated at 32000");
});

test("a proxy may ask for every 2xx", () => {
  const { answer, log } = begin("INVITE", "udp", true);
  answer(200, "b1");
  answer(200, "b1");
  expect(log).toEqual(["200 b1", "end answered at 0", "200 b1"]);
});

test("an ACK for a 2xx that never came is refused", async () => {
  const { machine, request } = begin("INVITE");
  const ack = new SipRequest({ method: "ACK", uri: "sip:x@192.0.2.2" });
  await expect(
    machine.acknowledge(SipResponse.to(request, 200, { toTag: "x" }), ack),
  ).rejects.toMatchObject({ code: "SIP_STATE" });
});

test("CANCEL waits for a provisional response and carries the INVITE's branch", async () => {
  const { machine, cancels, answer } = begin("INVITE");
  machine.cancel({ Reason: 'SIP;cause=200;text="elsewhere"' });
  expect(cancels).toEqual([]);
  answer(100);
  machine.cancel();
  expect(cancels.map(String)).toEqual([
    [
      "CANCEL sip:bob@192.0.2.2 SIP/2.0",
      "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
      "Max-Forwards: 70",
      "Route: <sip:proxy.example;lr>",
      "From: <sip:alice@192.0.2.1>;tag=a",
      "To: <sip:bob@192.0.2.2>",
      "Call-ID: c1",
      "CSeq: 7 CANCEL",
      'Reason: SIP;cause=200;text="elsewhere"',
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
  ]);
});

test("a cancelled INVITE that is never answered ends 64*T1 after the CANCEL", async () => {
  const { machine, answer, log, clock } = begin("INVITE");
  answer(180, "b");
  await pass(clock, 1000);
  machine.cancel();
  await pass(clock);
  expect(log).toEqual(["180 b", "end SIP_TIMEOUT at 33000", "terminated at 33000"]);
});

test("a 2xx that crosses the CANCEL wins", () => {
  const { machine, answer, log } = begin("INVITE");
  answer(180, "b");
  machine.cancel();
  answer(200, "b");
  expect(log).toEqual(["180 b", "200 b", "end answered at 0"]);
});

test.each(["after a final response", "a second time", "for OPTIONS"])(
  "cancelling %s does nothing",
  (when) => {
    const { machine, cancels, answer } = begin(when === "for OPTIONS" ? "OPTIONS" : "INVITE");
    answer(180);
    if (when === "after a final response") answer(486);
    if (when === "a second time") machine.cancel();
    cancels.length = 0;
    machine.cancel();
    expect(cancels).toEqual([]);
  },
);

test("a failing write ends the transaction with the network's reason", async () => {
  const clock = manualClock();
  const { machine, connection, log } = begin("OPTIONS");
  connection.failure = new Error("ECONNRESET");
  machine.start(connection);
  expect(log).toEqual(["end SIP_TRANSPORT at 0", "terminated at 0"]);
  const error: SipError = await machine.final.then(
    () => expect.unreachable(),
    (reason: SipError) => reason,
  );
  expect(error.message).toBe("ECONNRESET");
  expect(clock.pending).toBe(0);
});

test("responses can be awaited one by one", async () => {
  const { machine, answer } = begin("INVITE");
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { status } of machine) seen.push(status);
  })();
  answer(100);
  answer(180, "b");
  await Promise.resolve();
  answer(200, "b");
  await reading;
  expect(seen).toEqual([100, 180, 200]);
});

test("awaiting responses one by one ends with the reason when there is none", async () => {
  const { machine, clock } = begin("INVITE");
  const reading = (async () => {
    for await (const { status } of machine) expect(status).toBe(0);
  })();
  const outcome = reading.catch((error: SipError) => error.code);
  await pass(clock);
  expect(await outcome).toBe("SIP_TIMEOUT");
});

test("listeners that come late hear what was missed", () => {
  const { machine, answer } = begin("INVITE");
  answer(180, "b");
  answer(486, "b");
  const seen: unknown[] = [];
  machine.onResponse(({ status }) => void seen.push(status));
  machine.onEnd((error) => void seen.push(error));
  expect(seen).toEqual([180, 486, undefined]);
});

test("a listener that throws keeps nobody from the answer, and nothing alive", async () => {
  const { clock, answer, machine, log } = begin("OPTIONS");
  machine.onResponse(() => {
    throw new Error("broken");
  });
  answer(200, "b");
  expect((await machine.final).status).toBe(200);
  await pass(clock, 5_000);
  expect(log).toEqual(["200 b", "fault Error: broken", "end answered at 0", "terminated at 5000"]);
});

test("what goes wrong after the answer is no news to those who read the responses", async () => {
  const { answer, machine } = begin("OPTIONS");
  answer(200, "b");
  machine.fail(new SipError("SIP_ABORTED", "the SIP stack is closed"));
  const statuses: number[] = [];
  for await (const { status } of machine) statuses.push(status);
  expect(statuses).toEqual([200]);
});
