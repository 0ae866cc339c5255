import { beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type IssuedCertificate,
} from "../certificates.ts";
import { systemClock } from "../clock.ts";
import type { SipConnection } from "./connection.ts";
import type { ListenOptions } from "./listener.ts";
import { outgoing, startUdp, tcpPeer } from "./testing/peers.ts";

let authority: CertificateAuthority;
let sbc: IssuedCertificate;
let edge: IssuedCertificate;

beforeAll(async () => {
  authority = await createCertificateAuthority({ clock: systemClock() });
  sbc = await authority.issue({ commonName: "sbc.linecheck.test", hosts: ["sbc.linecheck.test"] });
  edge = await authority.issue({ commonName: "sip.linecheck.test", hosts: ["sip.linecheck.test"] });
});

/** A TLS or WSS listener that asks for a certificate and shows the same one when it dials. */
function secure(own: IssuedCertificate, transport: "tls" | "wss" = "tls"): ListenOptions {
  const ca = authority.certificate;
  return {
    transport,
    host: "127.0.0.1",
    port: 0,
    tls: { ...own, ca, requestCert: true, rejectUnauthorized: false },
    clientTls: { ...own, ca },
  };
}

const resolve = () => ({ host: "127.0.0.1", port: 0 });

test.each(["tls", "wss"] as const)(
  "both ends of a %s connection see each other's certificate",
  async (transport) => {
    const inbound: SipConnection[] = [];
    await using uas = await startUdp({
      listen: [secure(edge, transport)],
      onConnection: (connection) => void inbound.push(connection),
      onRequest: (transaction) => transaction.respond(200),
    });
    await using uac = await startUdp({
      listen: [secure(sbc, transport)],
      resolve: () => ({ ...resolve(), port: uas.port }),
    });
    const request = outgoing("OPTIONS", `sip:sip.linecheck.test;transport=${transport}`);
    const transaction = uac.stack.request(request);
    expect((await transaction.final).via.transport).toBe(transport.toUpperCase());
    const { connection } = await transaction.sent;
    expect(connection.peerCertificate()?.subject.CN).toBe("sip.linecheck.test");
    expect(connection.authorizationError).toBeUndefined();
    expect(connection.servername).toBe("sip.linecheck.test");
    expect(inbound[0]?.peerCertificate()).toMatchObject({
      subject: { CN: "sbc.linecheck.test" },
      subjectaltname: "DNS:sbc.linecheck.test",
    });
    expect(inbound[0]?.authorizationError).toBeUndefined();
    expect(inbound[0]?.servername).toBe("sip.linecheck.test");
  },
);

test("a certificate nobody vouches for is accepted where judged later, with Node's verdict", async () => {
  const other = await createCertificateAuthority({ clock: systemClock(), commonName: "other CA" });
  const stranger = await other.issue({ commonName: "x.test", hosts: ["x.test"] });
  const inbound: SipConnection[] = [];
  await using uas = await startUdp({
    listen: [secure(edge)],
    onConnection: (connection) => void inbound.push(connection),
    onRequest: (transaction) => transaction.respond(403),
  });
  const listen = secure(stranger);
  await using uac = await startUdp({
    listen: [{ ...listen, clientTls: { ...listen.clientTls, ca: authority.certificate } }],
    resolve: () => ({ ...resolve(), port: uas.port }),
  });
  const request = outgoing("OPTIONS", "sip:sip.linecheck.test;transport=tls");
  expect((await uac.stack.request(request).final).status).toBe(403);
  expect(inbound[0]?.authorizationError).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
});

test.each([
  ["of another name", "other.linecheck.test", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ["of an unknown authority", undefined, "SELF_SIGNED_CERT_IN_CHAIN"],
])("a server's certificate %s fails the request with the reason", async (_, servername, code) => {
  await using uas = await startUdp({ listen: [secure(edge)] });
  const listen = secure(sbc);
  const clientTls = servername === undefined ? { ...sbc } : listen.clientTls;
  await using uac = await startUdp({ listen: [{ ...listen, clientTls }] });
  const target = { transport: "tls" as const, host: "127.0.0.1", port: uas.port };
  const request = outgoing("OPTIONS", "sip:sip.linecheck.test");
  const transaction = uac.stack.request(request, {
    target: { ...target, servername: servername ?? "sip.linecheck.test" },
  });
  await expect(transaction.final).rejects.toMatchObject({ code: "SIP_TRANSPORT", cause: { code } });
});

test("a bad server certificate can be accepted and judged by the application", async () => {
  await using uas = await startUdp({ listen: [secure(edge)] });
  const listen = secure(sbc);
  await using uac = await startUdp({
    listen: [{ ...listen, clientTls: { ...sbc, rejectUnauthorized: false } }],
  });
  const connection = await uac.stack.connect({
    transport: "tls",
    host: "127.0.0.1",
    port: uas.port,
    servername: "sip.linecheck.test",
  });
  expect(connection.authorizationError).toBe("SELF_SIGNED_CERT_IN_CHAIN");
});

test("a connection proven for one name is not used for another", async () => {
  await using uas = await startUdp({ listen: [secure(edge)] });
  const listen = secure(sbc);
  await using uac = await startUdp({
    listen: [{ ...listen, clientTls: { ...sbc, rejectUnauthorized: false } }],
  });
  const target = { transport: "tls" as const, host: "127.0.0.1", port: uas.port };
  const a = await uac.stack.connect({ ...target, servername: "a.test" });
  const b = await uac.stack.connect({ ...target, servername: "b.test" });
  expect(b.id).not.toBe(a.id);
  expect(await uac.stack.connect({ ...target, servername: "a.test" })).toBe(a);
});

test("a handshake that never comes is ended and traced", async () => {
  await using uas = await startUdp({
    listen: [secure(edge)],
    limits: { connectTimeoutMs: 50 },
  });
  await using peer = await tcpPeer(uas.port);
  await peer.closed;
  expect(uas.errors()).toEqual(["SIP_TRANSPORT"]);
});
