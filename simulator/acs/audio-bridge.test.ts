import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { manualClock, systemClock } from "../clock.ts";
import { AudioBridge, type BridgeFrame } from "./audio-bridge.ts";
import { MemoryLeg } from "./testing/gateway.ts";

const LEG = { direction: "incoming", from: "+1", to: "+2", correlationId: "c" } as const;
const frame = (value: number, length = 160) => new Int16Array(length).fill(value);

function setUp(...names: string[]) {
  const clock = manualClock();
  const drops: string[] = [];
  const onDrop = (where: string, droppedMs: number) => drops.push(`${where} ${droppedMs}`);
  const bridge = new AudioBridge({ clock, limitMs: 1000, onDrop });
  const legs = names.map((name) => new MemoryLeg(name, LEG));
  for (const leg of legs) bridge.attach(leg.id, leg);
  const [a, b, c] = legs;
  if (a === undefined) throw new Error("a leg is needed");
  return { clock, bridge, drops, a, b: b ?? a, c: c ?? a };
}

const levels = (leg: MemoryLeg) => leg.written.map(({ samples }) => samples[0]);

test("with one leg and one source audio passes straight through, at its own rate", () => {
  const { bridge, a, clock } = setUp("a");
  using source = bridge.open();
  const heard: BridgeFrame[] = [];
  bridge.onMixed((mixed) => heard.push(mixed));
  source.write(frame(7, 4800), 24_000);
  a.speak(frame(5), 42);
  expect(a.written).toEqual([{ samples: frame(7, 4800), rateHz: 24_000 }]);
  expect(heard).toEqual([{ samples: frame(5), atMs: 42 }]);
  expect(source.queuedMs).toBe(200);
  expect(clock.pending).toBe(0);
});

test("three legs hear the sum of the other two and never themselves", async () => {
  const { bridge, clock, a, b, c } = setUp("a", "b", "c");
  a.speak(frame(100));
  b.speak(frame(20));
  c.speak(frame(3));
  await clock.advance(20);
  expect([levels(a), levels(b), levels(c)]).toEqual([[23], [103], [120]]);
  bridge[Symbol.dispose]();
  expect(clock.pending).toBe(0);
});

test("the sum saturates instead of wrapping", async () => {
  const { bridge, clock, a, b, c } = setUp("a", "b", "c");
  a.speak(frame(30_000));
  b.speak(frame(30_000));
  await clock.advance(20);
  expect(levels(c)).toEqual([32_767]);
  bridge[Symbol.dispose]();
});

test("a source for one leg is heard by that leg alone, even on hold", async () => {
  const { bridge, clock, a, b } = setUp("a", "b");
  using source = bridge.open(["a"]);
  bridge.set("a", { isHeld: true });
  source.write(frame(9, 320), 8000);
  b.speak(frame(50));
  a.speak(frame(60));
  await clock.advance(20);
  expect(levels(a)).toEqual([9]);
  expect(levels(b)).toEqual([0]);
  bridge[Symbol.dispose]();
});

test("a muted leg is heard as silence", async () => {
  const { bridge, clock, a, b } = setUp("a", "b");
  bridge.set("a", { isMuted: true });
  a.speak(frame(60));
  await clock.advance(20);
  expect(levels(b)).toEqual([0]);
  bridge[Symbol.dispose]();
});

test("what waits for the mixer goes on directly when the second leg leaves", async () => {
  const { bridge, clock, a } = setUp("a", "b");
  using source = bridge.open();
  source.write(frame(8, 480), 8000);
  await clock.advance(20);
  bridge.detach("b");
  expect(a.written.map(({ samples }) => samples.length)).toEqual([160, 320]);
  expect(clock.pending).toBe(0);
});

/** What a leg still has to play. */
function played(leg: MemoryLeg): number[] {
  return leg.written.map(({ samples }) => samples[0] ?? 0);
}

test("what waits in the leg is mixed from the moment a second leg joins", async () => {
  const { bridge, clock, a } = setUp("a");
  using source = bridge.open();
  source.write(frame(1, 4800), 24_000); // 200 ms; half of them will have been heard.
  source.write(frame(2, 800), 8000);
  a.queuedMs -= 100;
  const b = new MemoryLeg("b", LEG);
  bridge.attach("b", b);
  expect(source.queuedMs).toBe(200);
  expect(a.queuedMs).toBeLessThanOrEqual(40);
  a.written.length = 0;
  for (let n = 0; n < 5; n++) await clock.advance(20);
  b.speak(frame(300));
  for (let n = 0; n < 5; n++) await clock.advance(20);
  expect(played(a)).toContain(302);
  expect([played(b).includes(1), played(b).includes(2)]).toEqual([true, true]);
  expect(source.queuedMs - Math.max(a.queuedMs, b.queuedMs)).toBe(0);
  bridge[Symbol.dispose]();
});

