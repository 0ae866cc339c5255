import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { speechLab } from "./testing/speech-lab.ts";

const clock = systemClock();
const LONG = "Your next payment is due on the first of March. Is there anything else?";
const lab = speechLab({
  texts: [],
  // Pieces of 40 ms, ten times as fast as they sound, the first after 120 ms.
  pace: { chunkMs: 40, speed: 10, firstByteMs: 120 },
});

/** Closed after the test; `closed` if the test does that itself, for it can be done once only. */
function open({ closed = false } = {}): sdk.SpeechSynthesizer {
  const settings = sdk.SpeechConfig.fromHost(new URL(lab.speech.url), "k");
  settings.speechSynthesisOutputFormat = sdk.SpeechSynthesisOutputFormat.Raw8Khz8BitMonoMULaw;
  const synthesizer = new sdk.SpeechSynthesizer(settings, null);
  if (!closed) onTestFinished(() => synthesizer.close());
  return synthesizer;
}

function speak(synthesizer: sdk.SpeechSynthesizer, text: string) {
  return new Promise<sdk.SpeechSynthesisResult>((resolve, reject) => {
    synthesizer.speakTextAsync(text, resolve, reject);
  });
}

/** Resolves with the first audio of the next utterance. */
function firstAudio(synthesizer: sdk.SpeechSynthesizer): Promise<number> {
  return new Promise((resolve) => {
    synthesizer.synthesizing = (_, { result }) => resolve(result.audioData.byteLength);
  });
}

test("audio comes in pieces of the size, at the pace and after the time that were set", async () => {
  const synthesizer = open();
  const sizes: number[] = [];
  synthesizer.synthesizing = (_, { result }) => sizes.push(result.audioData.byteLength);
  const startedMs = clock.now();
  const { audioData } = await speak(synthesizer, LONG);
  const tookMs = clock.now() - startedMs;
  expect(Math.max(...sizes)).toBe(40 * 8);
  expect(sizes.length).toBeGreaterThanOrEqual(audioData.byteLength / 320);
  expect(tookMs).toBeGreaterThanOrEqual(120 + audioData.byteLength / 8 / 10 - 10);
});

test("closing in mid-speech ends the audio, and the application is told nothing", async () => {
  const synthesizer = open({ closed: true });
  const audible = firstAudio(synthesizer);
  const from = lab.trace.events.length;
  let told = false;
  void speak(synthesizer, LONG).finally(() => {
    told = true;
  });
  await audible;
  synthesizer.close();
  const closed = await lab.trace.waitFor(
    (event) => event.type === "socket" && event.kind === "close",
    {
      timeoutMs: 5000,
      what: "close of the synthesis",
      from,
    },
  );
  expect(closed).toMatchObject({ detail: { code: 1000 } });
  await speak(open(), "Yes.");
  expect(told).toBe(false);
});

/** What the SDK keeps to itself: the way in which it would stop, were there a public one. */
interface Stoppable {
  readonly privAdapter: { stopSpeaking(): Promise<void> };
}

test("a stop message ends the turn with what was said, and the connection serves the next", async () => {
  const synthesizer = open();
  const whole = await speak(synthesizer, LONG);
  const from = lab.trace.events.length;
  const audible = firstAudio(synthesizer);
  const speaking = speak(synthesizer, LONG);
  await audible;
  void (synthesizer as unknown as Stoppable).privAdapter.stopSpeaking();
  const { reason, audioData } = await speaking;
  expect(reason).toBe(sdk.ResultReason.SynthesizingAudioCompleted);
  expect(audioData.byteLength).toBeGreaterThan(0);
  expect(audioData.byteLength).toBeLessThan(whole.audioData.byteLength);
  expect((await speak(synthesizer, LONG)).audioData).toEqual(whole.audioData);
  const later = lab.trace.events.slice(from);
  expect(later.some((event) => event.type === "socket" && event.kind === "open")).toBe(false);
  expect(later).toContainEqual(
    expect.objectContaining({ kind: "synthesis.control", detail: { action: "stop" } }),
  );
});

test("a close with 1000 in mid-speech leaves the application waiting", async () => {
  lab.faults.add({ name: "speech.drop-synthesis", with: { code: 1000, afterMs: 200 }, times: 1 });
  const from = lab.trace.events.length;
  let told = false;
  void speak(open(), LONG).finally(() => {
    told = true;
  });
  await lab.trace.waitFor((event) => event.type === "socket" && event.kind === "close", {
    timeoutMs: 5000,
    what: "close of the synthesis",
    from,
  });
  await speak(open(), "Yes.");
  expect(told).toBe(false);
});

test("audio without its announcement ends the client's reading without a word", async () => {
  lab.faults.add({ name: "speech.no-response", times: 1 });
  const from = lab.trace.events.length;
  let told = false;
  void speak(open(), "Yes.").finally(() => {
    told = true;
  });
  await lab.trace.waitFor((event) => event.type === "socket" && event.kind === "turn.end", {
    timeoutMs: 5000,
    what: "end of the turn",
    from,
  });
  await speak(open(), "No.");
  expect(told).toBe(false);
});

/** Speaks text that is written in pieces. */
function openStream() {
  const synthesizer = open();
  synthesizer.properties.setProperty(
    "SpeechServiceConnection_Endpoint",
    `${lab.speech.url.replace("http", "ws")}/cognitiveservices/websocket/v2`,
  );
  const request = new sdk.SpeechSynthesisRequest(sdk.SpeechSynthesisRequestInputType.TextStream);
  const audible = firstAudio(synthesizer);
  const spoken = new Promise<sdk.SpeechSynthesisResult>((resolve, reject) => {
    synthesizer.speakAsync(request, resolve, reject);
  });
  return { input: request.inputStream, audible, spoken };
}

test("text that arrives in pieces is heard before its end", async () => {
  const { input, audible, spoken } = openStream();
  input.write("Good morning. How");
  expect(await audible).toBeGreaterThan(0);
  input.write(" can I help?");
  input.close();
  const { audioData } = await spoken;
  const { durationMs } = await lab.synthesiser.synthesise({
    text: "Good morning. How can I help?",
  });
  expect(audioData.byteLength).toBe(durationMs * 8);
});

test.each([
  ["Hello ", ["world. ", "How ", "are ", "you?"], ["Hello world.", "How are you?"]],
  ["-", ["5 ", "degrees", "."], ["-5 degrees."]],
])("after a sentence and %j come the pieces %j", async (begun, pieces, expected) => {
  const from = lab.trace.events.length;
  const { input, audible, spoken } = openStream();
  input.write(`Good morning. ${begun}`);
  await audible;
  for (const piece of pieces) input.write(piece);
  input.close();
  await spoken;
  const said = lab.trace.events
    .slice(from)
    .flatMap((each) => (each.type === "spoken" ? each.text : []));
  expect(said.join(" ")).toBe(["Good morning.", ...expected].join(" "));
});
