import { afterAll, beforeAll, expect, test } from "vitest";
import { randomFrom } from "../media/impair.ts";
import { resample } from "../media/resample.ts";
import type { Expectation } from "./expectation.ts";
import { type EarEvent, type Recogniser, startRecogniser } from "./recogniser.ts";
import { type Synthesiser, startSynthesiser, type Utterance } from "./synthesiser.ts";

const KNOWN = [
  "Hello, I would like to dispute a charge on my account.",
  "Hello, I would like to dispute a charge on my credit card.",
  "I want to pay my bill.",
  "I want to see my bill.",
  "Yes.",
  "No.",
  "No thank you.",
  "The last four digits are 4 2 4 2.",
  "The last four digits are 4 2 2 4.",
];

let synthesiser: Synthesiser;
let recogniser: Recogniser;
beforeAll(async () => {
  [synthesiser, recogniser] = await Promise.all([startSynthesiser(), startRecogniser()]);
  for (const text of KNOWN) await teach(text);
});
afterAll(async () => {
  await synthesiser[Symbol.asyncDispose]();
  await recogniser[Symbol.asyncDispose]();
});

async function teach(text: string): Promise<Utterance> {
  const utterance = await synthesiser.synthesise({ text });
  for (const sentence of utterance.sentences) {
    await recogniser.enrol({ text: sentence.text, audio: sentence, words: sentence.words });
  }
  return utterance;
}

async function samplesOf(text: string): Promise<Int16Array> {
  return (await synthesiser.synthesise({ text })).samples;
}

/** A number of seconds of silence, or a text to say. */
type Part = number | string;

async function audioOf(parts: readonly Part[]): Promise<Int16Array> {
  const pieces: number[] = [];
  for (const part of parts) {
    if (typeof part === "number") pieces.push(...new Int16Array(part * 16_000));
    else pieces.push(...(await samplesOf(part)));
  }
  return Int16Array.from(pieces);
}

/** White noise from the first sample to the last. */
function inNoise(samples: Int16Array, rms: number, from = 0): Int16Array {
  const random = randomFrom(1);
  return samples.map((sample, index) => {
    const noise = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return index < from ? sample : sample + rms * noise;
  });
}

async function hear(
  samples: Int16Array,
  { rateHz = 16_000, ...expectation }: Expectation & { rateHz?: number } = {},
): Promise<EarEvent[]> {
  const events: EarEvent[] = [];
  await using ear = recogniser.listen({ ...expectation, onEvent: (event) => events.push(event) });
  const step = rateHz / 50;
  for (let at = 0; at < samples.length; at += step)
    ear.accept(samples.subarray(at, at + step), rateHz);
  await ear.finish();
  return events;
}

const phrases = (events: readonly EarEvent[]) =>
  events.filter(({ type }) => type === "phrase" || type === "noMatch").map(({ text }) => text);

/** 40 ms is the grid of frames and of the onset rule. */
function expectNear(actual: number | undefined, expected: number): void {
  expect(actual).toBeGreaterThanOrEqual(expected - 40);
  expect(actual).toBeLessThanOrEqual(expected + 40);
}

test.each(KNOWN)("%s", async (text) => {
  expect(phrases(await hear(await audioOf([0.5, text, 1])))).toEqual([text]);
});

test.each([
  ["I want to play my drill."],
  ["Yes of course."],
  ["The last four digits are 4 2 4 4."],
])("unknown: %s", async (text) => {
  expect(phrases(await hear(await audioOf([0.5, text, 1])))).toEqual([""]);
});

test("noise that sets in after silence is soon taken for the background", async () => {
  const samples = await audioOf([1.5, "I want to pay my bill.", 1, "No thank you.", 1]);
  const events = await hear(inNoise(samples, 600, 4000));
  expect(events.map(({ type }) => type).filter((type) => type !== "hypothesis")).toEqual([
    "onset",
    "discard",
    "onset",
    "phrase",
    "onset",
    "phrase",
  ]);
});

test("a number with a syllable each 200 ms is no steady noise", async () => {
  const text = "My card number is 4111 1111 1111 1111.";
  const { samples, rateHz, words } = await synthesiser.synthesise({
    text,
    voice: "en-US-AndrewNeural",
  });
  await using own = await startRecogniser();
  await own.enrol({ text, audio: { samples, rateHz }, words });
  const events: EarEvent[] = [];
  await using ear = own.listen({ onEvent: (event) => events.push(event) });
  ear.accept(resample(samples, rateHz, 16_000), 16_000);
  await ear.finish();
  expect(phrases(events)).toEqual([text]);
});

test("a sentence half of which is another one is not taken for it in noise", async () => {
  const samples = await audioOf([1, "I want to play my drill.", 1]);
  expect(phrases(await hear(inNoise(samples, 1000)))).toEqual([""]);
});

