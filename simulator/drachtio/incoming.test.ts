import { once } from "node:events";
import type Srf from "drachtio-srf";
import { expect, test } from "vitest";
import { connectDrachtio } from "./application.ts";
import { openTestDaemon, request, SDP, type TestDaemon } from "./testing/daemon.ts";
import { header } from "./testing/peer.ts";

/** The next request that reaches a handler of `srf`. */
function arrival(srf: Srf, method: string) {
  const { promise, resolve } = Promise.withResolvers<{
    req: Srf.SrfRequest;
    res: Srf.SrfResponse;
  }>();
  srf.use(method, (req, res) => resolve({ req, res }));
  return promise;
}

/** A call from the peer, answered by the application and acknowledged. */
async function establish({ srf, peer }: TestDaemon) {
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE", { body: SDP, headers: "Content-Type: application/sdp" }));
  const { req, res } = await coming;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const ok = await peer.receive(/^SIP\/2.0 200/);
  const to = header(ok, "To");
  const acknowledged = once(dialog, "ack");
  peer.send(request("ACK", { to }));
  await acknowledged;
  return { dialog, to, req };
}

test("an application answers a call, hears its ACK and its BYE", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer, port, daemon } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE", { headers: "X-Lower-case: é\nUser-to-User: 42;encoding=hex" }));
  expect(header(await peer.receive(/^SIP\/2.0 100/), "To")).toBe("<sip:a@127.0.0.1>");
  const { req, res } = await coming;
  expect(req.raw).toContain("\r\nX-Lower-case: é\r\nUser-to-User: 42;encoding=hex\r\n");
  const headers = { "X-Customer-ID": "C-1042" };
  const dialog = await srf.createUAS(req, res, { localSdp: SDP, headers });
  const ok = await peer.receive(/^SIP\/2.0 200/);
  expect(header(ok, "Contact")).toBe(`<sip:127.0.0.1:${port}>`);
  expect(header(ok, "Content-Type")).toBe("application/sdp");
  expect(ok).toContain("\r\nX-Customer-ID: C-1042\r\n");
  expect(ok.endsWith(`\r\n\r\n${SDP}`)).toBe(true);
  expect(dialog.sip).toMatchObject({ callId: "c1", remoteTag: "from-c1" });

  const acknowledged = once(dialog, "ack");
  const ended = once(dialog, "destroy");
  const to = header(ok, "To");
  peer.send(request("ACK", { to }));
  await acknowledged;
  peer.send(request("BYE", { to, cseq: 2 }));
  expect(await peer.receive(/CSeq: 2 BYE/)).toMatch(/^SIP\/2.0 200 OK/);
  expect((await ended)[1]).toBe("normal release");
  expect(daemon.load).toMatchObject({ incoming: 0, outgoing: 0, dialogs: 0 });
});

test("the meta data of a request says where it came from and where it arrived", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer, port } = lab;
  const coming = arrival(srf, "options");
  peer.send(request("OPTIONS"));
  const { req, res } = await coming;
  expect(req).toMatchObject({
    source: "network",
    source_address: "127.0.0.1",
    source_port: peer.port,
    protocol: "udp",
    receivedOn: `127.0.0.1:${port}`,
    server: { address: "127.0.0.1", hostport: `udp/127.0.0.1:${port}` },
    stackDialogId: "",
  });
  expect(req.stackTime).toMatch(/^\d\d:\d\d:\d\d\.\d{6}$/);
  expect(req.raw).toContain(`;rport=${peer.port}`);
  res.send(200, { headers: { allow: "INVITE, ACK", "x-lower": "1", "user-to-user": "2" } });
  const answer = await peer.receive(/^SIP\/2.0 200/);
  expect(answer).toMatch(/\r\nAllow: INVITE, ACK\r\nx-lower: 1\r\nUser-To-User: 2\r\n/);
});

test("the tag an application chooses is the dialog's", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE"));
  const { req, res } = await coming;
  res.send(180, { headers: { To: "tag=mine" } });
  expect(header(await peer.receive(/^SIP\/2.0 180/), "To")).toBe("<sip:a@127.0.0.1>;tag=mine");
  const dialog = await srf.createUAS(req, res, { localSdp: SDP, headers: { To: "tag=other" } });
  const ok = await peer.receive(/^SIP\/2.0 200/);
  expect(header(ok, "To")).toBe("<sip:a@127.0.0.1>;tag=mine");
  expect(dialog.sip.localTag).toBe("mine");
});

