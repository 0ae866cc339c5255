import { beforeEach, expect, test } from "vitest";
import { type ManualClock, manualClock } from "../clock.ts";
import { openTrace, type Trace } from "../trace.ts";
import { TrunkHealth } from "./trunk-health.ts";

const SBC = "sbc.linecheck.test";
const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;

let clock: ManualClock;
let trace: Trace;
let health: TrunkHealth;

beforeEach(() => {
  clock = manualClock();
  trace = openTrace({ clock });
  const policy = { healthyForMs: 3 * MINUTE_MS, certificateWarningMs: 30 * DAY_MS };
  health = new TrunkHealth({ clock, trace: trace.as("acs"), policy });
});

const inDays = (days: number) => new Date(clock.date().getTime() + days * DAY_MS);

function bringOnline(days = 365) {
  health.certificateSeen(SBC, inDays(days));
  health.pingReceived(SBC, "sip");
  health.probeEnded(SBC, "sip", true);
}

test("a trunk nobody heard of is unknown", () => {
  expect(health.status(SBC)).toEqual({ tls: "unknown", ping: "unknown", overall: "unknown" });
  expect(health.wasSeen(SBC)).toBe(false);
});

test("online takes a certificate, an OPTIONS received and one answered", () => {
  health.certificateSeen(SBC, inDays(365));
  health.pingReceived(SBC, "sip");
  expect(health.status(SBC)).toEqual({ tls: "active", ping: "unknown", overall: "unknown" });
  health.probeEnded(SBC, "sip", true);
  expect(health.status(SBC)).toEqual({ tls: "active", ping: "active", overall: "online" });
  expect(health.status("SBC.linecheck.test").overall).toBe("online");
});

test("each change of the overall status is traced once", () => {
  bringOnline();
  bringOnline();
  const moves = trace.events.filter((event) => event.type === "state" && event.to === "online");
  expect(moves).toHaveLength(1);
  expect(moves[0]).toMatchObject({ subject: "trunk", id: SBC, from: "unknown" });
});

test("without OPTIONS for three minutes a trunk is inactive", async () => {
  bringOnline();
  await clock.advance(3 * MINUTE_MS + 1);
  expect(health.status(SBC)).toEqual({
    tls: "active",
    ping: "expired",
    overall: "inactive",
    reason: "noRecentPings",
  });
});

test("a probe that failed everywhere makes the trunk inactive", () => {
  bringOnline();
  health.probeEnded(SBC, "sip", false);
  expect(health.status(SBC)).toMatchObject({ ping: "error", overall: "inactive" });
  health.probeEnded(SBC, "sip2", true);
  expect(health.status(SBC)).toMatchObject({ ping: "active", overall: "online" });
});

test("each datacenter has its own view", () => {
  bringOnline();
  expect(health.isHealthyAt(SBC, "sip")).toBe(true);
  expect(health.isHealthyAt(SBC, "sip2")).toBe(false);
});

test("a certificate that ends within 30 days is expiring, and then has expired", async () => {
  bringOnline(20);
  expect(health.status(SBC)).toEqual({ tls: "certExpiring", ping: "active", overall: "online" });
  await clock.advance(20 * DAY_MS);
  health.pingReceived(SBC, "sip");
  expect(health.status(SBC)).toMatchObject({ tls: "certExpired", overall: "inactive" });
});

test("listeners hear of a change that time alone brought", async () => {
  bringOnline();
  const heard: string[] = [];
  const stop = health.onChange((_fqdn, status) => heard.push(status.overall));
  await clock.advance(4 * MINUTE_MS);
  health.refresh(SBC);
  stop();
  health.pingReceived(SBC, "sip");
  expect(heard).toEqual(["inactive"]);
});
