import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { WebsocketMessageAdapter } from "microsoft-cognitiveservices-speech-sdk/distrib/lib/src/common.browser/WebsocketMessageAdapter.js";
import { expect, test } from "vitest";
import { speechLab } from "./testing/speech-lab.ts";

const lab = speechLab({
  texts: ["I want to pay my bill.", "Yes.", "Can you hear me?"],
  key: "a key/with+signs",
});

const silence = (seconds: number) => new Int16Array(16_000 * seconds);

interface Heard {
  events: string[];
  recognizing: sdk.SpeechRecognitionResult[];
  recognized: sdk.SpeechRecognitionResult[];
  canceled: sdk.SpeechRecognitionCanceledEventArgs[];
}

function recordEvents(recognizer: sdk.SpeechRecognizer): Heard & { over: Promise<void> } {
  const heard: Heard = { events: [], recognizing: [], recognized: [], canceled: [] };
  const { promise: over, resolve } = Promise.withResolvers<void>();
  recognizer.speechStartDetected = () => heard.events.push("start");
  recognizer.speechEndDetected = () => heard.events.push("end");
  recognizer.recognizing = (_, { result }) => {
    heard.recognizing.push(result);
    if (heard.events.at(-1) !== "recognizing") heard.events.push("recognizing");
  };
  recognizer.recognized = (_, { result }) => {
    heard.recognized.push(result);
    heard.events.push("recognized");
  };
  recognizer.canceled = (_, event) => {
    heard.canceled.push(event);
    heard.events.push("canceled");
    resolve();
  };
  recognizer.sessionStopped = () => {
    heard.events.push("stopped");
    resolve();
  };
  return Object.assign(heard, { over });
}

