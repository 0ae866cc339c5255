import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { manualClock, systemClock } from "../clock.ts";
import type { TransportName } from "./connection.ts";
import type { SipError } from "./error.ts";
import type { Limits } from "./limits.ts";
import { type SipStackOptions } from "./stack.ts";
import {
  header,
  outgoing,
  startLine,
  startUdp,
  tcpPeer,
  tcpServer,
  udpPeer,
  wireRequest,
} from "./testing/peers.ts";

const listen = (transport: TransportName, host = "127.0.0.1") => [{ transport, host, port: 0 }];
const answering: Partial<SipStackOptions> = {
  onRequest: (transaction) => transaction.respond(200),
};
const VIA = "SIP/2.0/TCP 127.0.0.1:5999;branch=z9hG4bK1";

test.each(["udp", "tcp", "ws"] as const)("two stacks talk over %s", async (transport) => {
  await using uas = await startUdp({ ...answering, listen: listen(transport) });
  await using uac = await startUdp({ listen: listen(transport) });
  const uri = `sip:127.0.0.1:${uas.port};transport=${transport}`;
  const response = await uac.stack.request(outgoing("OPTIONS", uri)).final;
  expect(response.status).toBe(200);
  expect(response.via.transport).toBe(transport.toUpperCase());
  expect(response.via.port).toBe(uac.port);
});

test.each(["udp", "tcp", "ws"] as const)("two stacks talk over IPv6 by %s", async (transport) => {
  await using uas = await startUdp({ ...answering, listen: listen(transport, "::1") });
  await using uac = await startUdp({ listen: listen(transport, "::1") });
  const uri = `sip:[::1]:${uas.port};transport=${transport}`;
  const response = await uac.stack.request(outgoing("OPTIONS", uri)).final;
  expect(response.status).toBe(200);
  expect(response.top("Via")).toContain(`[::1]:${uac.port};branch=`);
  const [event] = uas.trace.events;
  expect(event).toMatchObject({ local: `[::1]:${uas.port}` });
});

test("one stack serves several transports and answers each by its own", async () => {
  await using uas = await startUdp({
    ...answering,
    listen: [...listen("udp"), ...listen("tcp"), ...listen("ws")],
  });
  const answers: string[] = [];
  for (const { transport, port } of uas.stack.listeners) {
    await using uac = await startUdp({ listen: listen(transport) });
    const uri = `sip:127.0.0.1:${port};transport=${transport}`;
    const { status, via } = await uac.stack.request(
      outgoing("OPTIONS", uri, { "Call-ID": transport }),
    ).final;
    answers.push(`${status} ${via.transport}`);
  }
  expect(answers).toEqual(["200 UDP", "200 TCP", "200 WS"]);
});

test("a connection is used again, and a new one opened on demand", async () => {
  await using uas = await startUdp({ ...answering, listen: listen("tcp") });
  await using uac = await startUdp({ listen: listen("tcp") });
  const uri = `sip:127.0.0.1:${uas.port};transport=tcp`;
  const send = (callId: string, newConnection = false) =>
    uac.stack.request(outgoing("OPTIONS", uri, { "Call-ID": callId }), { newConnection }).final;
  await Promise.all([send("1"), send("2")]);
  await send("3");
  expect(uac.stack.connections).toHaveLength(1);
  await send("4", true);
  expect(uac.stack.connections).toHaveLength(2);
});

test("a connection can start at another local address", async () => {
  await using uas = await startUdp({ ...answering, listen: listen("tcp") });
  await using uac = await startUdp({ listen: listen("tcp") });
  const uri = `sip:127.0.0.1:${uas.port};transport=tcp`;
  await uac.stack.request(outgoing("BYE", uri), { localAddress: "127.0.0.2" }).final;
  await uac.stack.request(outgoing("BYE", uri, { "Call-ID": "2" })).final;
  expect(uac.stack.connections.map(({ local }) => local.host)).toEqual(["127.0.0.2", "127.0.0.1"]);
});

test("after the peer closed, the next request opens a new connection", async () => {
  await using server = await tcpServer();
  await using uac = await startUdp({ listen: listen("tcp") });
  const uri = `sip:127.0.0.1:${server.port};transport=tcp`;
  uac.stack.request(outgoing("OPTIONS", uri));
  const first = await server.accept();
  const sent = await first.next();
  first.end();
  const second = await server.accept();
  const repeated = await second.next();
  second.send(
    `SIP/2.0 200 OK\r\nVia: ${header(repeated, "Via")}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`,
  );
  expect(repeated).toBe(sent);
  uac.stack.request(outgoing("OPTIONS", uri, { "Call-ID": "2" }));
  expect(header(await second.next(), "Call-ID")).toBe("2");
});

