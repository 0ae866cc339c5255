import { expect, test } from "vitest";
import { LeadSilence } from "./lead-silence.ts";

const RATE_HZ = 16_000;
const samplesOf = (durationMs: number) => (RATE_HZ * durationMs) / 1000;

/** PCM of `quietMs` of a hiss nobody hears, then `loudMs` of sound. */
function audio(quietMs: number, loudMs: number): Uint8Array {
  const samples = new Int16Array(samplesOf(quietMs + loudMs)).fill(150);
  samples.fill(5000, samplesOf(quietMs));
  return new Uint8Array(samples.buffer);
}

const durationMs = ({ length }: Uint8Array) => length / samplesOf(1) / 2;

test("silence is cut up to 10 ms before the first sound", () => {
  const lead = new LeadSilence(RATE_HZ);
  expect(durationMs(lead.cut(audio(60, 40)))).toBe(50);
  expect(lead.cutMs).toBe(50);
});

test("what follows the first sound is left alone", () => {
  const lead = new LeadSilence(RATE_HZ);
  lead.cut(audio(0, 20));
  expect(durationMs(lead.cut(audio(100, 0)))).toBe(100);
  expect(lead.cutMs).toBe(0);
});

test("silence is cut piece by piece, however small they are", () => {
  const lead = new LeadSilence(RATE_HZ);
  expect(durationMs(lead.cut(audio(100, 0)))).toBe(10);
  expect(durationMs(lead.cut(audio(5, 0)))).toBe(5);
  expect(durationMs(lead.cut(audio(30, 70)))).toBe(80);
  expect(lead.cutMs).toBe(110);
});

test("of a long silence 400 ms are cut: the rest is meant", () => {
  const lead = new LeadSilence(RATE_HZ);
  expect(durationMs(lead.cut(audio(1000, 0)))).toBe(600);
  expect(durationMs(lead.cut(audio(100, 100)))).toBe(200);
  expect(lead.cutMs).toBe(400);
});