function pushAll(pieces: readonly Int16Array[], format?: sdk.AudioStreamFormat): sdk.AudioConfig {
  const stream = sdk.AudioInputStream.createPushStream(
    format ?? sdk.AudioStreamFormat.getWaveFormatPCM(16_000, 16, 1),
  );
  for (const piece of pieces) {
    const { buffer, byteOffset, byteLength } = piece;
    stream.write(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
  }
  stream.close();
  return sdk.AudioConfig.fromStreamInput(stream);
}

async function recognise(
  audio: sdk.AudioConfig,
  settings: sdk.SpeechConfig = lab.config(),
): Promise<Heard> {
  const recognizer = new sdk.SpeechRecognizer(settings, audio);
  const heard = recordEvents(recognizer);
  recognizer.startContinuousRecognitionAsync();
  await heard.over;
  const { promise, resolve } = Promise.withResolvers<void>();
  recognizer.close(resolve, () => resolve());
  await promise;
  return heard;
}

const texts = ({ recognized }: Heard) => recognized.map(({ text }) => text);

const FAR_APART = async () => [
  silence(1),
  await lab.enrol("I want to pay my bill."),
  silence(2),
  await lab.enrol("Yes."),
  silence(2),
];

test("continuous recognition tells phrases in the documented order of events", async () => {
  const heard = await recognise(pushAll(await FAR_APART()));
  expect(texts(heard)).toEqual(["I want to pay my bill.", "Yes."]);
  const utterance = ["start", "recognizing", "recognized", "end"];
  expect(heard.events).toEqual([...utterance, ...utterance, "canceled", "stopped"]);
  expect(heard.canceled[0]?.reason).toBe(sdk.CancellationReason.EndOfStream);
  expect(heard.recognizing[0]?.text).toBe("i");
  const [first] = heard.recognized;
  expect((first?.offset ?? 0) / 10_000).toBeGreaterThanOrEqual(1000);
  expect((first?.offset ?? 0) / 10_000).toBeLessThanOrEqual(1100);
});

/** Where the last connection showed its key. */
function credentialsShown(): unknown {
  const opened = lab.trace.events.findLast(
    (event) => event.type === "socket" && event.kind === "open",
  );
  return opened?.type === "socket" ? opened.detail : undefined;
}

test("both of the SDK's transports are served, with the key in the query or in headers", async () => {
  const audio = [silence(1), await lab.enrol("Yes."), silence(1)];
  expect(texts(await recognise(pushAll(audio)))).toEqual(["Yes."]);
  expect(credentialsShown()).toMatchObject({ credentials: ["query"] });
  WebsocketMessageAdapter.forceNpmWebSocket = true;
  try {
    expect(texts(await recognise(pushAll(audio)))).toEqual(["Yes."]);
    expect(credentialsShown()).toMatchObject({ credentials: ["query", "headers"] });
  } finally {
    WebsocketMessageAdapter.forceNpmWebSocket = false;
  }
});

test("a wrong key is refused", async () => {
  const heard = await recognise(pushAll([silence(1)]), lab.config("wrong"));
  expect(heard.canceled[0]).toMatchObject({
    reason: sdk.CancellationReason.Error,
    errorCode: sdk.CancellationErrorCode.ConnectionFailure,
  });
});

interface Spoken {
  result: sdk.SpeechSynthesisResult;
  words: { text: string; offsetMs: number; textOffset: number }[];
  chunks: number;
}

async function speak(content: string, settings: sdk.SpeechConfig): Promise<Spoken> {
  const synthesizer = new sdk.SpeechSynthesizer(settings, null);
  const words: Spoken["words"] = [];
  let chunks = 0;
  synthesizer.wordBoundary = (_, { text, audioOffset, textOffset }) =>
    words.push({ text, offsetMs: audioOffset / 10_000, textOffset });
  synthesizer.synthesizing = () => chunks++;
  const { promise, resolve, reject } = Promise.withResolvers<sdk.SpeechSynthesisResult>();
  if (content.startsWith("<speak")) synthesizer.speakSsmlAsync(content, resolve, reject);
  else synthesizer.speakTextAsync(content, resolve, reject);
  const result = await promise;
  synthesizer.close();
  return { result, words, chunks };
}

function speaking(format: sdk.SpeechSynthesisOutputFormat): sdk.SpeechConfig {
  const settings = lab.config();
  settings.speechSynthesisVoiceName = "en-US-JennyNeural";
  settings.speechSynthesisOutputFormat = format;
  return settings;
}

const RAW_16K = sdk.SpeechSynthesisOutputFormat.Raw16Khz16BitMonoPcm;

test("text becomes audio with a boundary for every word", async () => {
  const text = "Bed & breakfast, please.";
  const { result, words, chunks } = await speak(text, speaking(RAW_16K));
  const spoken = lab.trace.events.findLast(({ type }) => type === "spoken");
  expect(spoken).toMatchObject({ text, voice: "en-US-JennyNeural", levelDbfs: expect.any(Number) });
  const expected = await lab.synthesiser.synthesise({ text, voice: "en-US-JennyNeural" });
  expect(result.reason).toBe(sdk.ResultReason.SynthesizingAudioCompleted);
  expect(new Int16Array(result.audioData)).toEqual(expected.samples);
  expect(result.audioDuration / 10_000).toBeCloseTo(expected.durationMs, 1);
  expect(chunks).toBe(Math.ceil(expected.durationMs / 100));
  const at = (index: number) => expected.words[index]?.startMs;
  expect(words).toEqual([
    { text: "Bed", offsetMs: 40, textOffset: text.indexOf("Bed") },
    { text: "breakfast", offsetMs: at(1), textOffset: text.indexOf("breakfast") },
    { text: ",", offsetMs: 897, textOffset: text.indexOf(",") },
    { text: "please", offsetMs: at(2), textOffset: text.indexOf("please") },
    { text: ".", offsetMs: 1568, textOffset: text.indexOf(".") },
  ]);
});

test.each([
  ["Raw8Khz8BitMonoMULaw", 8, 0],
  ["Raw8Khz8BitMonoALaw", 8, 0],
  ["Raw8Khz16BitMonoPcm", 16, 0],
  ["Raw24Khz16BitMonoPcm", 48, 0],
  ["Riff16Khz16BitMonoPcm", 32, 44],
] as const)("%s has %d bytes per millisecond", async (name, bytesPerMs, headerBytes) => {
  const { result } = await speak("Yes.", speaking(sdk.SpeechSynthesisOutputFormat[name]));
  const { durationMs } = await lab.synthesiser.synthesise({ text: "Yes." });
  expect(result.audioData.byteLength).toBe(durationMs * bytesPerMs + headerBytes);
});

test("what the service says, its recogniser understands", async () => {
  const settings = speaking(RAW_16K);
  const { result } = await speak("Where is the nearest branch? I cannot find it.", settings);
  const audio = [silence(1), new Int16Array(result.audioData), silence(1)];
  expect(texts(await recognise(pushAll(audio)))).toEqual([
    "Where is the nearest branch? I cannot find it.",
  ]);
});

test("an unknown voice is a bad request", async () => {
  const settings = speaking(RAW_16K);
  settings.speechSynthesisVoiceName = "en-US-NobodyNeural";
  const { result } = await speak("Yes.", settings);
  expect(result.reason).toBe(sdk.ResultReason.Canceled);
  expect(result.errorDetails).toContain("Unsupported voice en-US-NobodyNeural.");
});

test("SSML that is not well formed is a bad request", async () => {
  const { result } = await speak("<speak>Tom & Jerry</speak>", speaking(RAW_16K));
  expect(result.reason).toBe(sdk.ResultReason.Canceled);
  expect(result.errorDetails).toContain('stray "&" websocket error code: 1007');
});

test("silent synthesis is of the right length", async () => {
  lab.faults.add({ name: "speech.silent-synthesis" });
  const { result } = await speak("Yes.", speaking(RAW_16K));
  const { durationMs } = await lab.synthesiser.synthesise({ text: "Yes." });
  const samples = new Int16Array(result.audioData);
  expect(samples).toHaveLength(durationMs * 16);
  expect(samples.every((sample) => sample === 0)).toBe(true);
  const spoken = lab.trace.events.findLast(({ type }) => type === "spoken");
  expect(spoken).toMatchObject({ text: "Yes.", levelDbfs: -120 });
  expect(lab.trace.events.findLast(({ type }) => type === "fault")).toMatchObject({
    name: "speech.silent-synthesis",
  });
});

test("the list of voices is given to those who have a key", async () => {
  const synthesizer = new sdk.SpeechSynthesizer(lab.config(), null);
  const { voices } = await synthesizer.getVoicesAsync("en-US");
  synthesizer.close();
  expect(voices.map(({ shortName }) => shortName)).toContain("en-US-JennyNeural");
  const refused = await fetch(`${lab.speech.url}/cognitiveservices/voices/list`);
  expect(refused.status).toBe(401);
});

test("a token that was issued for the key opens the service", async () => {
  const answer = await fetch(`${lab.speech.url}/sts/v1.0/issueToken`, {
    method: "POST",
    headers: { "Ocp-Apim-Subscription-Key": "a key/with+signs" },
  });
  const settings = sdk.SpeechConfig.fromHost(new URL(lab.speech.url));
  settings.authorizationToken = await answer.text();
  const heard = await recognise(
    pushAll([silence(1), await lab.enrol("Yes."), silence(1)]),
    settings,
  );
  expect(texts(heard)).toEqual(["Yes."]);
});

test("recognising once ends speech before it tells what was said", async () => {
  const stream = sdk.AudioInputStream.createPushStream();
  for (const piece of [silence(1), await lab.enrol("Yes."), silence(2)]) {
    stream.write(piece.slice().buffer);
  }
  const settings = lab.config();
  settings.outputFormat = sdk.OutputFormat.Detailed;
  settings.requestWordLevelTimestamps();
  const recognizer = new sdk.SpeechRecognizer(settings, sdk.AudioConfig.fromStreamInput(stream));
  const { events } = recordEvents(recognizer);
  const result = await new Promise<sdk.SpeechRecognitionResult>((resolve, reject) => {
    recognizer.recognizeOnceAsync(resolve, reject);
  });
  recognizer.close();
  expect(result.text).toBe("Yes.");
  expect(JSON.parse(result.json).NBest[0].Words).toMatchObject([{ Word: "yes" }]);
  expect(events.slice(0, 4)).toEqual(["start", "recognizing", "end", "recognized"]);
});

test("settings that the service refuses are bad request parameters", async () => {
  const settings = lab.config();
  settings.setProperty(sdk.PropertyId.Speech_SegmentationSilenceTimeoutMs, "150000000");
  const { canceled } = await recognise(pushAll([silence(1)]), settings);
  expect(canceled[0]?.errorCode).toBe(sdk.CancellationErrorCode.BadRequestParameters);
});

test("text that arrives in pieces is spoken as it becomes complete", async () => {
  const settings = speaking(RAW_16K);
  settings.setProperty(
    "SpeechServiceConnection_Endpoint",
    `${lab.speech.url.replace("http", "ws")}/cognitiveservices/websocket/v2`,
  );
  const synthesizer = new sdk.SpeechSynthesizer(settings, null);
  const request = new sdk.SpeechSynthesisRequest(sdk.SpeechSynthesisRequestInputType.TextStream);
  const spoken = new Promise<sdk.SpeechSynthesisResult>((resolve, reject) => {
    synthesizer.speakAsync(request, resolve, reject);
  });
  for (const piece of ["Yes. N", "o. Good", "bye"]) request.inputStream.write(piece);
  request.inputStream.close();
  const result = await spoken;
  synthesizer.close();
  const expected = await lab.synthesiser.synthesise({
    text: "Yes. No. Goodbye",
    voice: "en-US-JennyNeural",
  });
  expect(new Int16Array(result.audioData)).toEqual(expected.samples);
});