test("a request on a connection that breaks twice fails", async () => {
  await using server = await tcpServer();
  await using uac = await startUdp({ listen: listen("tcp") });
  const uri = `sip:127.0.0.1:${server.port};transport=tcp`;
  const transaction = uac.stack.request(outgoing("INVITE", uri));
  const first = await server.accept();
  const sent = await first.next();
  first.end();
  const second = await server.accept();
  expect(await second.next()).toBe(sent);
  second.end();
  await expect(transaction.final).rejects.toMatchObject({ code: "SIP_TRANSPORT" });
});

test("a refused connection fails the request at once, with the system's reason", async () => {
  const server = await tcpServer();
  const { port } = server;
  await server[Symbol.asyncDispose]();
  await using uac = await startUdp({ listen: listen("tcp") });
  const request = outgoing("OPTIONS", `sip:127.0.0.1:${port};transport=tcp`);
  await expect(uac.stack.request(request).final).rejects.toMatchObject({
    code: "SIP_TRANSPORT",
    message: expect.stringContaining(`cannot connect to 127.0.0.1:${port} by tcp`),
    cause: { code: "ECONNREFUSED" },
  });
});

test("an answer whose connection is gone goes to the address of the Via", async () => {
  await using uas = await startUdp({ listen: listen("tcp") });
  await using server = await tcpServer();
  const peer = await tcpPeer(uas.port);
  peer.send(
    wireRequest("OPTIONS", { Via: `SIP/2.0/TCP 127.0.0.1:${server.port};branch=z9hG4bK1` }),
  );
  await expect.poll(() => uas.requests.length).toBe(1);
  await peer[Symbol.asyncDispose]();
  await expect.poll(() => uas.stack.connections.length).toBe(0);
  uas.requests[0]?.respond(200);
  const stream = await server.accept();
  expect(startLine(await stream.next())).toBe("SIP/2.0 200 OK");
});

test("a request near the MTU goes by TCP, with a TCP Via, if the peer takes TCP", async () => {
  await using server = await tcpServer();
  await using uac = await startUdp({ listen: [...listen("udp"), ...listen("tcp")] });
  const large = outgoing("MESSAGE", `sip:127.0.0.1:${server.port}`, { Subject: "x".repeat(1200) });
  uac.stack.request(large);
  const stream = await server.accept();
  expect(header(await stream.next(), "Via")).toMatch(/^SIP\/2.0\/TCP /);
});

test("if it does not, the request goes by UDP after all", async () => {
  await using peer = await udpPeer();
  await using uac = await startUdp({ listen: [...listen("udp"), ...listen("tcp")] });
  uac.stack.request(
    outgoing("MESSAGE", `sip:127.0.0.1:${peer.port}`, { Subject: "x".repeat(1200) }),
  );
  expect(header(await peer.next(), "Via")).toMatch(/^SIP\/2.0\/UDP /);
  expect(uac.errors()).toEqual(["SIP_TRANSPORT"]);
});

test.each([0, 5000])("with congestionBytes %d it stays on UDP from the start", async (bytes) => {
  await using peer = await udpPeer();
  await using uac = await startUdp({
    listen: [...listen("udp"), ...listen("tcp")],
    congestionBytes: bytes,
  });
  uac.stack.request(
    outgoing("MESSAGE", `sip:127.0.0.1:${peer.port}`, { Subject: "x".repeat(1200) }),
  );
  await peer.next();
  expect(uac.errors()).toEqual([]);
});

test("a ping gets a pong, even in two pieces", async () => {
  await using uas = await startUdp({ listen: listen("tcp") });
  await using peer = await tcpPeer(uas.port);
  peer.send("\r\n\r\n");
  expect(await peer.next()).toBe("\r\n");
  peer.send("\r\n");
  peer.send("\r\n");
  expect(await peer.next()).toBe("\r\n");
});

test("pings of ours keep a connection whose pongs come and end one whose do not", async () => {
  await using server = await tcpServer();
  await using uac = await startUdp({
    clock: systemClock({ rate: 20 }),
    listen: listen("tcp"),
    keepAliveMs: 500,
    limits: { pongTimeoutMs: 2000 },
  });
  await uac.stack.connect({ transport: "tcp", host: "127.0.0.1", port: server.port });
  const stream = await server.accept();
  for (let ping = 0; ping < 3; ping++) {
    expect(await stream.next()).toMatch(/^(?:\r\n\r\n)+$/);
    stream.send("\r\n");
  }
  await stream.closed;
  expect(uac.errors()).toEqual(["SIP_TRANSPORT"]);
});

