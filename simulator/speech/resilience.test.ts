import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import type { Fault } from "../faults.ts";
import type { TraceEvent } from "../trace.ts";
import { speechLab } from "./testing/speech-lab.ts";

const clock = systemClock();
const BILL = "I want to pay my bill.";
const lab = speechLab({ texts: [BILL, "Yes."] });

function config(): sdk.SpeechConfig {
  const made = lab.config();
  made.setProperty("Recognizer_StopTimeoutMs", "400");
  return made;
}

const CHUNK_SAMPLES = 1600;

/** Half a second of silence, and each sentence with a second and a half after it, in pieces of 100 ms. */
async function spoken(texts: readonly string[]): Promise<Int16Array[]> {
  const pieces: number[] = [];
  for (const text of texts) {
    const { samples } = await lab.synthesiser.synthesise({ text });
    pieces.push(...new Int16Array(8000), ...samples, ...new Int16Array(24_000));
  }
  const samples = Int16Array.from(pieces);
  return Array.from({ length: Math.floor(samples.length / CHUNK_SAMPLES) }, (_, index) =>
    samples.slice(CHUNK_SAMPLES * index, CHUNK_SAMPLES * (index + 1)),
  );
}

interface Talk {
  readonly results: sdk.SpeechRecognitionResult[];
  readonly canceled: sdk.SpeechRecognitionCanceledEventArgs;
  readonly events: readonly TraceEvent[];
}

interface TalkOptions {
  readonly faults?: readonly Fault[];
  readonly make?: (audio: sdk.AudioConfig) => sdk.SpeechRecognizer;
  /** So many results end the talk. Default: one for each text. */
  readonly results?: number;
}

/** A caller on the telephone: sound keeps coming until everything was understood, or it is over. */
async function talk(texts: readonly string[], options: TalkOptions = {}): Promise<Talk> {
  for (const fault of options.faults ?? []) lab.faults.add(fault);
  const { make = (audio) => new sdk.SpeechRecognizer(config(), audio) } = options;
  const wanted = options.results ?? texts.length;
  const from = lab.trace.events.length;
  const chunks = await spoken(texts);
  const stream = sdk.AudioInputStream.createPushStream();
  const recognizer = make(sdk.AudioConfig.fromStreamInput(stream));
  const results: sdk.SpeechRecognitionResult[] = [];
  const feeding = new AbortController();
  const over = Promise.withResolvers<sdk.SpeechRecognitionCanceledEventArgs>();
  recognizer.recognized = (_, { result }) => {
    results.push(result);
    if (results.length !== wanted) return;
    feeding.abort();
    stream.close();
  };
  recognizer.canceled = (_, event) => {
    feeding.abort();
    over.resolve(event);
  };
  recognizer.startContinuousRecognitionAsync();
  // While a connection closes the SDK sends, fails and replays without end and never sees it closed.
  let closing = false;
  const stop = lab.trace.subscribe((event) => {
    if (event.type !== "socket") return;
    if (event.kind === "drop") closing = true;
    if (event.kind === "close") closing = false;
  });
  while (!feeding.signal.aborted) {
    const chunk = closing ? undefined : (chunks.shift() ?? new Int16Array(CHUNK_SAMPLES));
    if (chunk !== undefined) stream.write(chunk.buffer as ArrayBuffer);
    await clock.sleep(10);
  }
  stop();
  const canceled = await over.promise;
  await new Promise<void>((resolve) => recognizer.close(resolve, () => resolve()));
  return { results, canceled, events: lab.trace.events.slice(from) };
}

const textsOf = ({ results }: Talk) => results.map(({ text }) => text);

function sockets({ events }: Talk, kind: string) {
  return events.filter((event) => event.type === "socket" && event.kind === kind);
}

const { EndOfStream } = sdk.CancellationReason;
const { ConnectionFailure, RuntimeError } = sdk.CancellationErrorCode;

test.each([1000, 1001, 1008, 1011, 4429, undefined])(
  "a session whose connection ends with %s goes on in another, and nothing is lost",
  async (code) => {
    const drop = { at: "phrase", ...(code === undefined ? {} : { code }) };
    const plan = [{ name: "speech.drop", with: drop, times: 1 }];
    const heard = await talk([BILL, "Yes."], { faults: plan });
    expect(textsOf(heard)).toEqual([BILL, "Yes."]);
    expect(heard.canceled.reason).toBe(EndOfStream);
    const [first, second] = sockets(heard, "open");
    expect(second?.call).toBe(first?.call);
    const [one, two] = heard.results;
    expect(two?.offset).toBeGreaterThan((one?.offset ?? 0) + (one?.duration ?? 0));
  },
);

test("a connection that is cut within a sentence has it again from its start", async () => {
  const plan = [{ name: "speech.drop", with: { at: "audio", afterMs: 1200 }, times: 1 }];
  const heard = await talk([BILL, "Yes."], { faults: plan });
  expect(textsOf(heard)).toEqual([BILL, "Yes."]);
  expect(sockets(heard, "open")).toHaveLength(2);
});

test("a connection that ends before the service said anything is not replaced", async () => {
  const plan = [{ name: "speech.drop", with: { at: "open", code: 1000 } }];
  const { canceled } = await talk([BILL], { faults: plan });
  expect(canceled.errorCode).toBe(RuntimeError);
});

test("a refused upgrade is tried once where the client is told so", async () => {
  const settings = config();
  settings.setProperty("SPEECH-Error-MaxRetryCount", "0");
  const { canceled, events } = await talk([BILL], {
    faults: [{ name: "speech.refuse", with: { status: 500 }, times: 1 }],
    make: (audio) => new sdk.SpeechRecognizer(settings, audio),
  });
  expect(canceled.errorCode).toBe(ConnectionFailure);
  expect(events.filter((event) => event.type === "http" && event.status === 500)).toHaveLength(1);
});