test.each(["four", "five"])(
  "number %s, which ends later, is not taken for number three",
  async (last) => {
    await using other = await startRecogniser();
    const said = await Promise.all(
      ["three", "four", "five"].map((word) => {
        const text = `Please tell me about contract number ${word}.`;
        return synthesiser.synthesise({ text, voice: "en-US-AndrewNeural" });
      }),
    );
    for (const { text, words, ...audio } of said) await other.enrol({ text, audio, words });
    const heard: string[] = [];
    await using ear = other.listen({
      onEvent: ({ type, text }) => {
        if (type === "phrase") heard.push(text);
      },
    });
    const samples = said.find(({ text }) => text.endsWith(`${last}.`))?.samples ?? new Int16Array();
    const quiet = new Int16Array(16_000);
    for (const piece of [quiet, samples, quiet]) {
      for (let at = 0; at < piece.length; at += 320)
        ear.accept(piece.subarray(at, at + 320), 16_000);
    }
    await ear.finish();
    expect(heard).toEqual([`Please tell me about contract number ${last}.`]);
  },
);

test("times count the audio that was given", async () => {
  const events = await hear(await audioOf([1.5, "I want to pay my bill.", 1]));
  const { words } = await synthesiser.synthesise({ text: "I want to pay my bill." });
  const phrase = events.at(-1);
  expect(events[0]?.type).toBe("onset");
  expectNear(events[0]?.startMs, 1540);
  expectNear(phrase?.endMs, 1500 + 1435);
  expect(phrase?.words).toHaveLength(words.length);
  for (const [index, word] of words.entries()) {
    expectNear(phrase?.words?.[index]?.startMs, 1500 + word.startMs);
  }
});

test("hypotheses grow word by word and never run ahead of the audio", async () => {
  const events = await hear(await audioOf([0.5, "I want to pay my bill.", 1]));
  const hypotheses = events.filter(({ type }) => type === "hypothesis");
  expect(hypotheses.length).toBeGreaterThanOrEqual(4);
  expect(hypotheses.map(({ text }) => "I want to pay my bill".startsWith(text))).not.toContain(
    false,
  );
  expect(hypotheses.at(-1)?.text).toBe("I want to pay my bill");
  expect(hypotheses[0]?.text.split(" ").length).toBeLessThanOrEqual(3);
});

test("sentences that share a beginning are not told apart too early", async () => {
  const events = await hear(await audioOf([0.5, KNOWN[1] ?? "", 1]));
  const texts = events.filter(({ type }) => type === "hypothesis").map(({ text }) => text);
  expect(texts.filter((text) => text.includes("account"))).toEqual([]);
});

test("sentences without a pause between them are each recognised", async () => {
  const spoken = [
    "No.",
    "I want to pay my bill.",
    "I want to pay my bill.",
    "No thank you.",
    "Yes.",
  ];
  expect(phrases(await hear(await audioOf([...spoken, 1])))).toEqual(spoken);
});

test.each([
  ["I want to pay my bill.", "No thank you."],
  ["Yes.", "Yes."],
  ["The last four digits are 4 2 4 2.", "No."],
  ["No.", "The last four digits are 4 2 2 4."],
])("%s and at once %s", async (first, second) => {
  expect(phrases(await hear(await audioOf([0.5, first, second, 1])))).toEqual([first, second]);
});

test.each([
  [KNOWN[0] ?? "", 0.4, "I want to see my bill."],
  [
    "The last four digits are 4 2 4 2.",
    0.6,
    "Hello, I would like to dispute a charge on my account.",
  ],
  ["I want to pay my bill.", 0.3, "I want to pay my bill."],
])("%s cut off after %d of it, then %s", async (first, share, second) => {
  const whole = await audioOf([first]);
  const next = await audioOf([second, 1]);
  const cut = [...new Int16Array(8000), ...whole.subarray(0, share * whole.length), ...next];
  expect(phrases(await hear(Int16Array.from(cut)))).toEqual(["", second]);
});

test.each([-20, 20])(
  "a jitter buffer that slips by %d ms in a sentence does no harm",
  async (slipMs) => {
    const whole = await audioOf([0.5, KNOWN[1] ?? "", 1]);
    const at = 16 * 1600;
    const slipped = [...whole.subarray(0, at), ...whole.subarray(at + 16 * slipMs)];
    expect(phrases(await hear(Int16Array.from(slipped)))).toEqual([KNOWN[1]]);
  },
);

test("a jitter buffer that drops a frame again and again within a sentence does no harm", async () => {
  const whole = await audioOf([KNOWN[1] ?? "", 1]);
  const starts = [0, 1020, 1320, 1620, 1920, 2220].map((startMs) => 16 * startMs);
  const kept = starts.map((start, index) =>
    whole.subarray(start, (starts[index + 1] ?? whole.length) - 320),
  );
  const slipped = Int16Array.from([...new Int16Array(8000), ...kept.flatMap((part) => [...part])]);
  expect(phrases(await hear(slipped))).toEqual([KNOWN[1]]);
});

test("a sentence that breaks off where the audio ends is not taken for whole", async () => {
  const whole = await audioOf([0.5, "I want to pay my bill."]);
  expect(phrases(await hear(whole.subarray(0, 0.75 * whole.length)))).toEqual([""]);
});

