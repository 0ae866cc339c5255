import { once } from "node:events";
import Srf from "drachtio-srf";
import { expect, onTestFinished, test } from "vitest";
import { createCertificateAuthority } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { connectDrachtio } from "./application.ts";
import { type DrachtioDaemonOptions, startDrachtioDaemon } from "./daemon.ts";
import { openTestDaemon, request, SDP } from "./testing/daemon.ts";
import { answer, header, openTestPeer } from "./testing/peer.ts";

async function openDaemon(options: Partial<DrachtioDaemonOptions>) {
  const daemon = await startDrachtioDaemon({
    clock: systemClock(),
    trace: silentTrace,
    contacts: [{ transport: "udp", host: "127.0.0.1", port: 0 }],
    ...options,
  });
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  const srf = await connectDrachtio(daemon.control);
  onTestFinished(() => srf[Symbol.asyncDispose]());
  return { daemon, srf };
}

test("daemons meet over TLS, each showing its certificate", async () => {
  const clock = systemClock();
  const authority = await createCertificateAuthority({ clock });
  const certified = async (name: string) => ({
    ...(await authority.issue({ commonName: name, hosts: [name, "127.0.0.1"] })),
    ca: authority.certificate,
  });
  const [ours, theirs] = [await certified("sbc.linecheck.test"), await certified("edge.test")];
  const edge = await openDaemon({
    contacts: [
      {
        transport: "tls",
        host: "127.0.0.1",
        port: 0,
        tls: { ...theirs, requestCert: true, rejectUnauthorized: true },
      },
    ],
  });
  const port = edge.daemon.contacts[0]?.port ?? 0;
  const sbc = await openDaemon({
    contacts: [{ transport: "tls", host: "127.0.0.1", port: 0, tls: ours, clientTls: ours }],
    resolve: (name) => (name === "edge.test" ? { host: "127.0.0.1", port } : undefined),
  });
  const seen = new Promise<{ protocol: string; contact: string }>((resolve) => {
    edge.srf.invite((req, res) => {
      resolve({ protocol: req.protocol, contact: req.get("Contact") });
      res.send(486);
    });
  });
  const headers = { Contact: "<sip:sbc.linecheck.test:5061;transport=tls>" };
  const calling = sbc.srf.createUAC("sip:+1800@edge.test;transport=tls", {
    localSdp: SDP,
    headers,
  });
  await expect(calling).rejects.toMatchObject({ status: 486 });
  expect(await seen).toEqual({ protocol: "tls", contact: headers.Contact });
});

test("an application may connect with TLS", async () => {
  const authority = await createCertificateAuthority({ clock: systemClock() });
  const tls = await authority.issue({ commonName: "daemon", hosts: ["127.0.0.1"] });
  await using lab = await openTestDaemon({ control: { tls: { ...tls, port: 0 } } });
  const { host, tlsPort, secret } = lab.daemon.control;
  const srf = new Srf();
  srf.use("options", (_, res) => res.send(200));
  const connected = once(srf, "connect");
  void srf.connect({ host, port: tlsPort, secret, tls: { ca: authority.certificate } } as never);
  await connected;
  lab.peer.send(request("OPTIONS"));
  expect(await lab.peer.receive(/^SIP\/2.0/)).toMatch(/^SIP\/2.0 200/);
  srf.disconnect();
});

