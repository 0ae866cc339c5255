import { expect, test } from "vitest";
import type { EarEvent } from "./listener.ts";
import type { RecognitionSettings } from "./recognition-settings.ts";
import { RecognitionTurn } from "./recognition-turn.ts";

const SETTINGS: RecognitionSettings = {
  mode: "conversation",
  languages: ["en-US"],
  identifyLanguage: false,
  languageOnce: false,
  profanity: "masked",
  detailed: false,
  wordTimings: false,
  segmentationSilenceMs: 600,
  longestPhraseMs: 20_000,
  initialSilenceMs: 5000,
  phrases: [],
};

function open(settings: Partial<RecognitionSettings> = {}) {
  const sent: { path: string; body: Record<string, unknown> }[] = [];
  const turn = new RecognitionTurn({
    settings: { ...SETTINGS, ...settings },
    send: (message) => sent.push(message),
    onOver: () => {},
    newId: () => "1D",
  });
  return { turn, sent, paths: () => sent.map(({ path }) => path) };
}

const at = (startMs: number, endMs: number) => ({ startMs, endMs });
const onset = (startMs: number): EarEvent => ({ type: "onset", text: "", ...at(startMs, startMs) });
const phrase = (text: string, startMs: number, endMs: number): EarEvent => ({
  type: "phrase",
  text,
  ...at(startMs, endMs),
  confidence: 0.9,
  words: [{ text, startMs, durationMs: endMs - startMs }],
});

test("a phrase is told when the silence after it is long enough, not before", () => {
  const { turn, sent, paths } = open();
  turn.hear(onset(1000));
  turn.hear({ type: "hypothesis", text: "Hello there", ...at(1000, 1400) });
  turn.hear(phrase("Hello there.", 1000, 1500));
  turn.progress(2000);
  expect(paths()).toEqual(["speech.startDetected", "speech.hypothesis"]);
  turn.progress(2100);
  expect(sent).toEqual([
    { path: "speech.startDetected", body: { Offset: 10_000_000 } },
    {
      path: "speech.hypothesis",
      body: { Id: "1D", Text: "hello there", Offset: 10_000_000, Duration: 4_000_000, Channel: 0 },
    },
    {
      path: "speech.phrase",
      body: {
        Id: "1D",
        RecognitionStatus: "Success",
        Offset: 10_000_000,
        Duration: 5_000_000,
        Channel: 0,
        DisplayText: "Hello there.",
      },
    },
    { path: "speech.endDetected", body: { Offset: 15_000_000 } },
  ]);
});

test("sentences within the segmentation silence are one phrase, with one beginning and one end", () => {
  const { turn, sent, paths } = open();
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.progress(1900);
  turn.hear(onset(1950));
  turn.progress(2500);
  turn.hear({ type: "hypothesis", text: "It is", ...at(1950, 2400) });
  turn.hear(phrase("It is me.", 1950, 2600));
  turn.progress(3300);
  expect(paths()).toEqual([
    "speech.startDetected",
    "speech.hypothesis",
    "speech.phrase",
    "speech.endDetected",
  ]);
  expect(sent[1]?.body.Text).toBe("hello it is");
  expect(sent[2]?.body).toMatchObject({
    DisplayText: "Hello. It is me.",
    Offset: 10_000_000,
    Duration: 16_000_000,
  });
});

test("sentences that an engine tells of together are parted where the silence between them was long", () => {
  const { turn, sent, paths } = open();
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.hear(onset(2099));
  turn.hear(phrase("It is me.", 2099, 2600));
  turn.hear(onset(3200));
  turn.hear({ type: "hypothesis", text: "Are you", ...at(3200, 3600) });
  // An engine that does not say where it began: the place up to which audio was taken.
  turn.hear(phrase("Are you there?", 4000, 4000));
  turn.progress(4600);
  expect(paths()).toEqual([
    "speech.startDetected",
    "speech.phrase",
    "speech.endDetected",
    "speech.startDetected",
    "speech.hypothesis",
    "speech.phrase",
    "speech.endDetected",
  ]);
  expect(sent[1]?.body).toMatchObject({ DisplayText: "Hello. It is me.", Duration: 16_000_000 });
  expect(sent[4]?.body.Text).toBe("are you");
  expect(sent[5]?.body.DisplayText).toBe("Are you there?");
});

test("recognising once ends with the first of sentences that are told together", () => {
  const { turn, sent } = open({ mode: "interactive" });
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.hear(onset(2100));
  turn.hear(phrase("It is me.", 2100, 2600));
  turn.finish();
  expect(sent.map(({ path, body }) => body.DisplayText ?? path)).toEqual([
    "speech.startDetected",
    "speech.endDetected",
    "Hello.",
    "turn.end",
  ]);
});

test("speech without end is cut at the longest phrase", () => {
  const { turn, sent } = open();
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.hear(onset(1700));
  turn.progress(21_000);
  expect(sent.find(({ path }) => path === "speech.phrase")?.body.DisplayText).toBe("Hello.");
});

test("unknown speech is a phrase without text", () => {
  const { turn, sent } = open();
  turn.hear(onset(1000));
  turn.hear({ type: "noMatch", text: "", ...at(1000, 1800) });
  expect(sent.slice(1)).toEqual([
    {
      path: "speech.phrase",
      body: {
        Id: "1D",
        RecognitionStatus: "NoMatch",
        Offset: 10_000_000,
        Duration: 8_000_000,
        Channel: 0,
        DisplayText: "",
      },
    },
    { path: "speech.endDetected", body: { Offset: 18_000_000 } },
  ]);
});

