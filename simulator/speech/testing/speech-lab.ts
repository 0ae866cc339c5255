import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { systemClock } from "../../clock.ts";
import { type FaultPlan, faultPlan } from "../../faults.ts";
import { openTrace, type Trace } from "../../trace.ts";
import { type Recogniser, startRecogniser } from "../recogniser.ts";
import { type Speech, type SpeechOptions, startSpeech } from "../server.ts";
import { type Synthesiser, startSynthesiser } from "../synthesiser.ts";

/** The speech service of one test file, and what it stands on. There is none before the first test. */
export interface SpeechLab {
  readonly trace: Trace;
  /** Empty before each test. */
  readonly faults: FaultPlan;
  readonly synthesiser: Synthesiser;
  readonly recogniser: Recogniser;
  readonly speech: Speech;
  /** Synthesises a text and teaches it; the voices are English, whatever language it is taught in. */
  enrol(text: string, as?: { language?: string; rare?: boolean }): Promise<Int16Array>;
  /** The SDK's settings for this service: audio goes out as fast as it is given. */
  config(key?: string): sdk.SpeechConfig;
}

export interface SpeechLabOptions {
  /** What the recogniser knows from the start. */
  readonly texts: readonly string[];
  readonly key?: string;
  readonly pace?: NonNullable<SpeechOptions["pace"]>;
}

/** Called once in a test file: opens the service before its tests, and closes it after them. */
export function speechLab({ texts, key = "k", pace = {} }: SpeechLabOptions): SpeechLab {
  const clock = systemClock();
  const trace = openTrace({ clock });
  const faults = faultPlan();
  let synthesiser: Synthesiser;
  let recogniser: Recogniser;
  let speech: Speech;
  const enrol: SpeechLab["enrol"] = async (text, as = {}) => {
    const { samples, rateHz, words } = await synthesiser.synthesise({ text });
    await recogniser.enrol({ text, audio: { samples, rateHz }, words, ...as });
    return samples;
  };
  beforeAll(async () => {
    [synthesiser, recogniser] = await Promise.all([startSynthesiser(), startRecogniser()]);
    const log = trace.as("speech");
    speech = await startSpeech({
      clock,
      trace: log,
      synthesiser,
      recogniser,
      keys: [key],
      faults,
      pace,
    });
    for (const text of texts) await enrol(text);
  });
  beforeEach(() => faults.clear());
  afterAll(async () => {
    await speech[Symbol.asyncDispose]();
    await synthesiser[Symbol.asyncDispose]();
    await recogniser[Symbol.asyncDispose]();
    await trace[Symbol.asyncDispose]();
  });
  return {
    trace,
    faults,
    get synthesiser() {
      return synthesiser;
    },
    get recogniser() {
      return recogniser;
    },
    get speech() {
      return speech;
    },
    enrol,
    config: (given = key) => {
      const made = sdk.SpeechConfig.fromHost(new URL(speech.url), given);
      made.setProperty(sdk.PropertyId.SpeechServiceConnection_RecognitionEndpointVersion, "2");
      made.setProperty("SPEECH-TransmitLengthBeforThrottleMs", "1000000000");
      return made;
    },
  };
}