test("CANCEL is answered by the daemon and told to the application with its Reason", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE"));
  const { req, res } = await coming;
  res.send(180);
  await peer.receive(/^SIP\/2.0 180/);
  const cancelled = once(req as never, "cancel");
  peer.send(
    request("CANCEL", { headers: 'Reason: SIP;cause=200;text="elsewhere"' }).replace(
      "-CANCEL\n",
      "-INVITE\n",
    ),
  );
  expect(await peer.receive(/CSeq: 1 CANCEL/)).toMatch(/^SIP\/2.0 200/);
  expect(await peer.receive(/^SIP\/2.0 487/)).toContain("CSeq: 1 INVITE");
  const [cancel] = await cancelled;
  expect(cancel.get("Reason")).toBe('SIP;cause=200;text="elsewhere"');
  const late = await new Promise((resolve) => {
    res.send(487, "Request Terminated", {}, resolve);
  });
  expect(late).toBe("Response not sent due to unknown transaction");
});

test("a second final response is refused", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "options");
  peer.send(request("OPTIONS"));
  const { res } = await coming;
  res.send(200);
  Object.assign(res, { finished: false });
  const error = await new Promise((resolve) => {
    res.send(404, "Not Found", {}, resolve);
  });
  expect(error).toBe("Response not sent due to unknown transaction");
});

test.each([
  ["BYE", "481"],
  ["UPDATE", "481"],
  ["PRACK", "481"],
  ["MESSAGE", "503"],
  ["REFER", "503"],
])("%s that belongs to nobody is answered %s", async (method, status) => {
  await using lab = await openTestDaemon();
  lab.peer.send(request(method));
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(`SIP/2.0 ${status}`);
});

test("an unknown method is answered 405 with what is allowed", async () => {
  await using lab = await openTestDaemon();
  lab.peer.send(request("DANCE"));
  const answer = await lab.peer.receive(/^SIP\/2.0 405/);
  expect(header(answer, "Allow")).toContain("INVITE, ACK, BYE");
});

test("a request with a strange To tag gets 481", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  srf.invite((_, res) => res.send(486));
  peer.send(request("INVITE", { to: "<sip:a@127.0.0.1>;tag=gone" }));
  expect(await peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 481/);
});

test("requests in a dialog reach the application that owns it", async () => {
  await using lab = await openTestDaemon();
  await using other = await connectDrachtio(lab.daemon.control);
  const { dialog, to } = await establish(lab);
  other.use("info", (_, res) => res.send(500));
  const info = once(dialog, "info");
  lab.peer.send(request("INFO", { to, cseq: 2, headers: "X-Note: here" }));
  const [req, res] = await info;
  expect(req.get("X-Note")).toBe("here");
  expect(req.stackDialogId).toBe("c1;from-tag=from-c1");
  res.send(200);
  expect(await lab.peer.receive(/CSeq: 2 INFO/)).toMatch(/^SIP\/2.0 200/);
});

test("a re-INVITE is answered in the dialog, and its ACK told", async () => {
  await using lab = await openTestDaemon();
  const { dialog, to } = await establish(lab);
  const modified = once(dialog, "modify");
  const body = SDP.replace("4000", "5000");
  const headers = "Content-Type: application/sdp";
  lab.peer.send(request("INVITE", { to, cseq: 2, body, headers }));
  await lab.peer.receive(/^SIP\/2.0 100[^]*CSeq: 2 INVITE/);
  const [req, res] = await modified;
  expect(req.body).toContain("m=audio 5000");
  const acknowledged = new Promise((resolve) => {
    res.send(200, { body: SDP }, undefined, resolve);
  });
  await lab.peer.receive(/^SIP\/2.0 200[^]*CSeq: 2 INVITE/);
  lab.peer.send(request("ACK", { to, cseq: 2 }));
  expect(await acknowledged).toMatchObject({ method: "ACK" });
});