test("a click does not hold back the phrase before it", () => {
  const { turn, paths } = open();
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.hear(onset(1900));
  turn.hear({ type: "discard", text: "", ...at(1900, 1950) });
  turn.progress(2100);
  expect(paths()).toEqual(["speech.startDetected", "speech.phrase", "speech.endDetected"]);
});

test("silence is told again and again", () => {
  const { turn, sent } = open();
  for (let heardMs = 100; heardMs <= 16_000; heardMs += 100) turn.progress(heardMs);
  const phrases = sent.filter(({ path }) => path === "speech.phrase");
  expect(phrases.map(({ body }) => [body.RecognitionStatus, body.Offset])).toEqual([
    ["InitialSilenceTimeout", 0],
    ["InitialSilenceTimeout", 50_000_000],
    ["InitialSilenceTimeout", 100_000_000],
  ]);
});

test("the end of the audio ends a continuous turn with EndOfDictation", () => {
  const { turn, sent, paths } = open();
  turn.progress(1000);
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.progress(1700);
  turn.finish();
  turn.finish();
  expect(paths()).toEqual([
    "speech.startDetected",
    "speech.phrase",
    "speech.endDetected",
    "speech.phrase",
    "turn.end",
  ]);
  expect(sent[3]?.body).toMatchObject({ RecognitionStatus: "EndOfDictation", Offset: 17_000_000 });
});

test("an interactive turn ends speech first, then tells, and is over", () => {
  const { turn, sent, paths } = open({ mode: "interactive" });
  turn.hear(onset(1000));
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.progress(2100);
  expect(paths()).toEqual([
    "speech.startDetected",
    "speech.endDetected",
    "speech.phrase",
    "turn.end",
  ]);
  turn.hear(onset(3000));
  turn.progress(30_000);
  turn.finish();
  expect(sent).toHaveLength(4);
});

test("an interactive turn without speech has no text at all", () => {
  const { turn, sent } = open({ mode: "interactive" });
  turn.progress(5000);
  const body = sent.find(({ path }) => path === "speech.phrase")?.body;
  expect(body).toMatchObject({ RecognitionStatus: "InitialSilenceTimeout", Duration: 50_000_000 });
  expect(body).not.toHaveProperty("DisplayText");
});

test("detailed results have their best hypothesis, with word timings if asked for", () => {
  const { turn, sent } = open({ detailed: true, wordTimings: true });
  turn.hear(onset(1000));
  turn.hear(phrase("Hello!", 1000, 1500));
  turn.hear({ type: "noMatch", text: "", ...at(1700, 1800) });
  const [known, unknown] = sent.filter(({ path }) => path === "speech.phrase");
  expect(known?.body.NBest).toEqual([
    {
      Confidence: 0.9,
      Lexical: "hello",
      ITN: "hello",
      MaskedITN: "hello",
      Display: "Hello!",
      Words: [{ Word: "hello", Offset: 10_000_000, Duration: 5_000_000 }],
    },
  ]);
  expect(unknown?.body.NBest).toHaveLength(1);
});

test("the language is told to who asked which it is", () => {
  const { turn, sent } = open({ identifyLanguage: true, languages: ["de-DE", "en-GB"] });
  turn.hear({ ...phrase("Hello.", 1000, 1500), language: "en-US" });
  turn.hear({ type: "noMatch", text: "", ...at(1700, 1800) });
  const phrases = sent.filter(({ path }) => path === "speech.phrase");
  expect(phrases.map(({ body }) => body.PrimaryLanguage)).toEqual([
    { Language: "en-GB", Confidence: "High" },
    { Language: "de-DE", Confidence: "Low" },
  ]);
});

test("a language that was identified at the start stays the only one", () => {
  const settings = { identifyLanguage: true, languageOnce: true, languages: ["de-DE", "en-GB"] };
  const { turn, sent } = open(settings);
  turn.hear({ ...phrase("Hello.", 1000, 1500), language: "en-US" });
  turn.progress(2100);
  turn.hear({ type: "hypothesis", text: "Guten", ...at(2200, 2400), language: "de-DE" });
  turn.hear({ ...phrase("Guten Tag.", 2200, 2700), language: "de-DE" });
  const phrases = sent.filter(({ path }) => path === "speech.phrase");
  expect(phrases.map(({ body }) => [body.RecognitionStatus, body.DisplayText])).toEqual([
    ["Success", "Hello."],
    ["NoMatch", ""],
  ]);
  expect(sent.some(({ path }) => path === "speech.hypothesis")).toBe(false);
});

test.each([
  ["masked", "What the **** is this?"],
  ["removed", "What the is this?"],
  ["raw", "What the fuck is this?"],
] as const)("strong language is %s as asked, but not in the lexical form", (profanity, text) => {
  const { turn, sent } = open({ profanity, detailed: true });
  turn.hear(phrase("What the fuck is this?", 1000, 1500));
  turn.progress(2100);
  const body = sent.find(({ path }) => path === "speech.phrase")?.body;
  expect(body?.DisplayText).toBe(text);
  expect(body?.NBest).toMatchObject([{ Display: text, Lexical: "what the fuck is this" }]);
});

test("a turn that is told to end does so after the phrase that is being told", () => {
  const { turn, paths } = open();
  turn.hear(phrase("Hello.", 1000, 1500));
  turn.end();
  turn.progress(2100);
  expect(paths()).toEqual(["speech.phrase", "speech.endDetected", "turn.end"]);
});
