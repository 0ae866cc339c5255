import { expect, test } from "vitest";
import { Hearing } from "./hearing.ts";
import { type EarListener, type EarOptions, openEar } from "./stt.ts";
import { createLogger } from "./telemetry.ts";
import { until } from "./testing/call-service.ts";
import { type SpeechService, startSpeechService, WORD_MS } from "./testing/speech-service.ts";
import { openVoice, type SpeechPiece, type Voice } from "./tts.ts";

const FRAME = new Uint8Array(640).fill(3);
const QUIET = createLogger({ logLevel: "silent" });

function optionsFor({ url }: SpeechService, options: Partial<EarOptions> = {}): EarOptions {
  return {
    key: "canary-key",
    region: undefined,
    host: url,
    language: "en-US",
    voice: "en-US-AvaMultilingualNeural",
    preparedPhrases: false,
    preparationIdleMs: 0,
    segmentationSilenceMs: 500,
    firstAudioTimeoutMs: 1000,
    stopTimeoutMs: 300,
    rateHz: 16_000,
    date: () => new Date(),
    ...options,
  };
}

/** A listener that notes what it is told. */
function note(): EarListener & { readonly noted: string[] } {
  const noted: string[] = [];
  return {
    noted,
    onOnset: () => noted.push("onset"),
    onHypothesis: (text) => noted.push(`maybe ${text}`),
    onPhrase: (text) => noted.push(text),
    onNothing: () => noted.push("nothing"),
    onFailure: ({ message }) => noted.push(`failure ${message}`),
  };
}

test("an ear reports onset, hypotheses and phrases of the audio it gets", async () => {
  await using service = await startSpeechService();
  const listener = note();
  await using ear = openEar(optionsFor(service), listener);
  ear.write(FRAME);
  ear.write(FRAME);
  const recognition = await service.recognition();
  recognition.onset();
  recognition.hypothesis("what is");
  recognition.phrase("What is my plan?");
  recognition.noMatch();
  await until(() => listener.noted.length === 4);
  expect(listener.noted).toEqual(["onset", "maybe what is", "What is my plan?", "nothing"]);
});

test("a host is reached on the path a region has, with the endpointing configured", async () => {
  await using service = await startSpeechService();
  await using ear = openEar(optionsFor(service, { segmentationSilenceMs: 640 }), note());
  ear.write(FRAME);
  ear.write(FRAME);
  const { url, context } = await service.recognition();
  expect(url.pathname).toBe("/stt/speech/universal/v2");
  expect(url.searchParams.get("language")).toBe("en-US");
  expect(context).toContain('"segmentationSilenceTimeoutMs":640');
});

test("every frame goes out at once: the SDK's 100 ms batching does not apply", async () => {
  await using service = await startSpeechService();
  await using ear = openEar(optionsFor(service), note());
  ear.write(FRAME);
  const recognition = await service.recognition();
  ear.write(FRAME);
  await until(() => recognition.audioBytes === 2 * FRAME.length);
  expect(recognition.audioBytes).toBe(1280);
});

test("audio written before the connection is there is not lost", async () => {
  await using service = await startSpeechService();
  await using ear = openEar(optionsFor(service), note());
  for (let frame = 0; frame < 10; frame += 1) ear.write(FRAME);
  const recognition = await service.recognition();
  await until(() => recognition.audioBytes === 10 * FRAME.length);
  expect(service.recognitions).toHaveLength(1);
});

test("a refused ear says so once, and never shows the key", async () => {
  await using service = await startSpeechService({ refuseRecognition: 401 });
  const listener = note();
  await using ear = openEar(optionsFor(service), listener);
  ear.write(FRAME);
  await until(() => listener.noted.length > 0);
  expect(listener.noted[0]).toContain("speech recognition failed with ConnectionFailure");
  expect(listener.noted.join()).not.toContain("canary-key");
  expect(listener.noted).toHaveLength(1);
});

test("a closed ear tells nothing more and leaves no connection", async () => {
  await using service = await startSpeechService();
  const listener = note();
  const ear = openEar(optionsFor(service), listener);
  ear.write(FRAME);
  ear.write(FRAME);
  const recognition = await service.recognition();
  await ear[Symbol.asyncDispose]();
  recognition.phrase("too late");
  await until(() => service.connections === 0);
  expect(listener.noted).toEqual([]);
});

test("an ear whose service never ends its turn leaves no connection", async () => {
  await using service = await startSpeechService({ endlessRecognition: true });
  const ear = openEar(optionsFor(service, { stopTimeoutMs: 100 }), note());
  ear.write(FRAME);
  ear.write(FRAME);
  await service.recognition();
  await ear[Symbol.asyncDispose]();
  // The SDK opens another one by itself.
  await until(() => service.opened === 2);
  await until(() => service.connections === 0);
  expect(service.opened).toBe(2);
});

test("hearing survives a broken ear and reopens it", async () => {
  await using service = await startSpeechService();
  const listener = note();
  await using hearing = new Hearing({ speech: optionsFor(service), listener, logger: QUIET });
  hearing.write(FRAME);
  hearing.write(FRAME);
  (await service.recognition()).drop(4000);
  await until(
    () =>
      service.recognitions.filter(({ audioBytes }) => audioBytes > 0).length > 1 ||
      (hearing.write(FRAME), false),
  );
  (await service.recognition()).phrase("Still there.");
  await until(() => listener.noted.length > 0);
  expect(listener.noted).toEqual(["Still there."]);
});

