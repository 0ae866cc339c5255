import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { beforeAll, expect, test } from "vitest";
import { createCertificateAuthority, createKeyPair } from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  MICROSOFT,
  SBC,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import type { DatacenterState } from "./datacenter.ts";

const [FIRST = "", SECOND = ""] = MICROSOFT;
const clock = systemClock();
const inDays = (days: number) => new Date(clock.date().getTime() + days * 86_400_000);
let certificates: EdgeCertificates;
let expired: { key: string; cert: string };
let misnamed: { key: string; cert: string };

beforeAll(async () => {
  const [authorityKeys, keyPair] = await Promise.all([createKeyPair(), createKeyPair()]);
  const authority = await createCertificateAuthority({ clock, keyPair: authorityKeys });
  const validity = { notBefore: inDays(-9), notAfter: inDays(-1) };
  const [edge, sbc, old, other] = await Promise.all([
    authority.issue({ commonName: "sip", hosts: MICROSOFT, keyPair }),
    authority.issue({ commonName: SBC, hosts: [SBC], keyPair }),
    authority.issue({ commonName: "sip", hosts: MICROSOFT, keyPair, ...validity }),
    authority.issue({ commonName: "sip", hosts: ["sip.other.test"], keyPair }),
  ]);
  certificates = { ca: authority.certificate, edge, sbc };
  expired = old;
  misnamed = other;
});

/** What an INVITE to the first datacenter meets. */
async function inviteIn(state: DatacenterState): Promise<{ lab: EdgeLab; outcome: unknown }> {
  const lab = await startEdgeLab({ certificates });
  await lab.edge.setDatacenter(FIRST, state);
  const outcome = await lab.sbc.invite().then(
    ({ response }) => response,
    (error: unknown) => error,
  );
  return { lab, outcome };
}

test("a busy datacenter answers 503 with Retry-After: 1", async () => {
  const { lab, outcome } = await inviteIn({ kind: "busy" });
  await using _lab = lab;
  expect(outcome).toMatchObject({ status: 503 });
  expect(String(outcome)).toContain("\r\nRETRY-AFTER: 1\r\n");
  expect(lab.legs).toEqual([]);
});

test("a busy datacenter keeps its calls", async () => {
  await using lab = await startEdgeLab({ certificates });
  const { call } = await connect(lab);
  await lab.edge.setDatacenter(FIRST, { kind: "busy" });
  expect((await call.bye()).status).toBe(200);
});

test("a datacenter that is down refuses the connection and comes back on its port", async () => {
  const { lab, outcome } = await inviteIn({ kind: "down" });
  await using _lab = lab;
  expect(outcome).toMatchObject({ code: "SIP_TRANSPORT", cause: { code: "ECONNREFUSED" } });
  const before = lab.edge.datacenters[0];
  await lab.edge.setDatacenter(FIRST, { kind: "up" });
  expect(lab.edge.datacenters[0]).toEqual(before);
  const { leg } = await connect(lab);
  expect(leg.to).toBe("+18005550100");
});

test("a call outlives its datacenter: requests go out from another one", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { leg, call } = await connect(lab);
  await lab.edge.setDatacenter(FIRST, { kind: "down" });
  const bye = lab.sbc.next("BYE");
  await leg.hangUp();
  const { source, request } = await bye;
  expect(request.get("User-Agent")).toContain("i.EUWE.3");
  expect(source.host).toBe("127.0.0.1");
  expect(call.dialog.id).toContain(request.callId);
});

test("outgoing calls leave from the datacenters that are up", async () => {
  await using lab = await startOnlineLab({ certificates });
  await lab.edge.setDatacenter(FIRST, { kind: "down" });
  const correlationId = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";
  const dialled = lab.edge.dial("+18005550150", { from: "+18005550100", correlationId });
  const invite = await lab.sbc.next("INVITE");
  expect(invite.request.get("From")).toContain(`@${SECOND}:`);
  await lab.sbc.accept(invite);
  await dialled;
});

test("with every datacenter down nothing goes out", async () => {
  await using lab = await startOnlineLab({ certificates });
  for (const { name } of lab.edge.datacenters) {
    await lab.edge.setDatacenter(name, { kind: "down" });
  }
  const correlationId = "3b6a2c1e-0000-4000-8000-5d3c2b1a0f9e";
  const dialled = lab.edge.dial("+18005550150", { from: "+18005550100", correlationId });
  await expect(dialled).rejects.toMatchObject({ name: "PstnRefusal", code: 504 });
});

test("a black hole takes the connection and says nothing", async () => {
  await using lab = await startEdgeLab({ certificates });
  await lab.edge.setDatacenter(FIRST, { kind: "blackhole" });
  const { host = "", port = 0 } = lab.edge.datacenters[0] ?? {};
  const socket = connectTcp({ host, port });
  await once(socket, "connect");
  let heard = 0;
  socket.on("data", (bytes) => {
    heard += bytes.length;
  });
  const closed = once(socket, "close");
  socket.write("\x16\x03\x01\x00\x05hello");
  await lab.edge.setDatacenter(FIRST, { kind: "up" });
  // A reset is an error, and a close all the same.
  await closed.catch(() => {});
  expect(heard).toBe(0);
});

test("a slow datacenter answers late", async () => {
  await using lab = await startEdgeLab({ certificates });
  await lab.edge.setDatacenter(FIRST, { kind: "slow", delayMs: 80 });
  const [datacenter] = lab.edge.datacenters;
  const startedAt = clock.now();
  const response = datacenter && (await lab.sbc.options(datacenter));
  expect(response?.status).toBe(200);
  expect(clock.now() - startedAt).toBeGreaterThanOrEqual(79);
});

test.each([
  ["expired", () => expired, "CERT_HAS_EXPIRED"],
  ["of another name", () => misnamed, "ERR_TLS_CERT_ALTNAME_INVALID"],
])("a datacenter's certificate may be %s", async (_what, certificate, code) => {
  const { lab, outcome } = await inviteIn({ kind: "badCertificate", certificate: certificate() });
  await using _lab = lab;
  expect(outcome).toMatchObject({ code: "SIP_TRANSPORT", cause: { code } });
});

test("each change of state is traced", async () => {
  await using lab = await startEdgeLab({ certificates });
  await lab.edge.setDatacenter(SECOND, { kind: "busy" });
  expect(lab.trace.events).toContainEqual(
    expect.objectContaining({ subject: "datacenter", id: SECOND, from: "up", to: "busy" }),
  );
});

test("an unknown datacenter is named together with the known ones", async () => {
  await using lab = await startEdgeLab({ certificates });
  await expect(lab.edge.setDatacenter("sip4", { kind: "up" })).rejects.toThrow(
    `expected a datacenter of ${MICROSOFT.slice(0, 3).join(", ")}, got sip4`,
  );
});

test("the name table holds every name that our messages use", async () => {
  await using lab = await startEdgeLab({ certificates });
  expect(lab.edge.names.map(({ name }) => name)).toEqual([
    "sip.pstnhub.microsoft.com",
    "api-du-a-usea.pstnhub.microsoft.com",
    "sip2.pstnhub.microsoft.com",
    "api-du-a-euwe.pstnhub.microsoft.com",
    "sip3.pstnhub.microsoft.com",
    "api-du-a-asea.pstnhub.microsoft.com",
  ]);
});