test("what is said at the very start and the very end of the audio counts", async () => {
  const samples = await audioOf(["Yes.", 1, "No."]);
  expect(phrases(await hear(samples))).toEqual(["Yes.", "No."]);
});

test("telephone audio at 8 kHz is recognised", async () => {
  const samples = await audioOf([0.5, "I want to see my bill.", 1]);
  expect(phrases(await hear(resample(samples, 16_000, 8000), { rateHz: 8000 }))).toEqual([
    "I want to see my bill.",
  ]);
});

test("a sentence enrolled while an ear listens is known to it", async () => {
  const events: EarEvent[] = [];
  await using ear = recogniser.listen({ onEvent: (event) => events.push(event) });
  ear.accept(new Int16Array(16_000), 16_000);
  const { samples } = await teach("Where is your nearest branch?");
  ear.accept(samples, 16_000);
  ear.accept(new Int16Array(16_000), 16_000);
  await ear.finish();
  expect(phrases(events)).toEqual(["Where is your nearest branch?"]);
});

test("a rare sentence is known only to those who expect it", async () => {
  const text = "Wreck a nice beach.";
  const { samples, rateHz, words } = await synthesiser.synthesise({ text });
  await recogniser.enrol({ text, audio: { samples, rateHz }, words, rare: true });
  const audio = await audioOf([0.5, text, 1]);
  expect(phrases(await hear(audio))).toEqual([""]);
  expect(phrases(await hear(audio, { phrases: ["wreck a nice beach"] }))).toEqual([text]);
});

test("an ear understands the languages it was told, whatever their region", async () => {
  const text = "Guten Tag.";
  const { samples, rateHz } = await synthesiser.synthesise({ text });
  await recogniser.enrol({ text, audio: { samples, rateHz }, language: "de-DE" });
  const audio = await audioOf([0.5, text, 1, "Yes.", 1]);
  expect(phrases(await hear(audio, { languages: ["en-GB"] }))).toEqual(["", "Yes."]);
  const events = await hear(audio, { languages: ["de-AT", "en-US"] });
  expect(phrases(events)).toEqual([text, "Yes."]);
  const languages = events.filter(({ type }) => type === "phrase").map(({ language }) => language);
  expect(languages).toEqual(["de-DE", "en-US"]);
});

test("progress tells how much has been judged, after the events it gave rise to", async () => {
  const log: string[] = [];
  await using ear = recogniser.listen({
    onEvent: ({ type }) => log.push(type),
    onProgress: (heardMs) => log.push(String(heardMs)),
  });
  ear.accept(await audioOf([0.5, "Yes.", 1]), 16_000);
  await ear.finish();
  expect(log.at(-2)).toBe("phrase");
  expect(Number(log.at(-1))).toBeGreaterThan(2100);
});

test("enrolling the same thing twice is one piece of work", async () => {
  const { samples, rateHz } = await synthesiser.synthesise({ text: "Yes." });
  const enrolment = { text: "Yes.", audio: { samples, rateHz } };
  expect(recogniser.enrol(enrolment)).toBe(recogniser.enrol({ ...enrolment }));
});

test("a disposed ear is silent, a disposed recogniser rejects", async () => {
  const second = await startRecogniser();
  const ear = second.listen({ onEvent: () => expect.unreachable() });
  await ear[Symbol.asyncDispose]();
  ear.accept(await audioOf(["Yes."]), 16_000);
  await second[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  await expect(ear.finish()).rejects.toMatchObject({ code: "RECOGNISER_CLOSED" });
});

test("of sixty sentences that differ for a fifth of a second the right one is found", async () => {
  await using taught = await startRecogniser();
  const beginning = await samplesOf("I am calling about the contract with the number");
  const end = await samplesOf("which I received today");
  const words = await samplesOf(Array.from({ length: 70 }, (_, index) => index).join(", "));
  const pieces = Array.from({ length: Math.floor(words.length / 3_200) }, (_, index) =>
    words.subarray(index * 3_200, (index + 1) * 3_200),
  ).filter((piece) => piece.filter((sample) => Math.abs(sample) > 1_000).length > 1_000);
  const sentences = pieces.slice(0, 60).map((piece, index) => {
    const samples = Int16Array.from([...beginning, ...piece, ...end]);
    return { text: `sentence ${index}`, audio: { samples, rateHz: 16_000 }, words: [] };
  });
  expect(sentences.length).toBe(60);
  for (const sentence of sentences) await taught.enrol(sentence);
  for (const { text, audio } of sentences.slice(-10)) {
    const heard: EarEvent[] = [];
    await using ear = taught.listen({ onEvent: (event) => heard.push(event) });
    const pause = new Int16Array(8_000);
    for (const samples of [pause, audio.samples, pause]) ear.accept(samples, 16_000);
    await ear.finish();
    expect(phrases(heard)).toEqual([text]);
  }
});
