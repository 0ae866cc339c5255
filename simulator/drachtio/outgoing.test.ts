import { once } from "node:events";
import type Srf from "drachtio-srf";
import { expect, test } from "vitest";
import { sendRequest } from "./application.ts";
import { ANSWERED, call, connected, peerRequest } from "./testing/calls.ts";
import { openTestDaemon, SDP } from "./testing/daemon.ts";
import { answer, header, openTestPeer } from "./testing/peer.ts";

test("an application calls, is answered, and hangs up", async () => {
  await using lab = await openTestDaemon();
  const { peer, port, daemon } = lab;
  const { dialog } = call(lab, { headers: { From: "sip:x@localhost", "X-Transfer-Reason": "b" } });
  const invite = await peer.receive(/^INVITE/);
  expect(invite).toMatch(new RegExp(`^INVITE sip:a@127.0.0.1:${peer.port} SIP/2.0\r\nVia: `));
  expect(header(invite, "From")).toMatch(new RegExp(`^<sip:x@127.0.0.1:${port}>;tag=\\S+$`));
  expect(header(invite, "To")).toBe(`<sip:a@127.0.0.1:${peer.port}>`);
  expect(header(invite, "Contact")).toBe(`<sip:127.0.0.1:${port}>`);
  expect(header(invite, "Max-Forwards")).toBe("70");
  expect(header(invite, "Content-Type")).toBe("application/sdp");
  expect(invite).toContain("\r\nX-Transfer-Reason: b\r\n");
  peer.send(answer(invite, "100 Trying"));
  peer.send(answer(invite, "200 OK", ANSWERED));
  const established = await dialog;
  const ack = await peer.receive(/^ACK/);
  expect(header(ack, "To")).toBe(`<sip:a@127.0.0.1:${peer.port}>;tag=peer`);
  expect(header(ack, "CSeq")).toBe(header(invite, "CSeq").replace("INVITE", "ACK"));
  expect(established.remote).toEqual({ uri: `sip:a@127.0.0.1:${peer.port}`, sdp: SDP });

  const ended = new Promise((resolve) => {
    established.destroy({ headers: { Reason: "Q.850;cause=16" } }, resolve);
  });
  const bye = await peer.receive(/^BYE/);
  expect(bye).toMatch(new RegExp(`^BYE sip:a@127.0.0.1:${peer.port} SIP/2.0\r\n`));
  expect(header(bye, "Reason")).toBe("Q.850;cause=16");
  peer.send(answer(bye, "200 OK"));
  await ended;
  expect(daemon.load).toMatchObject({ incoming: 0, outgoing: 0, dialogs: 0 });
});

