import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { SipResponse } from "./message.ts";
import { endsSession, readSessionExpires, SessionTimer } from "./session-timer.ts";

const response = (value: string) =>
  new SipResponse({ status: 200, headers: { "Session-Expires": value } });

test.each([
  ["1800;refresher=uac", { seconds: 1800, refresher: "uac" }],
  [" 90 ; REFRESHER = UAS ;x=y", { seconds: 90, refresher: "uas" }],
  ["90", { seconds: 90, refresher: undefined }],
  ["soon", undefined],
])("Session-Expires %s is read", (value, session) => {
  expect(readSessionExpires(response(value))).toEqual(session);
});

test("the compact form is read too", () => {
  expect(readSessionExpires(new SipResponse({ status: 200, headers: { x: "90" } }))).toEqual({
    seconds: 90,
    refresher: undefined,
  });
});

test("only a peer that is gone, or knows nothing of the session, ends it by its refusal", () => {
  const ends = [401, 408, 422, 481, 488, 491, 500, 503].filter((status) =>
    endsSession(new SipResponse({ status })),
  );
  expect(ends).toEqual([408, 481]);
});

function start(isRefresher: boolean, seconds: number) {
  const clock = manualClock();
  const log: [string, number][] = [];
  const note = (what: string) => () => void log.push([what, clock.now() / 1_000]);
  const refresh = note("refresh");
  const timer = new SessionTimer({ clock, seconds, isRefresher, refresh, expire: note("expire") });
  return { clock, log, timer };
}

test.each([
  [90, 60],
  [1_800, 1_768],
])("who waits for a refresh of %i s gives up after %i s", async (seconds, patience) => {
  const { clock, log } = start(false, seconds);
  await clock.advance(seconds * 1_000);
  expect(log).toEqual([["expire", patience]]);
});

test("who refreshes does so at half time, and may once more before the peer gives up", async () => {
  const { clock, log, timer } = start(true, 90);
  await clock.advance(46_000);
  timer.refreshLater();
  await clock.advance(10_000);
  timer.refreshLater();
  await clock.advance(34_000);
  expect(log).toEqual([
    ["refresh", 45],
    ["refresh", 53],
    ["expire", 90],
  ]);
  expect(clock.pending).toBe(0);
});

test("a refusal that comes too late for the peer's patience is the last", async () => {
  const { clock, log, timer } = start(true, 90);
  await clock.advance(61_000);
  timer.refreshLater();
  await clock.advance(29_000);
  expect(log.map(([what]) => what)).toEqual(["refresh", "expire"]);
});

test("a refresh that is refused when the session is over starts nothing", async () => {
  const { clock, log, timer } = start(true, 90);
  await clock.advance(45_000);
  timer.cancel();
  timer.refreshLater();
  expect(clock.pending).toBe(0);
  expect(log).toEqual([["refresh", 45]]);
});
