import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { Conversation } from "./conversation.ts";
import { identifierOf } from "./identity.ts";
import { Recorder } from "./recording.ts";
import { MemoryLeg } from "./testing/gateway.ts";

const A = identifierOf("4:+14255550100");
const B = identifierOf("4:+18005550150");
const frame = (value: number) => new Int16Array(160).fill(value);

const LEG = { direction: "incoming", from: "+1", to: "+2", correlationId: "c" } as const;

function setUp() {
  const clock = manualClock();
  const conversation = new Conversation({
    clock,
    serverCallId: "s",
    correlationId: "c",
    playoutLimitMs: 60_000,
  });
  const a = new MemoryLeg("a", LEG);
  const b = new MemoryLeg("b", LEG);
  conversation.join(A, a);
  conversation.join(B, b);
  return { clock, conversation, a, b };
}

const options = { isUnmixed: false, channelOrder: [], isPaused: false, limitMs: 60_000 };

const samplesOf = (wav: Buffer) => new Int16Array(new Uint8Array(wav.subarray(44)).buffer);

test("a mixed recording holds the sum of everybody", async () => {
  const { clock, conversation, a, b } = setUp();
  using recorder = new Recorder({ ...options, conversation });
  a.speak(frame(100));
  b.speak(frame(20));
  await clock.advance(40);
  const wav = recorder.toWav();
  expect(wav.readUInt16LE(22)).toBe(1);
  expect(wav.readUInt32LE(24)).toBe(8000);
  expect([samplesOf(wav)[0], samplesOf(wav)[160]]).toEqual([120, 0]);
  expect(recorder.durationMs).toBe(40);
});

test("an unmixed recording keeps each participant in a channel, in the order asked for", async () => {
  const { clock, conversation, a, b } = setUp();
  const channelOrder = [B.rawId, A.rawId];
  using recorder = new Recorder({ ...options, conversation, isUnmixed: true, channelOrder });
  a.speak(frame(100));
  await clock.advance(20);
  b.speak(frame(20));
  await clock.advance(20);
  const wav = recorder.toWav();
  expect(wav.readUInt16LE(22)).toBe(2);
  const samples = samplesOf(wav);
  expect([...samples.subarray(0, 2)]).toEqual([0, 100]);
  expect([...samples.subarray(320, 322)]).toEqual([20, 0]);
});

test("a channel that nobody was given is taken by who speaks next", async () => {
  const { clock, conversation, a, b } = setUp();
  const channelOrder = [undefined, undefined, A.rawId];
  using recorder = new Recorder({ ...options, conversation, isUnmixed: true, channelOrder });
  a.speak(frame(100));
  b.speak(frame(20));
  await clock.advance(20);
  const wav = recorder.toWav();
  expect(wav.readUInt16LE(22)).toBe(3);
  expect([...samplesOf(wav).subarray(0, 3)]).toEqual([20, 0, 100]);
});

test("a pause is left out", async () => {
  const { clock, conversation, a } = setUp();
  using recorder = new Recorder({ ...options, conversation });
  await clock.advance(20);
  recorder.isPaused = true;
  a.speak(frame(9));
  await clock.advance(60);
  recorder.isPaused = false;
  await clock.advance(20);
  expect(recorder.durationMs).toBe(40);
  expect(samplesOf(recorder.toWav())).not.toContain(9);
});

test("a recording ends at its limit", async () => {
  const { clock, conversation } = setUp();
  using recorder = new Recorder({ ...options, conversation, limitMs: 100 });
  await clock.advance(1000);
  expect(recorder.durationMs).toBe(100);
});