test("a back-to-back user agent connects two legs and both hang up", async () => {
  await using lab = await openTestDaemon();
  await using callee = await openTestPeer({ peer: lab.port });
  const { srf, peer } = lab;
  const bridged = new Promise<{ uas: Srf.Dialog; uac: Srf.Dialog }>((resolve, reject) => {
    srf.invite((req, res) => {
      srf
        .createB2BUA(req, res, `sip:b@127.0.0.1:${callee.port}`, {
          proxyRequestHeaders: ["X-Customer-ID"],
          proxyResponseHeaders: ["X-Desk"],
        })
        .then(resolve, reject);
    });
  });
  const headers = "Content-Type: application/sdp\nX-Customer-ID: C-1042";
  peer.send(request("INVITE", { body: SDP, headers }));
  const onward = await callee.receive(/^INVITE/);
  expect(header(onward, "X-Customer-ID")).toBe("C-1042");
  expect(onward.endsWith(SDP)).toBe(true);
  callee.send(answer(onward, "183 Session Progress", ["X-Desk: 7", "", SDP]));
  expect(await peer.receive(/^SIP\/2.0 183/)).toContain("m=audio 4000");
  const contact = "Contact: <sip:b@127.0.0.1:{port}>";
  callee.send(answer(onward, "200 OK", [contact, "X-Desk: 8", "", SDP]));
  const ok = await peer.receive(/^SIP\/2.0 200/);
  expect(header(ok, "X-Desk")).toBe("8");
  await callee.receive(/^ACK/);
  const { uas, uac } = await bridged;
  peer.send(request("ACK", { to: header(ok, "To") }));
  uas.on("destroy", () => uac.destroy());
  peer.send(request("BYE", { to: header(ok, "To"), cseq: 2 }));
  callee.send(answer(await callee.receive(/^BYE/), "200 OK"));
  await expect.poll(() => lab.daemon.load.dialogs).toBe(0);
});

test("IPv6 is spoken as well", async () => {
  const { daemon, srf } = await openDaemon({
    contacts: [{ transport: "udp", host: "::1", port: 0 }],
  });
  const other = await openDaemon({ contacts: [{ transport: "udp", host: "::1", port: 0 }] });
  const seen = new Promise<string>((resolve) => {
    srf.invite((req, res) => {
      resolve(req.source_address);
      void srf.createUAS(req, res, { localSdp: SDP });
    });
  });
  const port = daemon.contacts[0]?.port;
  expect(srf.hostPorts).toEqual([`udp/[::1]:${port}`]);
  const dialog = await other.srf.createUAC(`sip:a@[::1]:${port}`, { localSdp: SDP });
  expect(await seen).toBe("::1");
  expect(dialog.remote.uri).toBe(`sip:[::1]:${port}`);
  await new Promise((resolve) => {
    dialog.destroy(undefined, resolve);
  });
  expect(daemon.load.dialogs).toBe(0);
});

test("an INVITE over TCP is answered on its connection", async () => {
  const { daemon, srf } = await openDaemon({
    contacts: [
      { transport: "udp", host: "127.0.0.1", port: 0 },
      { transport: "tcp", host: "127.0.0.1", port: 0 },
    ],
  });
  const other = await openDaemon({ contacts: [{ transport: "tcp", host: "127.0.0.1", port: 0 }] });
  srf.invite((req, res) => {
    void srf.createUAS(req, res, { localSdp: SDP }).then((dialog) => dialog.on("ack", () => {}));
  });
  const { port } = daemon.contacts[1] ?? {};
  const dialog = await other.srf.createUAC(`sip:a@127.0.0.1:${port};transport=tcp`, {
    localSdp: SDP,
  });
  expect(dialog.remote.uri).toBe(`sip:127.0.0.1:${port};transport=tcp`);
  await new Promise((resolve) => {
    dialog.destroy(undefined, resolve);
  });
  expect(daemon.load.dialogs).toBe(0);
});

test("an application that pings is answered and stays", async () => {
  await using lab = await openTestDaemon();
  const srf = new Srf(["t1", "t2"]);
  const connected = once(srf, "connect");
  void srf.connect({ ...lab.daemon.control, enablePing: true, pingInterval: 5_000 } as never);
  const [error, hostPorts] = await connected;
  srf.disconnect();
  expect([error, hostPorts]).toEqual([null, `udp/127.0.0.1:${lab.port}`]);
});

test("disposing twice is fine and leaves nothing", async () => {
  const lab = await openTestDaemon();
  lab.srf.invite(() => {});
  lab.peer.send(request("INVITE"));
  await lab.peer.receive(/^SIP\/2.0 100/);
  await lab[Symbol.asyncDispose]();
  await lab.daemon[Symbol.asyncDispose]();
  expect(lab.daemon.load).toMatchObject({ incoming: 0, transactions: 0 });
});
