import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createTcpServer } from "node:net";
import Srf from "drachtio-srf";
import { expect, onTestFinished, test } from "vitest";
import { openTestDaemon, request, SDP } from "./testing/daemon.ts";
import { answer, header, openTestPeer } from "./testing/peer.ts";

/** A web server that gives one answer to everything and keeps what it was asked. */
async function openHandler(instruction: unknown) {
  const asked: { method: string; parameters: URLSearchParams; body: string }[] = [];
  const server = createServer((req: IncomingMessage, res) => {
    let body = "";
    req.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    req.on("end", () => {
      const { searchParams } = new URL(req.url ?? "", "http://handler");
      asked.push({ method: req.method ?? "", parameters: searchParams, body });
      res.setHeader("Connection", "close");
      res.end(typeof instruction === "string" ? instruction : JSON.stringify(instruction));
    });
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}/call`, asked };
}

/** An application that the daemon connects to. */
async function openListener(secret = "cymru") {
  const server = createTcpServer();
  const srf = new Srf();
  void srf.listen({ server, secret } as never);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  return { srf, server, port };
}

/** drachtio-srf has it, its published types do not. */
function endSession(srf: Srf, req: Srf.SrfRequest) {
  (srf as unknown as { endSession: (req: Srf.SrfRequest) => void }).endSession(req);
}

test("a handler is told about the request and may refuse it", async () => {
  const handler = await openHandler({ action: "reject", data: { status: 603, reason: "No" } });
  await using lab = await openTestDaemon({ handlers: [{ method: "invite", ...handler }] });
  lab.peer.send(request("INVITE").replace("sip:a@127.0.0.1:{peer}", "sip:a@x.test;line=7"));
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 603 No\r\n/);
  const [asked] = handler.asked;
  expect(asked?.method).toBe("GET");
  expect(Object.fromEntries(asked?.parameters ?? [])).toMatchObject({
    method: "INVITE",
    domain: "x.test",
    protocol: "udp",
    source_address: "127.0.0.1",
    fromUser: "bob",
    toUser: "a",
    uriUser: "a",
    line: "7",
  });
});

test("a handler that wants POST gets the SIP message", async () => {
  const handler = await openHandler({
    action: "redirect",
    data: { contact: ["sip:b@x", "sip:c@y"] },
  });
  const { url, asked } = handler;
  await using lab = await openTestDaemon({
    handlers: [{ method: "*", url, httpMethod: "POST" }],
  });
  lab.peer.send(request("INVITE"));
  const moved = await lab.peer.receive(/^SIP\/2.0 302/);
  expect(header(moved, "Contact")).toBe("<sip:b@x>, <sip:c@y>");
  expect(asked[0]?.body).toMatch(/^INVITE sip:a@127.0.0.1/);
});

test("a handler may have the request proxied", async () => {
  await using callee = await openTestPeer();
  const destination = `sip:b@127.0.0.1:${callee.port}`;
  const handler = await openHandler({ action: "proxy", data: { destination, recordRoute: true } });
  await using lab = await openTestDaemon({ handlers: [{ method: "invite", ...handler }] });
  lab.peer.send(request("INVITE"));
  const invite = await callee.receive(/^INVITE/);
  expect(header(invite, "Record-Route")).toBe(`<sip:127.0.0.1:${lab.port};lr>`);
  callee.send(answer(invite, "486 Busy Here"), lab.port);
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 486/);
});

test.each([["nonsense"], [{ action: "dance" }]])(
  "%s from a handler is answered 500",
  async (instruction) => {
    const handler = await openHandler(instruction);
    await using lab = await openTestDaemon({ handlers: [{ method: "invite", ...handler }] });
    lab.peer.send(request("INVITE"));
    expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 500/);
  },
);

test("the daemon connects to the application a handler names, for one call", async () => {
  const listener = await openListener();
  const handler = await openHandler({
    action: "route",
    data: { uri: `127.0.0.1:${listener.port};transport=tcp` },
  });
  await using lab = await openTestDaemon({ handlers: [{ method: "invite", ...handler }] });
  const { srf } = listener;
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  srf.invite((req, res) => {
    srf.createUAS(req, res, { localSdp: SDP }, (_error, dialog) => {
      dialog.on("destroy", (bye) => {
        endSession(srf, req);
        resolve(bye.method);
      });
    });
  });
  lab.peer.send(request("INVITE"));
  const to = header(await lab.peer.receive(/^SIP\/2.0 200/), "To");
  lab.peer.send(request("ACK", { to }));
  lab.peer.send(request("BYE", { to, cseq: 2 }));
  expect(await lab.peer.receive(/CSeq: 2 BYE/)).toMatch(/^SIP\/2.0 200/);
  expect(await ended).toBe("BYE");
});

test("a tcp URL is an application itself", async () => {
  const { srf, port } = await openListener();
  srf.use("options", (req, res) => {
    res.send(202);
    endSession(srf, req);
  });
  await using lab = await openTestDaemon({
    handlers: [{ method: "options", url: `tcp://127.0.0.1:${port}` }],
  });
  lab.peer.send(request("OPTIONS"));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 202/);
});

test("an application that is not there is answered 480", async () => {
  await using lab = await openTestDaemon({
    handlers: [{ method: "options", url: "tcp://127.0.0.1:1" }],
  });
  lab.peer.send(request("OPTIONS"));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 480/);
});

test("an application that does not know the secret is answered 480", async () => {
  const { port } = await openListener("wrong");
  await using lab = await openTestDaemon({
    handlers: [{ method: "options", url: `tcp://127.0.0.1:${port}` }],
  });
  lab.peer.send(request("OPTIONS"));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 480/);
});

test("a tag chooses among the connected applications", async () => {
  const handler = await openHandler({ action: "route", data: { tag: "gold" } });
  await using lab = await openTestDaemon({ handlers: [{ method: "*", ...handler }] });
  lab.peer.send(request("OPTIONS", { call: "none" }));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 480/);
  const tagged = new Srf(["gold"]);
  tagged.use("options", (_, res) => res.send(202));
  const connected = once(tagged, "connect");
  void tagged.connect(lab.daemon.control);
  await connected;
  lab.peer.send(request("OPTIONS", { call: "gold" }));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 202/);
  tagged.disconnect();
});