test.each<[string, Partial<Limits>, string, string]>([
  ["a message that stays incomplete", { messageTimeoutMs: 400 }, "OPTIONS sip:", "after 400 ms"],
  ["silence", { idleTimeoutMs: 400 }, "\r\n", "for 400 ms"],
  ["headers without end", { headerBytes: 100 }, "X".repeat(200), "headers over 100 bytes"],
])("%s ends a connection", async (_, limits, text, message) => {
  await using uas = await startUdp({
    clock: systemClock({ rate: 10 }),
    listen: listen("tcp"),
    limits,
  });
  await using peer = await tcpPeer(uas.port);
  peer.send(text);
  await peer.closed;
  expect(uas.trace.events.at(-1)).toMatchObject({
    type: "error",
    code: "SIP_LIMIT",
    message: expect.stringContaining(message),
  });
});

test("a peer that reads nothing loses its connection once too much waits for it", async () => {
  await using uas = await startUdp({
    clock: systemClock({ rate: 10 }),
    listen: listen("tcp"),
    limits: { queuedBytes: 100_000 },
  });
  const peer = connect(uas.port, "127.0.0.1");
  const closed = once(peer, "close");
  peer.on("error", () => {});
  peer.write(wireRequest("MESSAGE", { Via: VIA }));
  await expect.poll(() => uas.requests.length).toBe(1);
  peer.pause();
  const [connection] = uas.stack.connections;
  const large = outgoing("MESSAGE", "sip:bob@127.0.0.1;transport=tcp");
  // More than the system's own buffers take.
  large.body = Buffer.alloc(12_000_000);
  const sending = uas.stack.send(large, { connection }).catch((error: SipError) => error.code);
  const refused = uas.stack.send(outgoing("MESSAGE", "sip:bob@127.0.0.1"), { connection });
  await expect(refused).rejects.toMatchObject({ code: "SIP_LIMIT" });
  await expect.poll(() => uas.stack.connections).toEqual([]);
  expect(await sending).toBe("SIP_TRANSPORT");
  peer.destroy();
  await closed;
});

test("a body over the limit gets 513 and ends the connection", async () => {
  await using uas = await startUdp({ listen: listen("tcp"), limits: { bodyBytes: 1000 } });
  await using peer = await tcpPeer(uas.port);
  peer.send(wireRequest("MESSAGE", { Via: VIA, "Content-Length": "1001" }));
  expect(startLine(await peer.next())).toBe("SIP/2.0 513 Message Too Large");
  await peer.closed;
});

test("an unreadable Content-Length gets 400 and ends the connection", async () => {
  await using uas = await startUdp({ listen: listen("tcp") });
  await using peer = await tcpPeer(uas.port);
  peer.send(wireRequest("MESSAGE", { Via: VIA, "Content-Length": "-1" }));
  expect(startLine(await peer.next())).toBe("SIP/2.0 400 Bad Content-Length Header");
  await peer.closed;
});

test.each([{ connections: 2 }, { connectionsPerHost: 2 }])(
  "over the limit %j connections are refused, and the others served",
  async (limits) => {
    await using uas = await startUdp({ ...answering, listen: listen("tcp"), limits });
    await using first = await tcpPeer(uas.port);
    await using second = await tcpPeer(uas.port);
    await expect.poll(() => uas.stack.connections.length).toBe(2);
    await using third = await tcpPeer(uas.port);
    await third.closed;
    for (const peer of [first, second]) {
      peer.send(wireRequest("OPTIONS", { Via: VIA, "Call-ID": String(peer.port) }));
      expect(startLine(await peer.next())).toMatch(/^SIP\/2.0 (?:200|482)/);
    }
    expect(uas.trace.events).toContainEqual(
      expect.objectContaining({ code: "SIP_LIMIT", message: expect.stringContaining("of 2") }),
    );
  },
);

test("a flood of connections is bounded and leaves nothing behind", async () => {
  await using uas = await startUdp({ listen: listen("tcp"), limits: { connections: 20 } });
  const peers = await Promise.all(Array.from({ length: 100 }, () => tcpPeer(uas.port)));
  await expect.poll(() => uas.errors().length).toBe(80);
  expect(uas.stack.connections).toHaveLength(20);
  await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
  await expect.poll(() => uas.stack.connections.length).toBe(0);
});