test("provisional responses pass, 100 does not, a refusal is acknowledged and told", async () => {
  await using lab = await openTestDaemon();
  const seen: number[] = [];
  const { dialog } = call(lab, { onProvisional: ({ status }) => seen.push(status) });
  const invite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(invite, "100 Trying"));
  lab.peer.send(answer(invite, "180 Ringing"));
  lab.peer.send(answer(invite, "486 Busy Here", ["X-Why: lunch"]));
  await expect(dialog).rejects.toMatchObject({ status: 486, reason: "Busy Here" });
  expect(header(await lab.peer.receive(/^ACK/), "CSeq")).toMatch(/ACK$/);
  expect(seen).toEqual([180]);
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("a call is cancelled with the headers the application gives", async () => {
  await using lab = await openTestDaemon();
  const { dialog, sent } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  const cancel = (await sent).cancel.bind(await sent) as unknown as (
    options: object,
    done: () => void,
  ) => void;
  const echoed = new Promise<void>((resolve) => {
    cancel({ headers: { Reason: 'SIP;cause=200;text="x"' } }, resolve);
  });
  await echoed;
  lab.peer.send(answer(invite, "180 Ringing"));
  const wire = await lab.peer.receive(/^CANCEL/);
  expect(header(wire, "Via")).toBe(header(invite, "Via"));
  expect(header(wire, "Reason")).toBe('SIP;cause=200;text="x"');
  lab.peer.send(answer(wire, "200 OK"));
  lab.peer.send(answer(invite, "487 Request Terminated"));
  await expect(dialog).rejects.toMatchObject({ status: 487 });
});

test("a repeated 2xx is acknowledged again without asking the application", async () => {
  await using lab = await openTestDaemon();
  const { invite } = await connected(lab);
  lab.peer.send(answer(invite, "200 OK", ANSWERED));
  expect(await lab.peer.receive(/^ACK/)).toContain("tag=peer");
});

test("the answer to a late offer goes out with the ACK", async () => {
  await using lab = await openTestDaemon();
  const offered = lab.srf.createUAC(`sip:a@127.0.0.1:${lab.peer.port}`, { noAck: true });
  const invite = await lab.peer.receive(/^INVITE/);
  expect(invite.endsWith("\r\n\r\n")).toBe(true);
  lab.peer.send(answer(invite, "200 OK", ANSWERED));
  const { sdp, ack } = (await offered) as unknown as {
    sdp: string;
    ack: (sdp: string) => Promise<Srf.Dialog>;
  };
  expect(sdp).toBe(SDP);
  await ack(SDP.replace("4000", "5000"));
  const acknowledged = await lab.peer.receive(/^ACK/);
  expect(acknowledged).toContain("m=audio 5000");
  expect(header(acknowledged, "Content-Type")).toBe("application/sdp");
});

test("digest credentials are given in a second request of the same call", async () => {
  await using lab = await openTestDaemon();
  const auth = { username: "u", password: "p" };
  const { dialog } = call(lab, { auth });
  const first = await lab.peer.receive(/^INVITE/);
  const challenge = 'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"';
  lab.peer.send(answer(first, "407 Proxy Authentication Required", [challenge]));
  await lab.peer.receive(/^ACK/);
  const second = await lab.peer.receive(/^INVITE/);
  expect(header(second, "Call-ID")).toBe(header(first, "Call-ID"));
  expect(header(second, "From")).toBe(header(first, "From"));
  expect(Number.parseInt(header(second, "CSeq"), 10)).toBe(
    Number.parseInt(header(first, "CSeq"), 10) + 1,
  );
  expect(header(second, "Proxy-Authorization")).toContain('username="u"');
  lab.peer.send(answer(second, "200 OK", ANSWERED));
  await dialog;
  expect(header(await lab.peer.receive(/^ACK/), "CSeq")).toBe(
    header(second, "CSeq").replace("INVITE", "ACK"),
  );
});

test("a route URL is the next hop and changes nothing in the request", async () => {
  await using lab = await openTestDaemon();
  await using proxy = await openTestPeer();
  const { dialog } = call(lab, { proxy: `sip:127.0.0.1:${proxy.port}` });
  const invite = await proxy.receive(/^INVITE/);
  expect(invite).toMatch(new RegExp(`^INVITE sip:a@127.0.0.1:${lab.peer.port} `));
  expect(invite).not.toMatch(/^Route:/m);
  proxy.send(answer(invite, "603 Decline"), lab.port);
  await expect(dialog).rejects.toMatchObject({ status: 603 });
});

test("requests follow the route set that the answer recorded", async () => {
  await using lab = await openTestDaemon();
  await using proxy = await openTestPeer();
  const { dialog } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  const recorded = `Record-Route: <sip:127.0.0.1:${proxy.port};lr>`;
  lab.peer.send(answer(invite, "200 OK", [recorded, ...ANSWERED]));
  await dialog;
  const ack = await proxy.receive(/^ACK/);
  expect(ack).toMatch(new RegExp(`^ACK sip:a@127.0.0.1:${lab.peer.port} `));
  expect(header(ack, "Route")).toBe(`<sip:127.0.0.1:${proxy.port};lr>`);
});

test("a strict router gets its own address as Request-URI", async () => {
  await using lab = await openTestDaemon();
  await using proxy = await openTestPeer();
  const { dialog } = call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  const recorded = `Record-Route: <sip:127.0.0.1:${proxy.port}>`;
  lab.peer.send(answer(invite, "200 OK", [recorded, ...ANSWERED]));
  await dialog;
  const ack = await proxy.receive(/^ACK/);
  expect(ack).toMatch(new RegExp(`^ACK sip:127.0.0.1:${proxy.port} `));
  expect(header(ack, "Route")).toBe(`<sip:a@127.0.0.1:${lab.peer.port}>`);
});

test("a re-INVITE keeps its dialog, whose CSeq counts on", async () => {
  await using lab = await openTestDaemon();
  const { dialog, invite } = await connected(lab);
  const modified = dialog.modify(SDP.replace("4000", "5000"));
  const again = await lab.peer.receive(/^INVITE/);
  expect(header(again, "To")).toContain("tag=peer");
  expect(Number.parseInt(header(again, "CSeq"), 10)).toBe(
    Number.parseInt(header(invite, "CSeq"), 10) + 1,
  );
  lab.peer.send(answer(again, "200 OK", ["Contact: <sip:moved@127.0.0.1:{port}>", "", SDP]));
  expect(await modified).toBe(SDP);
  expect(await lab.peer.receive(/^ACK/)).toMatch(/^ACK sip:moved@127.0.0.1/);
});

test("the callee ends the call from another address", async () => {
  await using lab = await openTestDaemon();
  await using stranger = await openTestPeer({ peer: lab.port });
  const { dialog, invite } = await connected(lab);
  const ended = once(dialog, "destroy");
  stranger.send(peerRequest(invite, "BYE"));
  expect(await stranger.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 200/);
  await ended;
});

test("REFER gets a Contact without localhost, so that its NOTIFY arrives", async () => {
  await using lab = await openTestDaemon();
  const { dialog, invite } = await connected(lab);
  const notified = once(dialog, "notify");
  const referred = dialog.request({
    method: "REFER",
    headers: { "Refer-To": "<sip:b@c>", Contact: "<sip:localhost>" },
  } as never);
  const refer = await lab.peer.receive(/^REFER/);
  expect(header(refer, "Contact")).toBe(`<sip:127.0.0.1:${lab.port}>`);
  lab.peer.send(answer(refer, "202 Accepted"));
  expect((await referred).status).toBe(202);
  lab.peer.send(
    peerRequest(invite, "NOTIFY", "Event: refer\nSubscription-State: terminated;reason=noresource"),
  );
  const [req, res] = await notified;
  expect(req.get("Event")).toBe("refer");
  res.send(200);
  await lab.peer.receive(/^SIP\/2.0 200[^]*NOTIFY/);
  expect(lab.daemon.load.dialogs).toBe(1);
});

test.each(["OPTIONS", "MESSAGE", "INFO", "NOTIFY", "REFER", "PUBLISH", "REGISTER"])(
  "%s goes out of dialog and its answer comes back",
  async (method) => {
    await using lab = await openTestDaemon();
    const headers = { "Refer-To": "<sip:x@y>", Event: "presence" };
    const uri = `sip:a@127.0.0.1:${lab.peer.port}`;
    const pending = sendRequest(lab.srf, uri, { method, headers });
    const wire = await lab.peer.receive(new RegExp(`^${method} `));
    lab.peer.send(answer(wire, "299 Fine", ["X-Seen: yes"]));
    const response = await pending;
    expect([response.status, response.get("X-Seen")]).toEqual([299, "yes"]);
  },
);

test("the reports on a REFER outside a dialog reach the application", async () => {
  await using lab = await openTestDaemon();
  const reported = new Promise<string>((resolve) => {
    lab.srf.use("notify", (req, res) => {
      res.send(200);
      resolve(req.get("Subscription-State"));
    });
  });
  const uri = `sip:a@127.0.0.1:${lab.peer.port}`;
  const options = { method: "REFER", headers: { "Refer-To": "<sip:x@y>" } };
  const referring = sendRequest(lab.srf, uri, options);
  const refer = await lab.peer.receive(/^REFER/);
  expect(header(refer, "Contact")).toBe(`<sip:127.0.0.1:${lab.port}>`);
  lab.peer.send(answer(refer, "202 Accepted", ["Contact: <sip:a@127.0.0.1:{port}>"]));
  await referring;
  const state = "Event: refer\nSubscription-State: terminated;reason=noresource";
  lab.peer.send(peerRequest(refer, "NOTIFY", state));
  expect(await reported).toBe("terminated;reason=noresource");
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 200/);
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("a challenged BYE keeps the dialog for the second attempt", async () => {
  await using lab = await openTestDaemon();
  const auth = { username: "u", password: "p" };
  const { dialog } = call(lab, { auth });
  lab.peer.send(answer(await lab.peer.receive(/^INVITE/), "200 OK", ANSWERED));
  const ended = new Promise((resolve, reject) => {
    void dialog.then((established) => established.destroy(undefined, resolve), reject);
  });
  const challenge = 'WWW-Authenticate: Digest realm="r", nonce="n"';
  lab.peer.send(answer(await lab.peer.receive(/^BYE/), "401 Unauthorized", [challenge]));
  const second = await lab.peer.receive(/^BYE/);
  expect(header(second, "Authorization")).toContain('realm="r"');
  lab.peer.send(answer(second, "200 OK"));
  await ended;
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("silence becomes 408", async () => {
  await using lab = await openTestDaemon({ timers: { t1Ms: 20, timeoutMs: 60 } });
  const { dialog } = call(lab);
  await expect(dialog).rejects.toMatchObject({ status: 408 });
});

test("a name nobody knows becomes 503 DNS Error", async () => {
  await using lab = await openTestDaemon({ resolve: () => undefined });
  const response = sendRequest(lab.srf, "sip:a@nowhere.test", { method: "OPTIONS" });
  await expect(response).resolves.toMatchObject({ status: 503, reason: "DNS Error" });
});

test("a name in the table is where the request goes", async () => {
  await using lab = await openTestDaemon({
    resolve: (name) =>
      name === "peer.test" ? { host: "127.0.0.1", port: lab.peer.port } : undefined,
  });
  const pending = sendRequest(lab.srf, "sip:a@peer.test", { method: "OPTIONS" });
  const wire = await lab.peer.receive(/^OPTIONS sip:a@peer.test SIP/);
  lab.peer.send(answer(wire, "200 OK"));
  expect((await pending).status).toBe(200);
});

test("a port where nobody listens becomes 503", async () => {
  await using lab = await openTestDaemon({
    contacts: [{ transport: "tcp", host: "127.0.0.1", port: 0 }],
  });
  const response = sendRequest(lab.srf, "sip:a@127.0.0.1:1", { method: "OPTIONS" });
  await expect(response).resolves.toMatchObject({ status: 503, reason: "Service Unavailable" });
});

test.each([
  ["sip:a@127.0.0.1;transport=tcp", "requested protocol/transport not available"],
  ["sips:a@127.0.0.1", "requested protocol/transport not available"],
  ["tel:+14255550100", "invalid request-uri: OPTIONS tel:+14255550100 SIP/2.0"],
])("OPTIONS %s is refused", async (uri, why) => {
  await using lab = await openTestDaemon();
  await expect(sendRequest(lab.srf, uri, { method: "OPTIONS" })).rejects.toThrow(why);
});

test("the daemon does not call itself", async () => {
  await using lab = await openTestDaemon();
  const uri = `sip:a@127.0.0.1:${lab.port}`;
  await expect(sendRequest(lab.srf, uri, { method: "OPTIONS" })).rejects.toThrow("myself");
});

test("a body whose type nobody says is refused", async () => {
  await using lab = await openTestDaemon();
  const uri = `sip:a@127.0.0.1:${lab.peer.port}`;
  const message = sendRequest(lab.srf, uri, { method: "MESSAGE", body: "hello" });
  await expect(message).rejects.toThrow("missing content-type");
});

test("a request in a dialog that is over fails with a code", async () => {
  await using lab = await openTestDaemon();
  const { dialog, invite } = await connected(lab);
  const ended = once(dialog, "destroy");
  lab.peer.send(peerRequest(invite, "BYE"));
  await ended;
  const info = dialog.request({ method: "INFO" } as never);
  await expect(info).rejects.toMatchObject({ code: "ENODIALOG" });
});

test("headers and bodies of any size arrive whole", async () => {
  await using lab = await openTestDaemon();
  const summary = "s".repeat(12_000);
  const body = "é".repeat(15_000);
  const headers = { "X-AI-Summary": summary, "Content-Type": "text/plain" };
  const uri = `sip:a@127.0.0.1:${lab.peer.port}`;
  const pending = sendRequest(lab.srf, uri, { method: "MESSAGE", headers, body });
  const wire = await lab.peer.receive(/^MESSAGE/);
  expect(header(wire, "X-AI-Summary")).toBe(summary);
  expect(wire.endsWith(`\r\n\r\n${body}`)).toBe(true);
  expect(header(wire, "Content-Length")).toBe("30000");
  lab.peer.send(answer(wire, "200 OK"));
  expect((await pending).status).toBe(200);
});

test("an application that leaves gives up the calls it was making", async () => {
  await using lab = await openTestDaemon();
  call(lab);
  const invite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(invite, "180 Ringing"));
  await lab.srf[Symbol.asyncDispose]();
  lab.peer.send(answer(await lab.peer.receive(/^CANCEL/), "200 OK"));
  lab.peer.send(answer(invite, "487 Request Terminated"));
  await lab.peer.receive(/^ACK/);
  expect(lab.daemon.load).toMatchObject({ outgoing: 0, dialogs: 0 });
});