test("a request older than one already seen is refused", async () => {
  await using lab = await openTestDaemon();
  const { to } = await establish(lab);
  lab.peer.send(request("INFO", { to, cseq: 9 }));
  await lab.peer.receive(/^SIP\/2.0 200[^]*CSeq: 9 INFO/);
  lab.peer.send(request("INFO", { to, cseq: 8 }));
  expect(await lab.peer.receive(/CSeq: 8 INFO/)).toMatch(/^SIP\/2.0 500/);
});

test("REFER in a dialog is answered by the application, which reports with NOTIFY", async () => {
  await using lab = await openTestDaemon();
  const { dialog, to } = await establish(lab);
  const referred = once(dialog, "refer");
  lab.peer.send(request("REFER", { to, cseq: 2, headers: "Refer-To: <sip:x@y?Replaces=a%40b>" }));
  const [req, res] = await referred;
  expect(req.get("Refer-To")).toBe("<sip:x@y?Replaces=a%40b>");
  res.send(202);
  expect(await lab.peer.receive(/CSeq: 2 REFER/)).toMatch(/^SIP\/2.0 202/);
  const reported = dialog.request({
    method: "NOTIFY",
    headers: {
      Event: "Refer",
      "Subscription-State": "terminated;reason=noresource",
      "Content-Type": "message/sipfrag",
    },
    body: "SIP/2.0 200 OK\r\n",
  } as never);
  const notify = await lab.peer.receive(/^NOTIFY/);
  expect(notify).toMatch(/\r\nEvent: Refer\r\n/);
  lab.peer.send(answerOk(notify));
  expect((await reported).status).toBe(200);
  lab.peer.send(request("BYE", { to, cseq: 3 }));
  expect(await lab.peer.receive(/CSeq: 3 BYE/)).toMatch(/^SIP\/2.0 200/);
});

function answerOk(text: string): string {
  const copied = ["Via", "From", "To", "Call-ID", "CSeq"];
  return `SIP/2.0 200 OK\n${copied.map((name) => `${name}: ${header(text, name)}`).join("\n")}\nContent-Length: 0\n\n`;
}

test("a reliable provisional response is repeated until its PRACK, which the application sees", async () => {
  await using lab = await openTestDaemon({ timers: { t1Ms: 20 } });
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  const pracked = arrival(srf, "prack");
  peer.send(request("INVITE", { headers: "Supported: 100rel" }));
  const { res } = await coming;
  res.send(183, { headers: { Require: "100rel" } });
  const progress = await peer.receive(/^SIP\/2.0 183/);
  expect(header(progress, "RSeq")).toBe("1");
  expect(await peer.receive(/^SIP\/2.0 183/)).toBe(progress);
  peer.send(request("PRACK", { to: header(progress, "To"), cseq: 2, headers: "RAck: 1 1 INVITE" }));
  const prack = await pracked;
  expect(prack.req).toMatchObject({ stackDialogId: "c1;from-tag=from-c1" });
  prack.res.send(200);
  expect(await peer.receive(/CSeq: 2 PRACK/)).toMatch(/^SIP\/2.0 200/);
  res.send(486);
  await peer.receive(/^SIP\/2.0 486/);
});

test("100rel towards a caller that does not know it is refused", async () => {
  await using lab = await openTestDaemon();
  const coming = arrival(lab.srf, "invite");
  lab.peer.send(request("INVITE"));
  const { res } = await coming;
  const error = await new Promise((resolve) => {
    res.send(183, "Session Progress", { headers: { Require: "100rel" } }, resolve);
  });
  expect(error).toBe("Remote endpoint does not support 100rel");
  res.send(486);
});

test("an application that leaves without answering leaves no caller waiting", async () => {
  await using lab = await openTestDaemon();
  const coming = arrival(lab.srf, "invite");
  lab.peer.send(request("INVITE"));
  await coming;
  await lab.srf[Symbol.asyncDispose]();
  const answer = await lab.peer.receive(/^SIP\/2.0 480/);
  expect(header(answer, "Reason")).toContain("the application is gone");
});

test("an application that says nothing is answered for in time", async () => {
  await using lab = await openTestDaemon({ timers: { timeoutMs: 100 } });
  lab.srf.use("message", () => {});
  lab.peer.send(request("MESSAGE"));
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6]/)).toMatch(/^SIP\/2.0 480/);
});

