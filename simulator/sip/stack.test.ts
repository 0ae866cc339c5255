import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { header, startLine, startUdp, tcpServer, udpPeer, wireRequest } from "./testing/peers.ts";

test("an INVITE gets 100 at once, then what the application says", async () => {
  await using uas = await startUdp({
    onRequest: (transaction) => transaction.respond(486, { headers: { "X-Why": "busy" } }),
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 100 Trying");
  const refusal = await peer.next();
  expect(startLine(refusal)).toBe("SIP/2.0 486 Busy Here");
  expect(refusal).toContain("X-Why: busy\r\n");
});

test("a delayed 100 comes only when the application is slow", async () => {
  const clock = systemClock({ rate: 20 });
  await using uas = await startUdp({ clock, trying: "delayed" });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 100 Trying");
  expect(uas.requests).toHaveLength(1);
});

test("a 100 left to the application is not sent", async () => {
  await using uas = await startUdp({
    trying: "manual",
    onRequest: (transaction) => transaction.respond(180),
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 180 Ringing");
});

test("CANCEL is answered, and the INVITE with 487 and the same To tag", async () => {
  await using uas = await startUdp({ trying: "manual" });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  peer.send(wireRequest("CANCEL", { Reason: "SIP;cause=200" }));
  const answers = [await peer.next(), await peer.next()];
  expect(answers.map(startLine)).toEqual(["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
  expect(header(answers[0] ?? "", "To")).toBe(header(answers[1] ?? "", "To"));
  const [invite] = uas.requests;
  expect(invite?.cancelled.reason.get("Reason")).toBe("SIP;cause=200");
});

test("a CANCEL of nothing gets 481", async () => {
  await using uas = await startUdp();
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("CANCEL"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 481 Call/Transaction Does Not Exist");
  expect(uas.requests).toEqual([]);
});

test("a repeated request reaches the application once and gets the same answer", async () => {
  await using uas = await startUdp();
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS"));
  peer.send(wireRequest("OPTIONS"));
  await expect.poll(() => uas.trace.events.length).toBe(2);
  expect(uas.requests).toHaveLength(1);
  uas.requests[0]?.respond(200);
  const first = await peer.next();
  peer.send(wireRequest("OPTIONS"));
  expect(await peer.next()).toBe(first);
});

test("the same request by another path gets 482, a new one does not", async () => {
  await using uas = await startUdp();
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS"));
  peer.send(wireRequest("OPTIONS", { Via: "SIP/2.0/UDP 127.0.0.1:5998;branch=z9hG4bK2;rport" }));
  expect(startLine(await peer.next())).toBe("SIP/2.0 482 Loop Detected");
  expect(uas.requests).toHaveLength(1);
  peer.send(
    wireRequest("OPTIONS", {
      Via: "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK3;rport",
      CSeq: "2 OPTIONS",
    }),
  );
  await expect.poll(() => uas.requests.length).toBe(2);
});

test("an RFC 2543 request, without a branch, is matched by its headers", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(486) });
  await using peer = await udpPeer(uas.port);
  const via = { Via: "SIP/2.0/UDP 127.0.0.1:5999;rport" };
  peer.send(wireRequest("INVITE", via));
  await peer.next();
  const refusal = await peer.next();
  peer.send(wireRequest("INVITE", via));
  expect(await peer.next()).toBe(refusal);
  peer.send(wireRequest("ACK", { ...via, CSeq: "1 ACK", To: header(refusal, "To") ?? "" }));
  peer.send(wireRequest("INVITE", { ...via, CSeq: "2 INVITE" }));
  expect(startLine(await peer.next())).toBe("SIP/2.0 100 Trying");
});

function ackOf(changes: Record<string, string>, body: string): string {
  const headers = {
    Via: "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKack",
    To: "<sip:bob@127.0.0.1>;tag=b",
    "Content-Length": String(body.length),
  };
  return wireRequest("ACK", { ...headers, ...changes }) + body;
}

test("the ACK of a 2xx finds its INVITE by Call-ID, CSeq and tags", async () => {
  const acks: string[] = [];
  const strays: string[] = [];
  await using uas = await startUdp({
    onRequest: (transaction) => {
      transaction.onAck((ack) => void acks.push(String(ack.body)));
      transaction.respond(200, { toTag: "b" });
    },
    onAck: (ack) => void strays.push(String(ack.body)),
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  await peer.next();
  await peer.next();
  peer.send(ackOf({}, "mine"));
  peer.send(ackOf({}, "again"));
  peer.send(ackOf({ To: "<sip:bob@127.0.0.1>;tag=other" }, "stray"));
  await expect.poll(() => strays).toEqual(["stray"]);
  expect(acks).toEqual(["mine", "again"]);
});

test.each([
  ["a header line without colon", { Garbage: "", "Bad Header": "x" }, "400 Bad Request"],
  ["no Call-ID", { "Call-ID": "" }, "400 Bad Request: missing Call-ID Header"],
  ["a CSeq of another method", { CSeq: "1 INVITE" }, "400 Bad CSeq Header"],
  ["a CSeq too large", { CSeq: "4294967296 OPTIONS" }, "400 Bad CSeq Header"],
  ["an unclosed From", { From: '"Alice <sip:a@b>;tag=a' }, "400 Bad From Header"],
  ["a Via that cannot be read", { Via: "SIP/2.0/UDP 127.0.0.1;;,;,," }, "400 Bad Via Header"],
  ["a second From", { from: "<sip:eve@127.0.0.1>;tag=e" }, "400 Bad From Header"],
  ["a Date in another zone", { Date: "Fri, 01 Jan 2010 16:00:00 EST" }, "400 Bad Date Header"],
  ["headers in its URI", { uri: "sip:bob@127.0.0.1?Route=x" }, "400 Bad Request-URI"],
  ["a Contact that is no address", { Contact: "<>" }, "400 Bad Contact Header"],
  ["Max-Forwards above 255", { "Max-Forwards": "300" }, "400 Bad Max-Forwards Header"],
  ["a Content-Length beyond its body", { "Content-Length": "9" }, "400 Bad Content-Length Header"],
  ["another scheme", { uri: "nobody:knows" }, "416 Unsupported URI Scheme"],
  ["a bad Request-URI", { uri: "sip:[::1" }, "400 Bad Request-URI"],
])("a request with %s is refused by the stack", async (_, changes, expected) => {
  await using uas = await startUdp();
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS", changes));
  expect(startLine(await peer.next())).toBe(`SIP/2.0 ${expected}`);
  expect(uas.requests).toEqual([]);
});

test("another version gets 505", async () => {
  await using uas = await startUdp();
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS").replace(" SIP/2.0\r\n", " SIP/7.0\r\n"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 505 Version Not Supported");
});

test("what cannot be answered is dropped and traced; keep-alives are not even that", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(200) });
  await using peer = await udpPeer(uas.port);
  peer.send("\r\n\r\n");
  peer.send("\0\0\0\0");
  peer.send("hello");
  peer.send(wireRequest("ACK", { Via: "nonsense" }));
  peer.send(wireRequest("OPTIONS", { Via: "" }));
  peer.send("SIP/2.0 200 OK\r\nVia: x\r\nCSeq: none\r\n\r\n");
  peer.send(wireRequest("OPTIONS"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 200 OK");
  expect(uas.errors()).toEqual(["SIP_SYNTAX", "SIP_SYNTAX", "SIP_SYNTAX", "SIP_SYNTAX"]);
});

test("an application that throws costs one 500, not the stack", async () => {
  await using uas = await startUdp({
    onRequest: () => {
      throw new Error("oops");
    },
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS"));
  expect(startLine(await peer.next())).toBe("SIP/2.0 500 Server Internal Error");
});

test("received and rport say where a request came from, and the answer goes there", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(200) });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS", { Via: "SIP/2.0/UDP nat.invalid;branch=z9hG4bK1;rport" }));
  expect(header(await peer.next(), "Via")).toBe(
    `SIP/2.0/UDP nat.invalid;branch=z9hG4bK1;rport=${peer.port};received=127.0.0.1`,
  );
});

test("without rport the answer goes to the port of the Via", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(200) });
  await using sender = await udpPeer(uas.port);
  await using receiver = await udpPeer(uas.port);
  const via = `SIP/2.0/UDP 127.0.0.1:${receiver.port};branch=z9hG4bK1`;
  sender.send(wireRequest("OPTIONS", { Via: via }));
  expect(header(await receiver.next(), "Via")).toBe(via);
  expect(sender.waiting).toEqual([]);
});

