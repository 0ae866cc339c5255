import { describe, expect, test } from "vitest";
import { estimateQuality, GapMeter, SequenceStatistics } from "./statistics.ts";

function packet(sequence: number, ssrc = 1) {
  const numbers = { sequence: sequence & 0xffff, timestamp: (sequence * 160) >>> 0, ssrc };
  return { payloadType: 0, marker: false, payload: new Uint8Array(160), ...numbers };
}

function receive(statistics: SequenceStatistics, sequences: readonly number[]): string[] {
  return sequences.map((sequence) => statistics.receive(packet(sequence), sequence * 20));
}

describe("sequence numbers", () => {
  test("a stream in order loses nothing", () => {
    const statistics = new SequenceStatistics();
    receive(statistics, [65_534, 65_535, 65_536, 65_537]);
    expect(statistics).toMatchObject({
      packets: 4,
      octets: 640,
      lost: 0,
      expected: 4,
      duplicated: 0,
      reordered: 0,
      jitterMs: 0,
    });
  });

  test("gaps are losses until the straggler comes", () => {
    const statistics = new SequenceStatistics();
    receive(statistics, [10, 11, 14]);
    expect(statistics.lost).toBe(2);
    receive(statistics, [12]);
    expect(statistics).toMatchObject({ lost: 1, reordered: 1, expected: 5 });
  });

  test("a duplicate is no packet more", () => {
    const statistics = new SequenceStatistics();
    expect(receive(statistics, [10, 11, 11, 10])).toEqual([
      "restart",
      "new",
      "duplicate",
      "duplicate",
    ]);
    expect(statistics).toMatchObject({ packets: 4, duplicated: 2, lost: 0, expected: 2 });
  });

  test("a packet from before the first one is counted, not feared", () => {
    const statistics = new SequenceStatistics();
    expect(receive(statistics, [0, -1])).toEqual(["restart", "new"]);
    expect(statistics.lost).toBe(0);
  });

  test("another source, or a leap, starts a new count and keeps the losses so far", () => {
    const statistics = new SequenceStatistics();
    receive(statistics, [10, 12]);
    expect(statistics.receive(packet(40_000), 0)).toBe("restart");
    expect(statistics.receive(packet(7, 2), 20)).toBe("restart");
    expect(statistics).toMatchObject({ packets: 4, lost: 1, expected: 5 });
  });

  test("jitter follows RFC 3550 A.8: a sixteenth of the difference, each time", () => {
    const statistics = new SequenceStatistics();
    statistics.receive(packet(0), 0);
    statistics.receive(packet(1), 36);
    expect(statistics.jitterMs).toBe(1);
    statistics.receive(packet(2), 56);
    expect(statistics.jitterMs).toBe(0.94);
  });

  test("the highest number counts cycles from the first packet on", () => {
    const statistics = new SequenceStatistics();
    statistics.receive(packet(0xfffe), 0);
    expect(statistics.highest).toBe(0xfffe);
    for (let step = 1; step < 5; step++) statistics.receive(packet((0xfffe + step) & 0xffff), 0);
    expect(statistics.highest).toBe(0x1_0002);
  });

  test("events, which share a timestamp, are not read as jitter", () => {
    const statistics = new SequenceStatistics();
    statistics.receive(packet(0), 0);
    statistics.receive({ ...packet(1), timestamp: 0 }, 20, false);
    statistics.receive(packet(2), 40);
    expect(statistics.jitterMs).toBe(0);
  });
});

test("a gap counts when audio comes again, and not when the stream is paused", () => {
  const gaps = new GapMeter();
  for (const concealed of [false, true, true, false, true, false]) gaps.frame(concealed, 20);
  expect(gaps).toMatchObject({ longestMs: 40, concealedMs: 60 });
  for (let frame = 0; frame < 10; frame++) gaps.frame(true, 20);
  gaps.pause();
  gaps.frame(false, 20);
  expect(gaps).toMatchObject({ longestMs: 40, concealedMs: 60 });
});

describe("the quality estimate", () => {
  test.for([
    [0, 0, 93.2, 4.41],
    [0, 100, 90.8, 4.36],
    [0.05, 100, 75.02, 3.82],
    [0.2, 100, 48.67, 2.51],
    [0, 400, 59.1, 3.05],
    [1, 1_000, 0, 1],
  ] as const)("at a loss of %d and %d ms is R %d, MOS %d", ([loss, delayMs, r, mos]) => {
    expect(estimateQuality(loss, delayMs)).toMatchObject({ r, mos });
  });

  test("names its formula and calls itself an estimate", () => {
    expect(estimateQuality(0, 0).formula).toMatch(/estimate.*G\.107/);
  });
});