test("flush after a second leg joined drops what had been waiting in the first", () => {
  const { bridge, a } = setUp("a");
  using source = bridge.open();
  source.write(frame(2, 1600), 8000);
  bridge.attach("b", new MemoryLeg("b", LEG));
  expect(source.flush() + a.queuedMs).toBe(200);
  expect(a.queuedMs).toBeLessThanOrEqual(40);
  bridge[Symbol.dispose]();
});

test("what waits in a leg and belongs to no source any more is dropped and told", () => {
  const { bridge, drops, a } = setUp("a");
  const source = bridge.open();
  source.write(frame(2, 1600), 8000);
  source[Symbol.dispose]();
  bridge.attach("b", new MemoryLeg("b", LEG));
  expect(a.queuedMs).toBe(0);
  expect(drops).toEqual(["play-out queue 200"]);
  bridge[Symbol.dispose]();
});

test("a leg on hold misses what is said meanwhile, and does not hear it afterwards", async () => {
  const { bridge, clock, a } = setUp("a");
  using source = bridge.open();
  bridge.set("a", { isHeld: true });
  source.write(frame(5, 800), 8000);
  for (let n = 0; n < 10; n++) await clock.advance(20);
  bridge.set("a", { isHeld: false });
  source.write(frame(6, 160), 8000);
  expect(played(a)).toEqual([6]);
  expect(clock.pending).toBe(0);
});

test("flush drops what waits, in the mixer as in the leg", async () => {
  const { bridge, a } = setUp("a", "b");
  using source = bridge.open();
  source.write(frame(8, 800), 8000);
  expect(source.flush()).toBe(100);
  bridge.detach("b");
  source.write(frame(8, 800), 8000);
  expect(source.flush()).toBe(100);
  expect(a.queuedMs).toBe(0);
});

test("audio beyond the limit is dropped and counted", () => {
  const { bridge, drops } = setUp("a");
  using source = bridge.open();
  source.write(frame(1, 7200), 8000);
  source.write(frame(1, 1600), 8000);
  expect([source.queuedMs, source.overflowMs]).toEqual([900, 200]);
  expect(drops).toEqual(["play-out queue 200"]);
});

test("frames beyond half a second that wait for the mixer are dropped, oldest first, and told", async () => {
  const { bridge, clock, drops, a, b } = setUp("a", "b");
  for (let value = 1; value <= 27; value++) a.speak(frame(value));
  await clock.advance(20);
  expect(levels(b)).toEqual([3]);
  expect(drops).toEqual(["party queue 20", "party queue 20"]);
  bridge[Symbol.dispose]();
});

test.each([1, 2])("nothing is lost when the process stands still, with %i legs", async (count) => {
  const clock = systemClock();
  const drops: number[] = [];
  const onDrop = (_where: string, droppedMs: number) => drops.push(droppedMs);
  const bridge = new AudioBridge({ clock, limitMs: 10_000, onDrop });
  const ear = new MemoryLeg("ear", LEG);
  const mouth = new MemoryLeg("mouth", LEG);
  bridge.attach("ear", ear);
  if (count === 2) bridge.attach("mouth", mouth);
  using source = bridge.open();
  const total = 60;
  let said = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const speaking = clock.every(10, () => {
    if (said === 20) standStill(150);
    if (said < total) source.write(frame(++said, 80), 8000);
    if (ear.written.some(({ samples }) => samples.includes(total))) resolve();
  });
  await done;
  await clock.sleep(100);
  speaking.cancel();
  bridge[Symbol.dispose]();
  const heard = ear.written.flatMap(({ samples }) => [...samples].filter((sample) => sample !== 0));
  const expected = Array.from({ length: total }, (_, n) => Array.from(frame(n + 1, 80))).flat();
  expect(heard).toEqual(expected);
  expect(drops).toEqual([]);
});

test("a listener hears the sources it asks for besides the participants", async () => {
  const { bridge, clock, a } = setUp("a", "b");
  using own = bridge.open(undefined, "bot");
  using other = bridge.open(undefined, "second bot");
  const heard: number[] = [];
  bridge.onMixed(
    ({ samples }) => heard.push(samples[0] ?? -1),
    (source) => source !== own,
  );
  own.write(frame(1, 320), 8000);
  other.write(frame(20, 320), 8000);
  a.speak(frame(300));
  await clock.advance(20);
  expect(heard).toEqual([320]);
  bridge[Symbol.dispose]();
});

/** A stall of the whole process, as a busy machine makes it. */
function standStill(durationMs: number): void {
  const until = performance.now() + durationMs;
  while (performance.now() < until);
}
