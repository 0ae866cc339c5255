import { afterEach, beforeAll, expect, test } from "vitest";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createKeyPair,
  type IssuedCertificate,
  type KeyPair,
} from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import {
  type DirectRouting,
  type DirectRoutingOptions,
  startDirectRouting,
} from "./direct-routing.ts";
import { ScriptedPeer } from "./edge-peer.ts";
import type { PstnLeg } from "./pstn.ts";
import { createResource } from "./resource.ts";

const SBC = "sbc.linecheck.test";
const GUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

let authority: CertificateAuthority;
let keyPair: KeyPair;
let edgeCertificate: IssuedCertificate;
let sbcCertificate: IssuedCertificate;
const clock = systemClock();
const cleanup = new Set<AsyncDisposable>();

beforeAll(async () => {
  const [keys, leafKeys] = await Promise.all([createKeyPair(), createKeyPair()]);
  keyPair = leafKeys;
  authority = await createCertificateAuthority({ clock, keyPair: keys });
  [edgeCertificate, sbcCertificate] = await Promise.all([
    issue("sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com", "sip3.pstnhub.microsoft.com"),
    issue(SBC),
  ]);
});

afterEach(async () => {
  for (const each of [...cleanup].toReversed()) await each[Symbol.asyncDispose]();
  cleanup.clear();
});

function issue(...hosts: string[]): Promise<IssuedCertificate> {
  return authority.issue({ commonName: hosts[0] ?? "", hosts, keyPair });
}

interface Lab {
  edge: DirectRouting;
  peer: ScriptedPeer;
  legs: PstnLeg[];
}

/** An edge with one paired border controller that has sent its OPTIONS. */
async function lab(options: Partial<DirectRoutingOptions> = {}): Promise<Lab> {
  const trace = openTrace({ clock });
  const names = () => edge.names;
  const party = { clock, trace: trace.as("sbc"), fqdn: SBC, ca: authority.certificate, names };
  const peer = await ScriptedPeer.start({ ...party, certificate: sbcCertificate });
  const resource = createResource({
    name: "linecheck",
    domains: ["linecheck.test"],
    trunks: [{ fqdn: SBC, sipSignalingPort: peer.port, address: "127.0.0.1" }],
    routes: [{ name: "all", numberPattern: String.raw`^\+\d+$`, trunks: [SBC] }],
  });
  const edge = await startDirectRouting({
    clock,
    trace: trace.as("acs"),
    resource,
    certificate: edgeCertificate,
    trustedRoots: [authority.certificate],
    ...options,
  });
  cleanup.add(edge).add(peer);
  const legs: PstnLeg[] = [];
  edge.onIncoming((leg) => legs.push(leg));
  return { edge, peer, legs };
}

async function online(options: Partial<DirectRoutingOptions> = {}): Promise<Lab> {
  const started = await lab(options);
  for (const datacenter of started.edge.datacenters) await started.peer.options(datacenter);
  await started.edge.waitForOnline(SBC, { timeoutMs: 2_000 });
  return started;
}

test("OPTIONS both ways bring a trunk online", async () => {
  const { edge, peer } = await lab();
  const [first] = edge.datacenters;
  const response = first && (await peer.options(first));
  expect(response?.startLine).toBe("SIP/2.0 200 OK");
  expect(response?.get("To")).not.toContain("tag=");
  expect(response?.toString()).toMatch(/\r\nALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n/);
  const probe = await peer.next("OPTIONS");
  expect(probe.request.toString()).toMatch(
    /^OPTIONS sip:sbc\.linecheck\.test:\d+;transport=tls SIP\/2\.0\r\nFROM: <sip:sip-du-a-us\.pstnhub/,
  );
  await edge.waitForOnline(SBC, { timeoutMs: 2_000 });
  expect(edge.trunkStatus(SBC)).toEqual({ tls: "active", ping: "active", overall: "online" });
});

test("an incoming call rings, is answered with media, and hangs up", async () => {
  const { edge, peer, legs } = await online();
  const progress: number[] = [];
  const invited = peer.invite({
    headers: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" },
    onProgress: (status) => progress.push(status),
  });
  await expect.poll(() => legs.length).toBe(1);
  const leg = legs[0];
  expect(leg).toMatchObject({
    direction: "incoming",
    from: "+14255550100",
    to: "+18005550100",
    sipHeaders: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" },
    correlationId: expect.stringMatching(GUID),
  });
  await leg?.answer();
  const { response, call } = await invited;
  expect(progress).toEqual([180]);
  expect(response.get("Contact")).toMatch(
    new RegExp(
      `^<sip:api-du-a-usea\\.pstnhub\\.microsoft\\.com:443;x-i=${leg?.correlationId};x-c=[\\da-f]{32}/s/1/[\\da-f]{32}>$`,
    ),
  );
  expect(response.body.toString()).toMatch(/m=audio \d+ RTP\/SAVP /);
  expect(call?.media.negotiated?.srtp).toBe(true);
  const digit = new Promise<string>((resolve) => leg?.onDigit(resolve));
  await call?.media.sendDigits("7");
  expect(await digit).toBe("7");
  const bye = peer.next("BYE");
  await leg?.hangUp();
  expect((await bye).request.get("Reason")).toBe(
    `Q.850;cause=16;text="${leg?.correlationId};CallEndReasonLocalUserInitiated"`,
  );
  expect(await leg?.ended).toEqual({ by: "local" });
  expect(edge.liveDialogs).toBe(0);
});

test("a caller who hangs up ends the leg with the cause of the Reason header", async () => {
  const { peer, legs } = await online();
  const invited = peer.invite();
  await expect.poll(() => legs.length).toBe(1);
  await legs[0]?.answer();
  const { call } = await invited;
  await call?.bye({ Reason: 'Q.850;cause=16;text="Normal call clearing"' });
  expect(await legs[0]?.ended).toEqual({
    by: "peer",
    q850: { code: 16, message: "Normal call clearing" },
  });
});
