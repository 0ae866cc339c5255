import { expect, test } from "vitest";
import { manualClock, systemClock } from "../clock.ts";
import { relay } from "./relay.ts";
import type { MediaSession } from "./session.ts";
import { connect, find, openLeg, playPiece, RATE_HZ, speechLike } from "./testing/leg.ts";

test("from RTP to SRTP speech and keys are carried unchanged", async () => {
  const clock = manualClock();
  await using caller = await openLeg(clock);
  await using inside = await openLeg(clock);
  await using outside = await openLeg(clock, { srtp: "required" });
  await using callee = await openLeg(clock, { srtp: "required" });
  connect(caller, inside);
  connect(outside, callee);
  await clock.advance(200);
  using _relay = relay(inside, outside);
  const said = speechLike(5);
  await playPiece(clock, caller, said);
  const pressing = caller.sendDigits("2#");
  await clock.advance(500);
  await pressing;

  expect(find(said, callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
  expect(callee.statistics().received).toMatchObject({ lost: 0, late: 0, longestGapMs: 0 });
  expect(callee.digits.join("")).toBe("2#");
  expect(inside.digits.join("")).toBe("2#");
  expect(outside.events.filter(({ type }) => type === "dtmf")).toEqual([
    { type: "dtmf", direction: "out", digit: "2" },
    { type: "dtmf", direction: "out", digit: "#" },
  ]);
  expect(find(said, outside.said.audio().samples).ncc).toBeGreaterThan(0.999);
});

test.each([{ phasesMs: [3, 7, 11] }, { phasesMs: [10, 10, 10] }])(
  "relays add no delay, whatever their phases ($phasesMs): a jitter buffer is for the ends",
  async ({ phasesMs }) => {
    const clock = manualClock();
    await using legs = new AsyncDisposableStack();
    const open = async () => legs.use(await openLeg(clock));
    const caller = await open();
    const relays: [MediaSession, MediaSession][] = [];
    let before = caller;
    for (const phaseMs of phasesMs) {
      const [near, far] = [await open(), await open()];
      connect(before, near);
      await clock.advance(phaseMs);
      relays.push([near, far]);
      before = far;
    }
    const callee = await open();
    connect(before, callee);
    // Every leg sends its own silence until it is joined with another.
    await clock.advance(200);
    for (const [near, far] of relays) legs.use(relay(near, far));
    await clock.advance(200);
    const sentAtMs = clock.now();
    await playPiece(clock, caller, speechLike(1));
    const heard = callee.heard.audio().samples;
    const onset = heard.findIndex((sample) => Math.abs(sample) > 200);
    const waitedMs = (callee.heard.startedAtMs ?? 0) + (onset / RATE_HZ) * 1_000 - sentAtMs;
    // A frame until it is sent, and the depth of one buffer, give or take half a frame.
    expect(waitedMs).toBeLessThanOrEqual(20 + 60 + 10);
    expect(callee.statistics().received).toMatchObject({ lost: 0, longestGapMs: 0 });
  },
);

test("where the codecs differ the audio is transcoded", async () => {
  const clock = manualClock();
  await using caller = await openLeg(clock, { codecs: ["PCMU"] });
  await using inside = await openLeg(clock);
  await using outside = await openLeg(clock);
  await using callee = await openLeg(clock, { codecs: ["PCMA"] });
  connect(caller, inside);
  connect(outside, callee);
  using _relay = relay(inside, outside);
  const said = speechLike(1);
  await playPiece(clock, caller, said);
  expect(callee.negotiated?.codec).toBe("PCMA");
  expect(find(said, callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
});

test("a prompt on one leg interrupts it, and the relay goes on afterwards", async () => {
  const clock = manualClock();
  await using caller = await openLeg(clock);
  await using inside = await openLeg(clock);
  await using outside = await openLeg(clock);
  await using callee = await openLeg(clock);
  connect(caller, inside);
  connect(outside, callee);
  using _relay = relay(inside, outside);
  const before = new Int16Array(RATE_HZ / 2).fill(1_000);
  const prompt = new Int16Array(RATE_HZ / 2).fill(-2_000);
  await playPiece(clock, caller, before);
  await playPiece(clock, outside, prompt);
  await playPiece(clock, caller, before);
  const heard = callee.heard.audio().samples;
  const level = (value: number) =>
    heard.reduce((count, sample) => count + Number(Math.abs(sample - value) < 100), 0);
  expect(level(1_000)).toBe(8_000);
  expect(level(-2_000)).toBe(4_000);
  expect(outside.statistics().sent.skippedMs).toBeGreaterThan(480);
  expect(callee.statistics().received).toMatchObject({ lost: 0, late: 0, longestGapMs: 0 });
});

test("after it is disposed both legs are silent and usable", async () => {
  const clock = manualClock();
  await using caller = await openLeg(clock);
  await using inside = await openLeg(clock);
  await using outside = await openLeg(clock);
  await using callee = await openLeg(clock);
  connect(caller, inside);
  connect(outside, callee);
  const joined = relay(inside, outside);
  await playPiece(clock, caller, speechLike(0.5));
  joined[Symbol.dispose]();
  const started = callee.heard.durationMs;
  await playPiece(clock, caller, speechLike(0.5));
  const silence = callee.heard.audio().samples.subarray((started + 100) * 8);
  expect(silence.every((sample) => sample === 0)).toBe(true);
  await playPiece(clock, outside, speechLike(0.5));
  expect(find(speechLike(0.5), callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
  expect(callee.statistics().received).toMatchObject({ lost: 0, longestGapMs: 0 });
});

test("a process that stands still for a quarter second leaves no gap, two relays on", async () => {
  const clock = systemClock();
  await using legs = new AsyncDisposableStack();
  const [caller, a, b, c, d, callee] = [
    legs.use(await openLeg(clock)),
    legs.use(await openLeg(clock)),
    legs.use(await openLeg(clock, { srtp: "required" })),
    legs.use(await openLeg(clock, { srtp: "required" })),
    legs.use(await openLeg(clock)),
    legs.use(await openLeg(clock)),
  ];
  connect(caller, a);
  connect(b, c);
  connect(d, callee);
  using _first = relay(a, b);
  using _second = relay(c, d);
  // Without pauses: a buffer that got too deep in the first half second has caught up before.
  const said = Int16Array.from({ length: 4_800 }, (_, n) => 8_000 * Math.sin(n * (0.2 + n / 4e4)));
  await clock.sleep(600);
  const playing = caller.play({ samples: said, rateHz: RATE_HZ });
  await clock.sleep(150);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  await playing;
  await clock.sleep(400);
  expect(find(said, callee.heard.audio().samples).ncc).toBeGreaterThan(0.999);
  expect(callee.statistics().received).toMatchObject({ lost: 0, late: 0, longestGapMs: 0 });
});
