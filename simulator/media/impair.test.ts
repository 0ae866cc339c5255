import { describe, expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { faultPlan } from "../faults.ts";
import { ImpairedPath, type Impairment, randomFrom } from "./impair.ts";
import { connect, openLeg, playPiece, speechLike } from "./testing/leg.ts";

const datagram = (n: number) => Uint8Array.from({ length: 172 }, (_, at) => (at === 0 ? n : 0));

/** Sends `count` packets 20 ms apart; what came out, as number and time. */
async function run(impairment: Impairment, count: number) {
  const clock = manualClock();
  const arrived: { n: number; atMs: number; datagram: Uint8Array }[] = [];
  using path = new ImpairedPath(clock, impairment, (one) =>
    arrived.push({ n: one[0] ?? 0, atMs: clock.now(), datagram: one }),
  );
  for (let n = 0; n < count; n++) {
    path.send(datagram(n & 0xff));
    await clock.advance(20);
  }
  await clock.advance(1_000);
  return { arrived, tally: path.tally, pending: clock.pending };
}

describe("a bad network", () => {
  test("loses the asked share, and the same packets for the same seed", async () => {
    const first = await run({ seed: 7, loss: 0.1 }, 2_000);
    const again = await run({ seed: 7, loss: 0.1 }, 2_000);
    const other = await run({ seed: 8, loss: 0.1 }, 2_000);
    expect(first.tally.lost / 2_000).toBeCloseTo(0.1, 1.5);
    expect(again.arrived).toEqual(first.arrived);
    expect(other.arrived).not.toEqual(first.arrived);
  });

  test("loses in bursts of the asked length", async () => {
    const { arrived, tally } = await run({ seed: 3, loss: 0.1, burst: 4 }, 4_000);
    expect(tally.lost / 4_000).toBeCloseTo(0.1, 1);
    const bursts = arrived.slice(1).filter(({ n }, k) => ((n - (arrived[k]?.n ?? 0)) & 0xff) > 1);
    expect(tally.lost / bursts.length).toBeGreaterThan(3);
    expect(tally.lost / bursts.length).toBeLessThan(5);
  });

  test("delays by at least the delay and at most the jitter more, in order", async () => {
    const { arrived } = await run({ seed: 1, delayMs: 100, jitterMs: 50 }, 200);
    const delays = arrived.map(({ atMs }, n) => atMs - n * 20);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(100);
    expect(Math.max(...delays)).toBeLessThanOrEqual(150);
    expect(new Set(delays.map(Math.round)).size).toBeGreaterThan(20);
    expect(arrived.map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  test("lets packets be overtaken by the next two", async () => {
    const { arrived, tally } = await run({ seed: 5, reorder: 0.1 }, 200);
    expect(tally.reordered).toBeGreaterThan(8);
    expect(arrived.length).toBe(200);
    const overtaken = arrived.filter(({ n }, at) => n < (arrived[at - 1]?.n ?? 0));
    expect(overtaken.length).toBeGreaterThan(5);
  });

  test("sends packets twice and turns bits behind the header", async () => {
    const { arrived, tally } = await run({ seed: 2, duplicate: 0.1, corrupt: 0.1 }, 250);
    expect(arrived.length).toBe(250 + tally.duplicated);
    expect(tally.duplicated).toBeGreaterThan(10);
    const corrupted = arrived.filter(({ datagram: one }) =>
      one.subarray(12).some((octet) => octet),
    );
    expect(corrupted.length).toBeGreaterThanOrEqual(tally.corrupted);
    expect(arrived.every(({ datagram: one }) => one.subarray(1, 12).every((o) => o === 0))).toBe(
      true,
    );
  });

  test("leaves no timer behind and drops what is under way when disposed", async () => {
    const clock = manualClock();
    const arrived: Uint8Array[] = [];
    const path = new ImpairedPath(clock, { seed: 1, delayMs: 100 }, (one) => arrived.push(one));
    path.send(datagram(1));
    path[Symbol.dispose]();
    await clock.advance(1_000);
    expect([arrived.length, clock.pending]).toEqual([0, 0]);
  });

  test("holds no more than a thousand packets", async () => {
    const clock = manualClock();
    using path = new ImpairedPath(clock, { seed: 1, delayMs: 100 }, () => {});
    for (let n = 0; n < 1_010; n++) path.send(datagram(0));
    expect(path.tally).toMatchObject({ delayed: 1_000, lost: 10 });
  });
});

test("random numbers are between 0 and 1 and evenly spread", () => {
  const random = randomFrom(42);
  const drawn = Array.from({ length: 10_000 }, random);
  expect(drawn.every((value) => value >= 0 && value < 1)).toBe(true);
  expect(drawn.reduce((sum, value) => sum + value, 0) / drawn.length).toBeCloseTo(0.5, 1);
});

describe("a leg on a bad network", () => {
  const speech = speechLike(4);

  test.for(["off", "required"] as const)(
    "with SRTP %s the receiver counts what was lost and fills it in",
    async (srtp) => {
      const clock = manualClock();
      await using caller = await openLeg(clock, { srtp });
      await using callee = await openLeg(clock, { srtp });
      connect(caller, callee);
      const tally = callee.impair("in", { seed: 9, loss: 0.05 });
      await playPiece(clock, caller, speech);
      const { received } = callee.statistics();
      expect(tally?.lost).toBeGreaterThan(3);
      expect(received.lost).toBe(tally?.lost);
      expect(received.longestGapMs).toBeGreaterThanOrEqual(20);
      expect(received.quality.r).toBeLessThan(85);
      expect(callee.frames.length).toBe(210);
    },
  );

  test("jitter within the buffer's depth is heard by nobody", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    caller.impair("out", { seed: 4, jitterMs: 40 });
    await playPiece(clock, caller, speech);
    const { received } = callee.statistics();
    expect(received).toMatchObject({ lost: 0, late: 0, concealedMs: 0 });
    expect(received.jitterMs).toBeGreaterThan(5);
  });

  test("wrong bits in SRTP are refused, duplicates are replays, reordering is put right", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock, { srtp: "required" });
    await using callee = await openLeg(clock, { srtp: "required" });
    connect(caller, callee);
    const tally = caller.impair("out", { seed: 6, corrupt: 0.02, duplicate: 0.05, reorder: 0.05 });
    await playPiece(clock, caller, speech);
    caller.impair("out");
    await clock.advance(200);
    const { received } = callee.statistics();
    expect(received.reordered).toBeGreaterThan(3);
    expect(received.rejected.authentication).toBeGreaterThanOrEqual(tally?.corrupted ?? 0);
    expect(received.rejected.authentication).toBeGreaterThan(0);
    expect(received.rejected.replayed + received.rejected.authentication).toBeGreaterThanOrEqual(
      tally?.duplicated ?? 0,
    );
    expect(received.duplicated).toBe(0);
  });

  test("keys get through a fifth of lost packets, each once", async () => {
    const clock = manualClock();
    await using caller = await openLeg(clock);
    await using callee = await openLeg(clock);
    connect(caller, callee);
    caller.impair("out", { seed: 11, loss: 0.2, duplicate: 0.1, reorder: 0.1 });
    const pressing = caller.sendDigits("0123456789");
    await clock.advance(10 * 160 + 200);
    await pressing;
    expect(callee.digits.join("")).toBe("0123456789");
  });

  test("a fault plan impairs and stops legs, and says so in the trace", async () => {
    const clock = manualClock();
    const faults = faultPlan([
      { name: "media.impair", with: { direction: "in", loss: 1, seed: 1 } },
      { name: "media.stop-sending", with: { afterMs: 500 } },
    ]);
    await using caller = await openLeg(clock, { faults });
    await using callee = await openLeg(clock);
    connect(caller, callee);
    await clock.advance(2_000);
    expect(caller.statistics().received.packets).toBe(0);
    expect(callee.statistics().received.packets).toBe(25);
    expect(caller.events.filter(({ type }) => type === "fault")).toEqual([
      { type: "fault", name: "media.impair", detail: { direction: "in", loss: 1, seed: 1 } },
      { type: "fault", name: "media.stop-sending", detail: { afterMs: 500 } },
    ]);
  });

  test("impaired both ways, each direction has its own fate", async () => {
    const clock = manualClock();
    const faults = faultPlan([{ name: "media.impair", with: { loss: 0.3, seed: 1 } }]);
    await using caller = await openLeg(clock, { faults });
    await using callee = await openLeg(clock);
    connect(caller, callee);
    await clock.advance(4_000);
    const lost = [caller, callee].map((leg) => leg.statistics().received.lost);
    expect(Math.min(...lost)).toBeGreaterThan(30);
    expect(lost[0]).not.toBe(lost[1]);
  });
});
