import { once } from "node:events";
import type Srf from "drachtio-srf";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { connectDrachtio } from "./application.ts";
import { type DrachtioDaemonOptions, startDrachtioDaemon } from "./daemon.ts";
import { answer, header, openTestPeer } from "./test-peer.ts";

const SDP =
  "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n";

async function open(options: Partial<DrachtioDaemonOptions> = {}) {
  const daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    ...options,
  });
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  const srf = await connectDrachtio(daemon.control);
  onTestFinished(() => srf[Symbol.asyncDispose]());
  const peer = await openTestPeer();
  onTestFinished(() => peer[Symbol.asyncDispose]());
  return { daemon, srf, peer, port: daemon.contacts[0]?.port ?? 0 };
}

function request(
  method: string,
  { to = "<sip:a@127.0.0.1>", cseq = 1, call = "c1" } = {},
  more = "",
) {
  return `${method} sip:a@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${call}-${cseq}-${method}
Max-Forwards: 70
From: "Bob" <sip:bob@127.0.0.1:{port}>;tag=from1
To: ${to}
Call-ID: ${call}
CSeq: ${cseq} ${method}
Contact: <sip:bob@127.0.0.1:{port}>
${more}Content-Length: 0

`;
}

test("an application answers a call, hears its ACK and its BYE", async () => {
  const { srf, peer, port, daemon } = await open();
  const calls = Promise.withResolvers<{ req: Srf.SrfRequest; dialog: Srf.Dialog }>();
  srf.invite((req, res) => {
    void srf
      .createUAS(req, res, { localSdp: SDP, headers: { "X-Customer-ID": "C-1042" } })
      .then((dialog) => calls.resolve({ req, dialog }));
  });
  peer.send(request("INVITE", {}, "X-Lower-case: é\nUser-to-User: 42;encoding=hex\n"), port);
  expect(await peer.receive(/^SIP\/2.0 100/)).not.toContain(";tag=to");
  const ok = await peer.receive(/^SIP\/2.0 200/);
  expect(header(ok, "Contact")).toBe(`<sip:127.0.0.1:${port}>`);
  expect(header(ok, "Content-Type")).toBe("application/sdp");
  expect(ok).toContain("\r\nX-Customer-ID: C-1042\r\n");

  const { req, dialog } = await calls.promise;
  expect(req.raw).toContain("\r\nX-Lower-case: é\r\nUser-to-User: 42;encoding=hex\r\n");
  expect(dialog.sip.callId).toBe("c1");
  const acknowledged = once(dialog, "ack");
  const ended = once(dialog, "destroy");
  const to = header(ok, "To");
  peer.send(request("ACK", { to }));
  await acknowledged;
  peer.send(request("BYE", { to, cseq: 2 }));
  expect(await peer.receive(/CSeq: 2 BYE/)).toMatch(/^SIP\/2.0 200 OK/);
  await ended;
  expect(daemon.load).toMatchObject({ incoming: 0, outgoing: 0, dialogs: 0 });
});

test("an application calls, is answered, hangs up", async () => {
  const { srf, peer, port, daemon } = await open();
  const calling = srf.createUAC(`sip:a@127.0.0.1:${peer.port}`, {
    localSdp: SDP,
    headers: { From: "sip:x@localhost" },
  });
  const invite = await peer.receive(/^INVITE/);
  expect(header(invite, "From")).toMatch(new RegExp(`^<sip:x@127.0.0.1:${port}>;tag=`));
  peer.send(answer(invite, "100 Trying"), port);
  peer.send(answer(invite, "180 Ringing"), port);
  peer.send(answer(invite, "200 OK", ["Contact: <sip:a@127.0.0.1:{port}>", "", SDP]), port);
  const dialog = await calling;
  const ack = await peer.receive(/^ACK/);
  expect(header(ack, "To")).toContain("tag=peer");
  const ended = new Promise((resolve) => {
    dialog.destroy(undefined, resolve);
  });
  const bye = await peer.receive(/^BYE/);
  peer.send(answer(bye, "200 OK"));
  await ended;
  expect(daemon.load.dialogs).toBe(0);
});