test("hearing gives up after the third failure", async () => {
  await using service = await startSpeechService({ refuseRecognition: 500 });
  const listener = note();
  await using hearing = new Hearing({ speech: optionsFor(service), listener, logger: QUIET });
  hearing.write(FRAME);
  await until(() => listener.noted.length > 0);
  expect(listener.noted[0]).toContain("ConnectionFailure");
});

async function collect(voice: Voice, text: string, signal = new AbortController().signal) {
  const pieces: SpeechPiece[] = [];
  for await (const piece of voice.speak(text, { signal })) pieces.push(piece);
  const words = pieces.flatMap((piece) => (piece.type === "word" ? [piece.word] : []));
  const audio = pieces.flatMap((piece) => (piece.type === "audio" ? [piece.samples.length] : []));
  return { words, audioBytes: audio.reduce((sum, length) => sum + length, 0) };
}

test("a voice gives audio and where its words are", async () => {
  await using service = await startSpeechService();
  await using voice = openVoice(optionsFor(service));
  const { words, audioBytes } = await collect(voice, "Terms & conditions apply");
  expect(audioBytes).toBe(4 * WORD_MS * 32);
  expect(words[2]).toEqual({
    text: "conditions",
    textOffset: 8,
    startMs: 2 * WORD_MS,
    endMs: 3 * WORD_MS,
  });
  expect(service.formats).toEqual(["raw-16khz-16bit-mono-pcm"]);
  expect(service.voices).toEqual(["en-US-AvaMultilingualNeural"]);
});

test("a call at 24 kHz has a voice at 24 kHz", async () => {
  await using service = await startSpeechService();
  await using voice = openVoice(optionsFor(service, { rateHz: 24_000 }));
  const { audioBytes } = await collect(voice, "Hello");
  expect(audioBytes).toBe(WORD_MS * 48);
  expect(service.formats).toEqual(["raw-24khz-16bit-mono-pcm"]);
});

test("utterances follow each other on one connection", async () => {
  await using service = await startSpeechService();
  await using voice = openVoice(optionsFor(service));
  await collect(voice, "One.");
  await collect(voice, "Two.");
  expect(service.spoken).toEqual(["One.", "Two."]);
  expect(service.connections).toBe(1);
});

test("an aborted utterance ends at once, and the next has a connection ready", async () => {
  await using service = await startSpeechService({ silentSynthesis: true });
  await using voice = openVoice(optionsFor(service));
  const controller = new AbortController();
  const spoken = collect(voice, "Never answered", controller.signal);
  await until(() => service.spoken.length === 1);
  controller.abort();
  expect((await spoken).audioBytes).toBe(0);
  await until(() => service.connections === 1);
  service.options.silentSynthesis = false;
  expect((await collect(voice, "Hello")).audioBytes).toBeGreaterThan(0);
});

test.each([
  ["refused", { refuseSynthesis: 401 }, "ConnectionFailure"],
  ["cut off", { cutSynthesisAfterWords: 2 }, "ConnectionFailure"],
  ["silent", { silentSynthesis: true }, "Stalled"],
])("a synthesis that is %s is a failure", async (_case, options, code) => {
  await using service = await startSpeechService(options);
  await using voice = openVoice(optionsFor(service, { firstAudioTimeoutMs: 200 }));
  await expect(collect(voice, "one two three four")).rejects.toMatchObject({ code });
});

test.each(["while it opens", "once it is open"])(
  "a voice that never spoke leaves no connection, disposed %s",
  async (when) => {
    await using service = await startSpeechService();
    const voice = openVoice(optionsFor(service));
    if (when === "once it is open") await until(() => service.connections === 1);
    await voice[Symbol.asyncDispose]();
    await until(() => service.opened === 1 && service.connections === 0);
    expect(service.connections).toBe(0);
  },
);

test("a disposed voice leaves no connection", async () => {
  await using service = await startSpeechService();
  const voice = openVoice(optionsFor(service));
  await collect(voice, "Hello");
  await voice[Symbol.asyncDispose]();
  await until(() => service.connections === 0);
  expect(service.connections).toBe(0);
});

test("hearing that gets sound and gives no word is opened again", async () => {
  await using service = await startSpeechService();
  const listener = note();
  await using hearing = new Hearing({ speech: optionsFor(service), listener, logger: QUIET });
  const loud = new Uint8Array(
    Int16Array.from({ length: 320 }, (_, index) => (index % 2 ? 3000 : -3000)).buffer,
  );
  for (let frame = 0; frame < 295; frame += 1) hearing.write(loud);
  for (let frame = 0; frame < 150; frame += 1) hearing.write(new Uint8Array(640));
  for (let frame = 0; frame < 295; frame += 1) hearing.write(loud);
  await service.recognition();
  expect(service.recognitions).toHaveLength(1);
  for (let frame = 0; frame < 10; frame += 1) hearing.write(loud);
  await until(() => service.recognitions.length === 2);
  expect(listener.noted).toEqual([]);
});
