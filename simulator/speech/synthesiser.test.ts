import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Synthesiser, startSynthesiser } from "./synthesiser.ts";

let synthesiser: Synthesiser;
beforeAll(async () => {
  synthesiser = await startSynthesiser();
});
afterAll(() => synthesiser[Symbol.asyncDispose]());

const digest = (samples: Int16Array) =>
  createHash("sha256")
    .update(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength))
    .digest("hex")
    .slice(0, 16);

test("a sentence becomes 16 kHz audio with a time for every word", async () => {
  const utterance = await synthesiser.synthesise({ text: "It happened on the 13th of March." });
  expect(utterance).toMatchObject({ rateHz: 16_000, voice: "en-US-AvaMultilingualNeural" });
  expect(utterance.durationMs).toBe(2243);
  expect(utterance.samples).toHaveLength(2243 * 16);
  expect(utterance.words.map(({ text, startMs }) => [text, startMs])).toEqual([
    ["It", 40],
    ["happened", 135],
    ["on", 558],
    ["the", 719],
    ["13th", 778],
    ["of", 1291],
    ["March", 1397],
  ]);
});

test("the same text and voice give the same bytes in another worker, too", async () => {
  const { samples } = await synthesiser.synthesise({ text: "Yes.", voice: "en-US-GuyNeural" });
  await using second = await startSynthesiser();
  const again = await second.synthesise({ text: "Yes.", voice: "rms" });
  expect(digest(again.samples)).toBe(digest(samples));
  expect(digest(samples)).toBe("2d9e45092daa1210");
});

test("several sentences are joined, and each can be had alone", async () => {
  const both = await synthesiser.synthesise({ text: "Yes. No way!" });
  expect(both.sentences.map(({ text }) => text)).toEqual(["Yes.", "No way!"]);
  const alone = await synthesiser.synthesise({ text: "Yes." });
  expect(digest(both.samples.subarray(0, alone.samples.length))).toBe(digest(alone.samples));
  expect(both.words.map(({ text }) => text)).toEqual(["Yes", "No", "way"]);
  expect(both.words[1]?.startMs).toBe(alone.durationMs + 40);
});

test("SSML chooses voice and rate and inserts silence", async () => {
  const ssml =
    '<speak version="1.0" xml:lang="en-US"><voice name="en-US-GuyNeural">Yes.<break time="500ms"/>' +
    '<prosody rate="2">Yes.</prosody></voice></speak>';
  const utterance = await synthesiser.synthesise({ ssml });
  const plain = await synthesiser.synthesise({ text: "Yes.", voice: "en-US-GuyNeural" });
  expect(utterance.voice).toBe("en-US-GuyNeural");
  expect(utterance.words[1]?.startMs).toBe(plain.durationMs + 500 + 40);
  expect(utterance.sentences[1]?.durationMs).toBeLessThan(plain.durationMs - 100);
});

test("an unknown voice is refused by name", async () => {
  await expect(
    synthesiser.synthesise({ text: "Hi.", voice: "xx-YY-Nobody" }),
  ).rejects.toMatchObject({
    code: "UNSUPPORTED_VOICE",
    message: "Unsupported voice xx-YY-Nobody.",
  });
});

test("text without words is silence of no length", async () => {
  const utterance = await synthesiser.synthesise({ text: " … " });
  expect(utterance).toMatchObject({ text: "", durationMs: 0, words: [] });
});

test("audio kept in a folder is used again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "speech-"));
  await using first = await startSynthesiser({ cacheFolder: folder });
  const made = await first.synthesise({ text: "Goodbye." });
  expect(await readdir(folder)).toHaveLength(1);
  await using second = await startSynthesiser({ cacheFolder: folder });
  expect(await second.synthesise({ text: "Goodbye." })).toEqual(made);
  await rm(folder, { recursive: true });
});

test("a folder that cannot be written is no obstacle", async () => {
  const cacheFolder = join(import.meta.filename, "speech");
  await using uncached = await startSynthesiser({ cacheFolder });
  const { text, words } = await uncached.synthesise({ text: "Goodbye." });
  expect({ text, words: words.length }).toEqual({ text: "Goodbye.", words: 1 });
});

test("a closed synthesiser rejects instead of waiting for ever", async () => {
  const closed = await startSynthesiser();
  const pending = closed.synthesise({ text: "One moment please." }).catch((error) => error);
  await closed[Symbol.asyncDispose]();
  expect(await pending).toMatchObject({ code: "SYNTHESIS_FAILED" });
  await expect(closed.synthesise({ text: "Hello." })).rejects.toMatchObject({
    code: "SYNTHESIS_FAILED",
  });
});