test("a WebSocket speaks the sip subprotocol, one message per frame, and is pinged by CRLF", async () => {
  await using uas = await startUdp({ ...answering, listen: listen("ws") });
  const socket = new WebSocket(`ws://127.0.0.1:${uas.port}/`, ["sip"]);
  await new Promise((resolve) => {
    socket.once("open", resolve);
  });
  expect(socket.protocol).toBe("sip");
  const next = () =>
    new Promise<string>((resolve) => {
      socket.once("message", (data: Buffer) => resolve(data.toString()));
    });
  const ponged = next();
  socket.send("\r\n\r\n");
  expect(await ponged).toBe("\r\n");
  const answered = next();
  socket.send(wireRequest("OPTIONS", { Via: "SIP/2.0/WS abc.invalid;branch=z9hG4bK1" }));
  const answer = await answered;
  expect(startLine(answer)).toBe("SIP/2.0 200 OK");
  expect(header(answer, "Via")).toBe("SIP/2.0/WS abc.invalid;branch=z9hG4bK1;received=127.0.0.1");
  const closed = new Promise((resolve) => {
    socket.once("close", resolve);
  });
  socket.close();
  await closed;
});

test("a WebSocket upgrade that never comes is given up", async () => {
  await using uas = await startUdp({ listen: listen("ws"), limits: { connectTimeoutMs: 50 } });
  await using peer = await tcpPeer(uas.port);
  peer.send("GET / HTTP/1.1\r\n");
  await peer.closed;
  expect(uas.stack.connections).toEqual([]);
});

test("a WebSocket message that stays incomplete or is too large ends the connection", async () => {
  await using uas = await startUdp({
    clock: systemClock({ rate: 10 }),
    listen: listen("ws"),
    limits: { messageTimeoutMs: 400, bodyBytes: 1000, headerBytes: 1000 },
  });
  const closings: number[] = [];
  for (const last of [false, true]) {
    const socket = new WebSocket(`ws://127.0.0.1:${uas.port}/`, ["sip"]);
    socket.on("close", (code) => void closings.push(code));
    socket.on("open", () => socket.send("x".repeat(last ? 2001 : 10), { fin: last }));
  }
  await expect.poll(() => closings.toSorted((a, b) => a - b)).toEqual([1000, 1009]);
  expect(uas.errors()).toEqual(["SIP_LIMIT"]);
});

test("a body that is no UTF-8 crosses a WebSocket", async () => {
  await using uas = await startUdp({ listen: listen("ws") });
  await using uac = await startUdp({ listen: listen("ws") });
  const request = outgoing("MESSAGE", `sip:127.0.0.1:${uas.port};transport=ws`);
  request.body = Buffer.from([0xff, 0x00, 0xfe]);
  uac.stack.request(request);
  await expect.poll(() => uas.requests.length).toBe(1);
  expect(uas.requests[0]?.request.body).toEqual(Buffer.from([0xff, 0x00, 0xfe]));
});

test("a request to a WebSocket peer goes down the connection it opened", async () => {
  await using uas = await startUdp({ listen: listen("ws") });
  await using phone = await startUdp({ ...answering, listen: listen("ws") });
  const endpoint = { transport: "ws" as const, host: "127.0.0.1", port: uas.port };
  await phone.stack.connect(endpoint);
  await expect.poll(() => uas.stack.connections.length).toBe(1);
  const request = outgoing("INVITE", "sip:phone@abc.invalid;transport=ws");
  const [connection] = uas.stack.connections;
  expect((await uas.stack.request(request, { connection }).final).status).toBe(200);
});

test("disposal does not wait for a connection that is being opened", async () => {
  await using mute = await tcpServer();
  const uac = await startUdp({ clock: manualClock(), listen: listen("tls") });
  const target = { transport: "tls" as const, host: "127.0.0.1", port: mute.port };
  const connecting = uac.stack.connect(target).catch((error: SipError) => error.code);
  await mute.accept();
  await uac[Symbol.asyncDispose]();
  expect(await connecting).toBe("SIP_TRANSPORT");
});

test("a half-open TLS connection does not hold up disposal", async () => {
  const uas = await startUdp({ listen: listen("tls") });
  await using peer = await tcpPeer(uas.port);
  await uas[Symbol.asyncDispose]();
  await peer.closed;
  expect(uas.stack.connections).toEqual([]);
});
