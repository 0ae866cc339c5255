import { beforeAll, expect, test } from "vitest";
import { type ManualClock, manualClock, systemClock } from "../../clock.ts";
import {
  type EdgeCertificates,
  type EdgeLab,
  EVERY_NUMBER,
  issueEdgeCertificates,
  SBC,
  startEdgeLab,
  startOnlineLab,
} from "../testing/edge-lab.ts";

const MINUTE_MS = 60_000;
let certificates: EdgeCertificates;
let start: Date;

beforeAll(async () => {
  start = systemClock().date();
  certificates = await issueEdgeCertificates();
});

/** Moves time by minutes and lets the probes of each be answered. */
async function minutes(clock: ManualClock, lab: EdgeLab, count: number): Promise<void> {
  for (let minute = 0; minute < count; minute += 1) {
    await expect.poll(() => lab.sbc.count("OPTIONS") % 3).toBe(0);
    const before = lab.sbc.count("OPTIONS");
    await clock.advance(MINUTE_MS);
    await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(before + 3);
  }
}

test("after the first valid OPTIONS every region probes, and again each minute", async () => {
  const clock = manualClock({ start });
  await using lab = await startEdgeLab({ certificates, clock });
  const [datacenter] = lab.edge.datacenters;
  if (datacenter !== undefined) await lab.sbc.options(datacenter);
  const probes = [
    await lab.sbc.next("OPTIONS"),
    await lab.sbc.next("OPTIONS"),
    await lab.sbc.next("OPTIONS"),
  ];
  const regions = probes.map(({ request }) => request.from.uri.replace(/:\d+;.*/, ""));
  expect(regions.toSorted()).toEqual([
    "sip:sip-du-a-as.pstnhub.microsoft.com",
    "sip:sip-du-a-eu.pstnhub.microsoft.com",
    "sip:sip-du-a-us.pstnhub.microsoft.com",
  ]);
  await lab.edge.waitForOnline(SBC, { timeoutMs: 5_000 });
  await minutes(clock, lab, 2);
});

test("without the border controller's OPTIONS it is inactive after three minutes", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  const heard: string[] = [];
  lab.edge.onTrunkStatus((fqdn, { overall }) => heard.push(`${fqdn} ${overall}`));
  await minutes(clock, lab, 4);
  expect(lab.edge.trunkStatus(SBC)).toEqual({
    tls: "active",
    ping: "expired",
    overall: "inactive",
    reason: "noRecentPings",
  });
  expect(heard).toEqual(["sbc.linecheck.test inactive"]);
  const [datacenter] = lab.edge.datacenters;
  if (datacenter !== undefined) await lab.sbc.options(datacenter);
  expect(lab.edge.trunkStatus(SBC).overall).toBe("online");
});

test("probes answered with 503 make the trunk inactive, though it still sends OPTIONS", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  lab.sbc.optionsStatus = 503;
  await minutes(clock, lab, 1);
  await expect.poll(() => lab.edge.trunkStatus(SBC).ping).toBe("error");
  expect(lab.edge.trunkStatus(SBC)).toMatchObject({ overall: "inactive", reason: "pingError" });
  expect(lab.edge.findings.at(-1)?.message).toMatch(/^OPTIONS from sip.* got 503$/);
  lab.sbc.optionsStatus = 200;
  await minutes(clock, lab, 1);
  await expect.poll(() => lab.edge.trunkStatus(SBC).overall).toBe("online");
});

test("a probe that nobody answers fails after its time-out", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  lab.sbc.optionsStatus = undefined;
  await minutes(clock, lab, 1);
  await clock.advance(10_000);
  await expect.poll(() => lab.edge.trunkStatus(SBC).ping).toBe("error");
  expect(lab.edge.findings.at(-1)?.message).toContain("no answer within 10000 ms");
});

test("a border controller that is gone fails its probes", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  await lab.sbc[Symbol.asyncDispose]();
  await clock.advance(MINUTE_MS);
  await expect.poll(() => lab.edge.trunkStatus(SBC).ping).toBe("error");
});

test("a disabled trunk is probed no more", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(3);
  lab.resource.setTrunk({ fqdn: SBC, sipSignalingPort: lab.sbc.port, enabled: false });
  await clock.advance(3 * MINUTE_MS);
  expect(lab.sbc.count("OPTIONS")).toBe(3);
});

/** Under the same name, at once and without a word of the border controller. */
function pairAnew({ resource, sbc }: EdgeLab): void {
  resource.update({ trunks: { "SBC.linecheck.test": null }, routes: [] });
  resource.setTrunk({ fqdn: SBC, sipSignalingPort: sbc.port, address: "127.0.0.1" });
  resource.setRoutes([EVERY_NUMBER]);
}

test("a trunk that is deleted and paired anew starts from nothing", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(3);
  const heard: string[] = [];
  lab.edge.onTrunkStatus((fqdn, { overall }) => heard.push(`${fqdn} ${overall}`));
  pairAnew(lab);
  expect(heard).toEqual(["sbc.linecheck.test unknown"]);
  expect(lab.edge.trunkStatus(SBC)).toEqual({
    tls: "unknown",
    ping: "unknown",
    overall: "unknown",
  });
  await clock.advance(2 * MINUTE_MS);
  expect(lab.sbc.count("OPTIONS")).toBe(3);
  const dialled = lab.edge.dial("+18005550150", { from: "+18005550100", correlationId: "c-1" });
  await expect(dialled).rejects.toMatchObject({ name: "PstnRefusal" });
  expect(lab.sbc.count("INVITE")).toBe(0);
  const [datacenter] = lab.edge.datacenters;
  if (datacenter !== undefined) await lab.sbc.options(datacenter);
  await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(6);
  await lab.edge.waitForOnline(SBC, { timeoutMs: 5_000 });
});

test("a probe from before the deletion has no say in the health of the trunk paired anew", async () => {
  const clock = manualClock({ start });
  await using lab = await startOnlineLab({ certificates, clock });
  await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(3);
  lab.sbc.optionsStatus = undefined;
  await minutes(clock, lab, 1);
  pairAnew(lab);
  lab.sbc.optionsStatus = 200;
  const [datacenter] = lab.edge.datacenters;
  if (datacenter !== undefined) await lab.sbc.options(datacenter);
  await lab.edge.waitForOnline(SBC, { timeoutMs: 5_000 });
  await expect.poll(() => lab.sbc.count("OPTIONS")).toBe(9);
  await clock.advance(10_000);
  await expect.poll(() => lab.findings()).toEqual(Array(3).fill("PROBE_FAILED"));
  expect(lab.edge.trunkStatus(SBC).overall).toBe("online");
});

test("waiting for a trunk that stays away says what is known of it", async () => {
  const clock = manualClock({ start });
  await using lab = await startEdgeLab({ certificates, clock });
  const waiting = lab.edge.waitForOnline(SBC, { timeoutMs: 5_000 }).catch(String);
  await clock.advance(5_000);
  expect(await waiting).toBe(
    "Error: trunk sbc.linecheck.test is not online after 5000 ms: status unknown, tls unknown, ping unknown",
  );
});

test("waiting for a trunk can be given up", async () => {
  await using lab = await startEdgeLab({ certificates });
  const giveUp = new AbortController();
  const waiting = lab.edge.waitForOnline(SBC, { timeoutMs: 5_000, signal: giveUp.signal });
  giveUp.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});