test("a 2xx that nobody acknowledges ends in BYE and an explanation", async () => {
  await using lab = await openTestDaemon({ timers: { t1Ms: 20, t2Ms: 40, timeoutMs: 150 } });
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE"));
  const { req, res } = await coming;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const ended = once(dialog, "destroy");
  await peer.receive(/^SIP\/2.0 200/);
  await peer.receive(/^SIP\/2.0 200/);
  const bye = await peer.receive(/^BYE/);
  expect(header(bye, "Reason")).toBe('SIP;cause=200;text="ACK timeout"');
  peer.send(answerOk(bye));
  expect((await ended)[1]).toBe("ACK timeout");
});

test("a call cancelled too late is ended once it is acknowledged", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE"));
  const { req, res } = await coming;
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const to = header(await peer.receive(/^SIP\/2.0 200/), "To");
  peer.send(request("CANCEL").replace("-CANCEL\n", "-INVITE\n"));
  await peer.receive(/CSeq: 1 CANCEL/);
  const ended = once(dialog, "destroy");
  peer.send(request("ACK", { to }));
  peer.send(answerOk(await peer.receive(/^BYE/)));
  expect((await ended)[1]).toBe("CANCEL after 200 OK");
});

test("applications take turns for new requests", async () => {
  await using lab = await openTestDaemon();
  await using other = await connectDrachtio(lab.daemon.control);
  lab.srf.use("options", (_, res) => res.send(200, { headers: { "X-App": "1" } }));
  other.use("options", (_, res) => res.send(200, { headers: { "X-App": "2" } }));
  const seen = [];
  for (const call of ["t1", "t2", "t3", "t4"]) {
    lab.peer.send(request("OPTIONS", { call }));
    seen.push(header(await lab.peer.receive(new RegExp(`Call-ID: ${call}`)), "X-App"));
  }
  expect(seen.toSorted()).toEqual(["1", "1", "2", "2"]);
});

test("a subscription is a dialog in which the application notifies", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "subscribe");
  peer.send(request("SUBSCRIBE", { headers: "Event: presence\nExpires: 60" }));
  const { req, res } = await coming;
  const dialog = await srf.createUAS(req, res, { headers: { Expires: "60" } } as never);
  const accepted = await peer.receive(/^SIP\/2.0 202/);
  expect(header(accepted, "Contact")).toBe(`<sip:127.0.0.1:${lab.port}>`);
  const told = dialog.request({
    method: "NOTIFY",
    headers: { Event: "presence", "Subscription-State": "terminated" },
  } as never);
  peer.send(answerOk(await peer.receive(/^NOTIFY/)));
  await told;
  expect(lab.daemon.load.dialogs).toBe(0);
});

test("UPDATE before the answer reaches the application, which answers it", async () => {
  await using lab = await openTestDaemon();
  const { srf, peer } = lab;
  const coming = arrival(srf, "invite");
  peer.send(request("INVITE"));
  const { req, res } = await coming;
  res.send(183);
  const progress = await peer.receive(/^SIP\/2.0 183/);
  const updated = once(req as never, "update");
  peer.send(request("UPDATE", { to: header(progress, "To"), cseq: 2 }));
  const [update, answer] = await updated;
  expect(update.stackDialogId).toBe("c1;from-tag=from-c1");
  answer.send(200, { body: SDP, headers: { "Content-Type": "application/sdp" } });
  expect(await peer.receive(/CSeq: 2 UPDATE/)).toMatch(/^SIP\/2.0 200/);
  res.send(486);
  expect(await peer.receive(/^SIP\/2.0 486/)).toContain("CSeq: 1 INVITE");
});

test("a request whose dialog headers cannot be read is refused with the reason", async () => {
  await using lab = await openTestDaemon();
  const { to } = await establish(lab);
  const broken = request("INVITE", { to, cseq: 2 }).replace(/^Contact:.*$/m, "Contact: <sip:");
  lab.peer.send(broken);
  expect(await lab.peer.receive(/^SIP\/2.0 [2-6][^]*CSeq: 2 INVITE/)).toMatch(/^SIP\/2.0 400/);
});