test("a turn that the service ends in mid-session is followed by another on the same connection", async () => {
  const heard = await talk([BILL, "Yes."], { faults: [{ name: "speech.end-turn", times: 1 }] });
  expect(textsOf(heard)).toEqual([BILL, "Yes."]);
  expect(heard.canceled.reason).toBe(EndOfStream);
  expect(sockets(heard, "open")).toHaveLength(1);
  expect(sockets(heard, "turn.start").length).toBeGreaterThanOrEqual(2);
  const [one, two] = heard.results;
  expect(two?.offset).toBeGreaterThan((one?.offset ?? 0) + (one?.duration ?? 0));
});

test.each(["InitialSilenceTimeout", "BabbleTimeout"])(
  "%s in the place of a phrase is no match, and the session goes on",
  async (status) => {
    const plan = [{ name: "speech.status", with: { status }, times: 1 }];
    const { results, canceled } = await talk([BILL, "Yes."], { faults: plan });
    expect(results.map(({ reason }) => reason)).toEqual([
      sdk.ResultReason.NoMatch,
      sdk.ResultReason.RecognizedSpeech,
    ]);
    expect(canceled.reason).toBe(EndOfStream);
  },
);

test("EndOfDictation in the place of a phrase is not told", async () => {
  const plan = [{ name: "speech.status", with: { status: "EndOfDictation" }, times: 1 }];
  const heard = await talk([BILL, "Yes."], { faults: plan, results: 1 });
  expect(textsOf(heard)).toEqual(["Yes."]);
});

test.each(["speech.malformed", "speech.no-nbest"])(
  "%s ends the client's reading without a word: stopping runs into its time-out",
  async (name) => {
    const settings = config();
    settings.outputFormat = sdk.OutputFormat.Detailed;
    lab.faults.add({ name });
    const from = lab.trace.events.length;
    const stream = sdk.AudioInputStream.createPushStream();
    const recognizer = new sdk.SpeechRecognizer(settings, sdk.AudioConfig.fromStreamInput(stream));
    const told: unknown[] = [];
    recognizer.recognized = (_, event) => told.push(event);
    recognizer.canceled = (_, event) => told.push(event);
    recognizer.startContinuousRecognitionAsync();
    for (const chunk of await spoken([BILL])) stream.write(chunk.buffer as ArrayBuffer);
    await lab.trace.waitFor((event) => event.type === "fault" && event.name === name, {
      timeoutMs: 10_000,
      what: name,
      from,
    });
    const stopped = new Promise<string>((resolve) => {
      recognizer.stopContinuousRecognitionAsync(() => resolve("stopped"), resolve);
    });
    expect(await stopped).toContain("400");
    expect(told).toEqual([]);
    recognizer.close();
  },
);

test("a rare sentence is understood only by who expects it", async () => {
  const RARE = "Wreck a nice beach.";
  await lab.enrol(RARE, { rare: true });
  const without = await talk([RARE]);
  expect(without.results.map(({ reason }) => reason)).toEqual([sdk.ResultReason.NoMatch]);
  const heard = await talk([RARE], {
    make(audio) {
      const recognizer = new sdk.SpeechRecognizer(config(), audio);
      sdk.PhraseListGrammar.fromRecognizer(recognizer).addPhrase("Wreck a nice beach");
      return recognizer;
    },
  });
  expect(textsOf(heard)).toEqual([RARE]);
});

test.each([
  ["AtStart", ["Guten Tag, ich habe eine Frage.", ""]],
  ["Continuous", ["Guten Tag, ich habe eine Frage.", BILL]],
])("languages identified %s", async (mode, expected) => {
  const GERMAN = "Guten Tag, ich habe eine Frage.";
  await lab.enrol(GERMAN, { language: "de-DE" });
  const settings = config();
  settings.setProperty(sdk.PropertyId.SpeechServiceConnection_LanguageIdMode, mode);
  const languages = sdk.AutoDetectSourceLanguageConfig.fromLanguages(["en-US", "de-DE"]);
  const heard = await talk([GERMAN, BILL], {
    make: (audio) => sdk.SpeechRecognizer.FromConfig(settings, languages, audio),
  });
  expect(textsOf(heard)).toEqual(expected);
  expect(heard.results[0]?.language).toBe("de-DE");
  expect(heard.results[1]?.language).toBe("en-US");
});

test.each([
  [sdk.ProfanityOption.Masked, "This is a **** bill."],
  [sdk.ProfanityOption.Removed, "This is a bill."],
  [sdk.ProfanityOption.Raw, "This is a shit bill."],
])("profanity option %d gives %j", async (option, expected) => {
  await lab.enrol("This is a shit bill.");
  const settings = config();
  settings.setProfanity(option);
  const heard = await talk(["This is a shit bill."], {
    make: (audio) => new sdk.SpeechRecognizer(settings, audio),
  });
  expect(textsOf(heard)).toEqual([expected]);
});

test("dictation is served on its own path", async () => {
  const settings = config();
  settings.enableDictation();
  const heard = await talk(["Yes."], {
    make: (audio) => new sdk.SpeechRecognizer(settings, audio),
  });
  expect(textsOf(heard)).toEqual(["Yes."]);
  const path = "/speech/recognition/dictation/cognitiveservices/v1";
  expect(sockets(heard, "open")[0]).toMatchObject({ detail: { path } });
});