test("an answer that cannot be sent ends its transaction", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(200) });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS", { Via: "SIP/2.0/UDP 127.0.0.1:0;branch=z9hG4bK1" }));
  await expect.poll(() => uas.trace.events.length).toBe(2);
  expect(uas.stack.transactions.server).toBe(0);
});

test("rport can be filled in for everyone", async () => {
  await using uas = await startUdp({
    rport: "always",
    onRequest: (transaction) => transaction.respond(200),
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS", { Via: "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1" }));
  expect(header(await peer.next(), "Via")).toBe(
    `SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport=${peer.port}`,
  );
});

test("over the limit serverTransactions requests get 503 and leave nothing behind", async () => {
  await using uas = await startUdp({ limits: { serverTransactions: 1 } });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("OPTIONS"));
  peer.send(
    wireRequest("OPTIONS", { Via: "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK2;rport", "Call-ID": "2" }),
  );
  const refusal = await peer.next();
  expect(startLine(refusal)).toBe("SIP/2.0 503 Service Unavailable");
  expect(header(refusal, "Retry-After")).toBe("1");
  expect(uas.stack.transactions.server).toBe(1);
});

test("the application has the last look at everything, the stack's own messages included", async () => {
  const seen: string[] = [];
  await using uas = await startUdp({
    beforeSend: (message) => {
      seen.push(message.startLine);
      const loud = [...message.headers()].map(
        ([name, value]) => [name.toUpperCase(), value] as const,
      );
      message.replaceHeaders(loud);
    },
  });
  await using peer = await udpPeer(uas.port);
  peer.send(wireRequest("INVITE"));
  peer.send(wireRequest("CANCEL"));
  const texts = [await peer.next(), await peer.next(), await peer.next()];
  expect(seen).toEqual(["SIP/2.0 100 Trying", "SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
  expect(texts.every((text) => text.includes("\r\nCALL-ID: c1\r\n"))).toBe(true);
});

test("every message is traced with both addresses", async () => {
  await using uas = await startUdp({ onRequest: (transaction) => transaction.respond(200) });
  await using peer = await udpPeer(uas.port);
  const request = wireRequest("OPTIONS");
  peer.send(request);
  await peer.next();
  const remote = `127.0.0.1:${peer.port}`;
  const common = { type: "sip", transport: "udp", local: `127.0.0.1:${uas.port}`, remote };
  expect(uas.trace.events).toMatchObject([
    { ...common, direction: "in", message: request },
    { ...common, direction: "out", message: expect.stringMatching(/^SIP\/2.0 200 OK\r\n/) },
  ]);
});

test("a port that cannot be had frees the ones before it", async () => {
  await using taken = await tcpServer();
  await using probe = await startUdp();
  const { port } = probe;
  await probe.stack[Symbol.asyncDispose]();
  const listen = [
    { transport: "udp", host: "127.0.0.1", port },
    { transport: "tcp", host: "127.0.0.1", port: taken.port },
  ] as const;
  await expect(startUdp({ listen })).rejects.toMatchObject({ code: "EADDRINUSE" });
  await using again = await startUdp({ listen: listen.slice(0, 1) });
  expect(again.port).toBe(port);
});

// The suite's own leak check looks for the socket.
test("a UDP port that cannot be had leaves no socket behind", async () => {
  await using taken = await startUdp();
  const listen = [{ transport: "udp", host: "127.0.0.1", port: taken.port }] as const;
  await expect(startUdp({ listen })).rejects.toMatchObject({ code: "EADDRINUSE" });
});
