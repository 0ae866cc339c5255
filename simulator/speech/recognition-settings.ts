import type { Profanity } from "./profanity.ts";

/** What a turn was asked for, from `speech.context` and the query; the context wins. */
export interface RecognitionSettings {
  /** `interactive` is recognizeOnce: one phrase, then the turn is over. */
  readonly mode: "interactive" | "conversation" | "dictation";
  /** One, or those to choose from. */
  readonly languages: readonly string[];
  readonly identifyLanguage: boolean;
  /** The language of the first phrase is that of all; `DetectAtAudioStart`. */
  readonly languageOnce: boolean;
  readonly detailed: boolean;
  readonly wordTimings: boolean;
  readonly segmentationSilenceMs: number;
  readonly initialSilenceMs: number;
  readonly longestPhraseMs: number;
  /** Phrases that are expected (`dgi`). */
  readonly phrases: readonly string[];
  readonly profanity: Profanity;
}

export interface RecognitionDefaults {
  /** Silence that ends a phrase. The service's own value is not published. Default 800. */
  segmentationSilenceMs: number;
  /** Silence before anything was said, in interactive mode. Default 5,000. */
  initialSilenceMs: number;
  /** The same in continuous modes; it repeats. Default 15,000. */
  continuousSilenceMs: number;
}

export const RECOGNITION_DEFAULTS: RecognitionDefaults = {
  segmentationSilenceMs: 800,
  initialSilenceMs: 5000,
  continuousSilenceMs: 15_000,
};

/** What the service refuses with close code 1007. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  readonly code = "SPEECH_SETTINGS";
}

const LONGEST_PHRASE_MS = 60_000;
/** Limits of the properties as the Speech SDK documents them. */
const SEGMENTATION_SILENCE_MS = { least: 100, most: 5000 };
const SEGMENTATION_MAXIMUM_MS = { least: 20_000, most: 70_000 };
const SILENCE_MS = { least: 0, most: 300_000 };
/** As documented for language identification. */
const LIMIT_LANGUAGES = { once: 4, continuous: 10 };
const LANGUAGE = /^[a-z]{2,3}(-[A-Z][a-z]{3})?-([A-Z]{2}|\d{3})$/;
const PROFANITIES: readonly Profanity[] = ["masked", "removed", "raw"];
const MODES = ["interactive", "conversation", "dictation"] as const;

export interface SettingsRequest {
  path: string;
  query: URLSearchParams;
  context: unknown;
  defaults: RecognitionDefaults;
}

export function readSettings({
  path,
  query,
  context,
  defaults,
}: SettingsRequest): RecognitionSettings {
  const mode = modeOf(path, context);
  const detection = field(context, "phraseDetection");
  const segmentation = field(field(detection, mode), "segmentation");
  const identification = field(context, "languageId");
  const candidates = strings(field(identification, "languages"));
  const languageOnce = field(identification, "mode") === "DetectAtAudioStart";
  checkCount(candidates, languageOnce);
  const language = text(field(detection, "language")) ?? query.get("language") ?? undefined;
  const output = field(context, "phraseOutput");
  const options = strings(field(field(output, "detailed"), "options"));
  return {
    mode,
    languages: checkedLanguages(candidates, language),
    identifyLanguage: candidates.length > 0,
    languageOnce,
    detailed: (text(field(output, "format")) ?? query.get("format"))?.toLowerCase() === "detailed",
    wordTimings: options.includes("WordTimings") || query.get("wordLevelTimestamps") === "true",
    ...segmentationOf(segmentation, query, {
      ...defaults,
      segmentationSilenceMs: trailingSilence(detection, query) ?? defaults.segmentationSilenceMs,
    }),
    initialSilenceMs:
      milliseconds(
        "initialSilenceTimeoutMs",
        field(detection, "initialSilenceTimeout") ?? query.get("initialSilenceTimeoutMs"),
        SILENCE_MS,
      ) ?? (mode === "interactive" ? defaults.initialSilenceMs : defaults.continuousSilenceMs),
    phrases: phraseList(context),
    profanity: profanityOf(text(field(field(context, "enrichment"), "profanity")), query),
  };
}

function modeOf(path: string, context: unknown): RecognitionSettings["mode"] {
  const asked = text(field(field(context, "phraseDetection"), "mode"))?.toLowerCase();
  const inPath = MODES.find((mode) => path.includes(`/${mode}/`));
  return MODES.find((mode) => mode === asked) ?? inPath ?? "conversation";
}

function checkedLanguages(candidates: readonly string[], language: string | undefined): string[] {
  const languages = candidates.length > 0 ? [...candidates] : [language ?? "en-US"];
  for (const each of languages) {
    if (!LANGUAGE.test(each)) throw new SettingsError(`Unsupported language: ${each}`);
  }
  return languages;
}

function checkCount(languages: readonly string[], once: boolean): void {
  const limit = once ? LIMIT_LANGUAGES.once : LIMIT_LANGUAGES.continuous;
  if (languages.length <= limit) return;
  throw new SettingsError(`languageId: at most ${limit} languages, got ${languages.length}`);
}

/** Silence after speech; a segmentation silence is more particular and wins. */
function trailingSilence(detection: unknown, query: URLSearchParams): number | undefined {
  const value = field(detection, "trailingSilenceTimeout") ?? query.get("endSilenceTimeoutMs");
  return milliseconds("endSilenceTimeoutMs", value, SILENCE_MS);
}

function profanityOf(inContext: string | undefined, query: URLSearchParams): Profanity {
  const asked = (inContext ?? query.get("profanity") ?? "masked").toLowerCase();
  const known = PROFANITIES.find((each) => each === asked);
  if (known !== undefined) return known;
  throw new SettingsError(`Unsupported profanity option: ${asked}`);
}

function segmentationOf(
  segmentation: unknown,
  query: URLSearchParams,
  defaults: RecognitionDefaults,
) {
  const silenceMs = milliseconds(
    "segmentationSilenceTimeoutMs",
    field(segmentation, "segmentationSilenceTimeoutMs") ??
      query.get("segmentationSilenceTimeoutMs"),
    SEGMENTATION_SILENCE_MS,
  );
  const longestMs = milliseconds(
    "segmentationForcedTimeoutMs",
    field(segmentation, "segmentationForcedTimeoutMs"),
    SEGMENTATION_MAXIMUM_MS,
  );
  if (longestMs !== undefined && silenceMs === undefined) {
    throw new SettingsError("segmentationForcedTimeoutMs needs segmentationSilenceTimeoutMs");
  }
  return {
    segmentationSilenceMs: silenceMs ?? defaults.segmentationSilenceMs,
    longestPhraseMs: longestMs ?? LONGEST_PHRASE_MS,
  };
}

function milliseconds(
  name: string,
  value: unknown,
  { least, most }: { least: number; most: number },
): number | undefined {
  if (value === undefined || value === null) return undefined;
  const number = Number(value);
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new SettingsError(`${name}: expected ${least} to ${most}, got ${JSON.stringify(value)}`);
}

function phraseList(context: unknown): string[] {
  return array(field(field(context, "dgi"), "groups")).flatMap((group) =>
    array(field(group, "items")).flatMap((item) => text(field(item, "text")) ?? []),
  );
}

/** A member of something that may not be an object. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function array(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function strings(value: unknown): string[] {
  return array(value).filter((each) => typeof each === "string");
}
