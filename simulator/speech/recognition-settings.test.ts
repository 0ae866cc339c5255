import { expect, test } from "vitest";
import { RECOGNITION_DEFAULTS, readSettings } from "./recognition-settings.ts";

const UNIVERSAL = "/stt/speech/universal/v2";

function settings(context: unknown, query = "language=en-US", path = UNIVERSAL) {
  const search = new URLSearchParams(query);
  return readSettings({ path, query: search, context, defaults: RECOGNITION_DEFAULTS });
}

test("without settings a turn is continuous and patient", () => {
  expect(settings(undefined)).toEqual({
    mode: "conversation",
    languages: ["en-US"],
    identifyLanguage: false,
    languageOnce: false,
    profanity: "masked",
    detailed: false,
    wordTimings: false,
    segmentationSilenceMs: 800,
    longestPhraseMs: 60_000,
    initialSilenceMs: 15_000,
    phrases: [],
  });
});

test("the mode is in the context, or else in the path", () => {
  const path = "/speech/recognition/dictation/cognitiveservices/v1";
  expect(settings({}, "", path).mode).toBe("dictation");
  const interactive = { phraseDetection: { mode: "Interactive" } };
  expect(settings(interactive, "", path)).toMatchObject({
    mode: "interactive",
    initialSilenceMs: 5000,
  });
});

test("what the Speech SDK writes into speech.context is understood", () => {
  const context = {
    phraseDetection: {
      mode: "Conversation",
      language: "en-GB",
      initialSilenceTimeout: 7000,
      conversation: {
        segmentation: {
          mode: "Custom",
          segmentationSilenceTimeoutMs: 500,
          segmentationForcedTimeoutMs: 30_000,
        },
      },
    },
    phraseOutput: { format: "Detailed", detailed: { options: ["WordTimings"] } },
    dgi: {
      groups: [{ type: "Generic", items: [{ text: "Contoso" }, { text: "beach" }] }],
      bias: 1,
    },
    languageId: { languages: ["en-US", "de-DE"], mode: "DetectContinuous" },
    enrichment: { profanity: "Removed" },
  };
  expect(settings(context)).toEqual({
    mode: "conversation",
    languages: ["en-US", "de-DE"],
    identifyLanguage: true,
    languageOnce: false,
    profanity: "removed",
    detailed: true,
    wordTimings: true,
    segmentationSilenceMs: 500,
    longestPhraseMs: 30_000,
    initialSilenceMs: 7000,
    phrases: ["Contoso", "beach"],
  });
});

test("the query counts where the context is silent", () => {
  const query =
    "language=en-GB&format=detailed&wordLevelTimestamps=true&segmentationSilenceTimeoutMs=300&initialSilenceTimeoutMs=900";
  expect(settings({}, query)).toMatchObject({
    languages: ["en-GB"],
    detailed: true,
    wordTimings: true,
    segmentationSilenceMs: 300,
    initialSilenceMs: 900,
  });
});

test("the silence after speech ends a phrase where no segmentation silence is asked for", () => {
  const detection = { trailingSilenceTimeout: 1200 };
  expect(settings({ phraseDetection: detection }).segmentationSilenceMs).toBe(1200);
  expect(settings({}, "endSilenceTimeoutMs=900").segmentationSilenceMs).toBe(900);
  const query = "endSilenceTimeoutMs=900&segmentationSilenceTimeoutMs=300";
  expect(settings({}, query).segmentationSilenceMs).toBe(300);
});

const segmentation = (value: object) => ({
  phraseDetection: { mode: "Conversation", conversation: { segmentation: value } },
});

test.each([
  [
    "an unknown language",
    { phraseDetection: { language: "hokum" } },
    "Unsupported language: hokum",
  ],
  [
    "an endless silence",
    segmentation({ segmentationSilenceTimeoutMs: 150_000_000 }),
    "segmentationSilenceTimeoutMs: expected 100 to 5000, got 150000000",
  ],
  [
    "a maximum without a silence",
    segmentation({ segmentationForcedTimeoutMs: 30_000 }),
    "segmentationForcedTimeoutMs needs segmentationSilenceTimeoutMs",
  ],
  [
    "a maximum that is too short",
    segmentation({ segmentationSilenceTimeoutMs: 500, segmentationForcedTimeoutMs: 1000 }),
    "segmentationForcedTimeoutMs: expected 20000 to 70000, got 1000",
  ],
  [
    "a fifth language at the start of the audio",
    {
      languageId: {
        languages: ["en-US", "en-GB", "de-DE", "fr-FR", "es-ES"],
        mode: "DetectAtAudioStart",
      },
    },
    "languageId: at most 4 languages, got 5",
  ],
  [
    "an unknown profanity option",
    { enrichment: { profanity: "Shouted" } },
    "Unsupported profanity option: shouted",
  ],
  [
    "words for a number",
    segmentation({ segmentationSilenceTimeoutMs: "soon" }),
    'segmentationSilenceTimeoutMs: expected 100 to 5000, got "soon"',
  ],
])("%s is refused", (_, context, message) => {
  expect(() => settings(context)).toThrow(message);
});

test("a context of any shape does no harm", () => {
  for (const context of [
    null,
    7,
    "x",
    [],
    { dgi: 3, phraseDetection: [], languageId: { languages: 1 } },
  ]) {
    expect(settings(context).mode).toBe("conversation");
  }
});
