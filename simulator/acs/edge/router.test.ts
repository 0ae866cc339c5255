import { beforeAll, expect, test } from "vitest";
import { createCertificateAuthority, createKeyPair } from "../../certificates.ts";
import { systemClock } from "../../clock.ts";
import {
  connect,
  type EdgeCertificates,
  type EdgeLab,
  issueEdgeCertificates,
  SBC,
  startOnlineLab,
} from "../testing/edge-lab.ts";
import { type SbcCall, ScriptedSbc } from "../testing/scripted-sbc.ts";

const clock = systemClock();
let certificates: EdgeCertificates;
let stranger: { key: string; cert: string };

beforeAll(async () => {
  certificates = await issueEdgeCertificates(clock);
  const keyPair = await createKeyPair();
  const authority = await createCertificateAuthority({ clock, keyPair, commonName: "other" });
  stranger = await authority.issue({ commonName: SBC, hosts: [SBC], keyPair });
});

/** Another machine of the same name, so that its requests come on connections of their own. */
function startTwin(lab: EdgeLab, certificate: { key: string; cert: string }) {
  const { ca } = certificates;
  const trace = lab.trace.as("sbc");
  return ScriptedSbc.start({ clock, trace, fqdn: SBC, certificate, ca, names: () => [] });
}

async function sendFrom(twin: ScriptedSbc, lab: EdgeLab, call: SbcCall, contact?: string) {
  const { request } = call.dialog.request("OPTIONS", {});
  if (contact !== undefined) request.set("Contact", contact);
  const [datacenter] = lab.edge.datacenters;
  if (datacenter === undefined) throw new Error("the edge has no datacenter");
  const { name: servername, host, port } = datacenter;
  const target = { transport: "tls" as const, host, port, servername };
  const { status } = await twin.stack.request(request, { target }).final;
  return status;
}

test("a request inside a dialog that opens a connection has its certificate judged", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { call } = await connect(lab);
  await using forged = await startTwin(lab, stranger);
  expect(await sendFrom(forged, lab, call)).toBe(403);
  expect(await sendFrom(forged, lab, call)).toBe(403);
  expect(lab.findings()).toEqual(["REQUEST_REFUSED", "REQUEST_REFUSED"]);
  expect(lab.edge.liveDialogs).toBe(1);
});

test("a good certificate is judged by the name in Contact, once for a connection", async () => {
  await using lab = await startOnlineLab({ certificates });
  const { call } = await connect(lab);
  await using twin = await startTwin(lab, certificates.sbc);
  expect(await sendFrom(twin, lab, call, "<sip:192.0.2.7:5061;transport=tls>")).toBe(403);
  expect(await sendFrom(twin, lab, call, "<sip:pbx.linecheck.test;transport=tls>")).toBe(403);
  expect(await sendFrom(twin, lab, call)).toBe(200);
  expect(await sendFrom(twin, lab, call, "<sip:192.0.2.7:5061;transport=tls>")).toBe(200);
});
