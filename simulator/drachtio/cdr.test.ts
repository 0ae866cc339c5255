import { once } from "node:events";
import type Srf from "drachtio-srf";
import { expect, test } from "vitest";
import { openTestDaemon, request, SDP, type TestDaemon } from "./testing/daemon.ts";
import { answer, header, openTestPeer } from "./testing/peer.ts";

const kind = (message: { type: string }) => message.type;

/** What an application hears of calls, as `stop network normal-release request`. */
async function recordsOf({ srf, daemon }: TestDaemon) {
  const records: string[] = [];
  srf.on("cdr:attempt", (source, time, message) => {
    expect(time).toMatch(/^\d\d:\d\d:\d\d\.\d{6}$/);
    records.push(`attempt ${source} ${kind(message)}`);
  });
  srf.on("cdr:start", (source, _, role, message) => {
    records.push(`start ${source} ${role} ${kind(message)}`);
  });
  srf.on("cdr:stop", (source, _, reason, message) => {
    records.push(`stop ${source} ${reason} ${kind(message)}`);
  });
  await pinged(srf);
  expect(daemon.load.incoming).toBe(0);
  return records;
}

/** Every route sent before has been taken once an answer to a later message is back. */
async function pinged(srf: Srf) {
  await new Promise((resolve) => {
    const send = srf.request.bind(srf) as unknown as (...args: unknown[]) => void;
    send("tel:1", { method: "OPTIONS" }, resolve);
  });
}

test("a call we answer is recorded from attempt to end", async () => {
  await using lab = await openTestDaemon();
  const records = await recordsOf(lab);
  lab.srf.invite((req, res) => void lab.srf.createUAS(req, res, { localSdp: SDP }));
  lab.peer.send(request("INVITE"));
  const to = header(await lab.peer.receive(/^SIP\/2.0 200/), "To");
  lab.peer.send(request("ACK", { to }));
  lab.peer.send(request("BYE", { to, cseq: 2 }));
  await lab.peer.receive(/CSeq: 2 BYE/);
  await expect
    .poll(() => records)
    .toEqual([
      "attempt network request",
      "start application uas response",
      "stop network normal-release request",
    ]);
});

test("a call we make is recorded from attempt to end", async () => {
  await using lab = await openTestDaemon();
  const records = await recordsOf(lab);
  const calling = lab.srf.createUAC(`sip:a@127.0.0.1:${lab.peer.port}`, { localSdp: SDP });
  const contact = "Contact: <sip:a@127.0.0.1:{port}>";
  lab.peer.send(answer(await lab.peer.receive(/^INVITE/), "200 OK", [contact, "", SDP]));
  const ended = new Promise((resolve, reject) => {
    void calling.then((dialog) => dialog.destroy(undefined, resolve), reject);
  });
  lab.peer.send(answer(await lab.peer.receive(/^BYE/), "200 OK"));
  await ended;
  await expect
    .poll(() => records)
    .toEqual([
      "attempt application request",
      "start network uac response",
      "stop application normal-release request",
    ]);
});

test("a refused and a cancelled call say so", async () => {
  await using lab = await openTestDaemon();
  const records = await recordsOf(lab);
  const ringing = once(lab.srf, "ringing");
  lab.srf.invite((req, res) => {
    if (req.get("Call-ID") === "busy") res.send(486);
    else lab.srf.emit("ringing");
  });
  lab.peer.send(request("INVITE", { call: "busy" }));
  await lab.peer.receive(/^SIP\/2.0 486/);
  lab.peer.send(request("INVITE", { call: "gone" }));
  await ringing;
  lab.peer.send(request("CANCEL", { call: "gone" }).replace("-CANCEL\n", "-INVITE\n"));
  await expect
    .poll(() => records)
    .toEqual([
      "attempt network request",
      "stop application call-rejected response",
      "attempt network request",
      "stop network call-canceled request",
    ]);
});

test("a proxied call has two legs", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  const records = await recordsOf(lab);
  lab.srf.invite((req) => lab.srf.proxyRequest(req, `sip:b@127.0.0.1:${callee.port}`));
  lab.peer.send(request("INVITE"));
  const contact = "Contact: <sip:b@127.0.0.1:{port}>";
  const accepted = answer(await callee.receive(/^INVITE/), "200 OK", [contact]);
  // Repeated for want of an ACK: passed on, and no news.
  for (let time = 0; time < 2; time++) {
    callee.send(accepted);
    await lab.peer.receive(/^SIP\/2.0 200/);
  }
  await expect
    .poll(() => records)
    .toEqual([
      "attempt network request",
      "attempt application request",
      "start application proxy-uas response",
      "start network proxy-uac response",
    ]);
});
