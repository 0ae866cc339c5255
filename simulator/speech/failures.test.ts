import * as sdk from "microsoft-cognitiveservices-speech-sdk";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import type { Fault } from "../faults.ts";
import { speechLab } from "./testing/speech-lab.ts";

const clock = systemClock();
const BILL = "I want to pay my bill.";
const lab = speechLab({ texts: [BILL, "Yes.", "No."] });

function config(): sdk.SpeechConfig {
  const made = lab.config();
  made.setProperty("Recognizer_StopTimeoutMs", "400");
  made.speechSynthesisOutputFormat = sdk.SpeechSynthesisOutputFormat.Raw8Khz8BitMonoMULaw;
  return made;
}

const CHUNK_BYTES = 3200;

/** Sentences with silence around them, in pieces of 100 ms. */
async function spoken(texts: readonly string[]): Promise<ArrayBuffer[]> {
  const pieces: number[] = [];
  for (const text of texts) {
    const { samples } = await lab.synthesiser.synthesise({ text });
    pieces.push(...new Int16Array(8000), ...samples, ...new Int16Array(24_000));
  }
  const { buffer } = Int16Array.from(pieces);
  return Array.from({ length: Math.floor(buffer.byteLength / CHUNK_BYTES) }, (_, index) =>
    buffer.slice(CHUNK_BYTES * index, CHUNK_BYTES * (index + 1)),
  );
}

interface Outcome {
  texts: string[];
  canceled: sdk.SpeechRecognitionCanceledEventArgs | undefined;
}

/** Says everything and waits until the client has given up or heard it; the fault strikes on the way. */
async function recognise(fault: Fault, ...texts: string[]): Promise<Outcome> {
  lab.faults.add(fault);
  const chunks = await spoken(texts);
  const stream = sdk.AudioInputStream.createPushStream();
  const recognizer = new sdk.SpeechRecognizer(config(), sdk.AudioConfig.fromStreamInput(stream));
  const outcome: Outcome = { texts: [], canceled: undefined };
  const over = Promise.withResolvers<void>();
  recognizer.recognized = (_, { result }) => outcome.texts.push(result.text);
  recognizer.canceled = (_, event) => {
    outcome.canceled ??= event;
    over.resolve();
  };
  recognizer.startContinuousRecognitionAsync();
  for (const chunk of chunks) stream.write(chunk);
  stream.close();
  await over.promise;
  await new Promise<void>((resolve) => recognizer.close(resolve, () => resolve()));
  return outcome;
}

const {
  ConnectionFailure,
  ServiceError,
  TooManyRequests,
  BadRequestParameters,
  Forbidden,
  NoError,
} = sdk.CancellationErrorCode;

test.each([401, 403, 429, 500])(
  "an upgrade refused with %d ends in a connection failure",
  async (status) => {
    const { canceled } = await recognise({ name: "speech.refuse", with: { status } }, BILL);
    expect(canceled?.errorCode).toBe(ConnectionFailure);
    const refused = lab.trace.events.filter(
      (event) => event.type === "http" && event.status === status,
    );
    expect(refused.length).toBeGreaterThanOrEqual(5);
  },
);

test.each([
  [1002, ConnectionFailure],
  [1003, ConnectionFailure],
  [4000, ConnectionFailure],
  [1007, BadRequestParameters],
])("closing with %d is final", async (code, errorCode) => {
  const { canceled } = await recognise({ name: "speech.drop", with: { code } }, BILL);
  expect(canceled?.errorCode).toBe(errorCode);
});

test.each([
  ["Error", ServiceError],
  ["TooManyRequests", TooManyRequests],
  ["BadRequest", BadRequestParameters],
  ["Forbidden", Forbidden],
  ["SomethingNew", NoError],
])("a phrase with status %s cancels", async (status, errorCode) => {
  const { canceled } = await recognise({ name: "speech.status", with: { status } }, BILL);
  expect(canceled).toMatchObject({ reason: sdk.CancellationReason.Error, errorCode });
});

test("NoMatch in the place of a phrase changes nothing else", async () => {
  const fault = { name: "speech.status", with: { status: "NoMatch" }, times: 1 };
  const { texts, canceled } = await recognise(fault, BILL, "Yes.");
  expect(texts).toEqual(["", "Yes."]);
  expect(canceled?.reason).toBe(sdk.CancellationReason.EndOfStream);
});

test.each([
  ["speech.mishear", { text: "I want to play my drill." }, ["I want to play my drill.", "Yes."]],
  ["speech.duplicate-phrase", {}, [BILL, BILL, "Yes."]],
  ["speech.slow-phrase", { delayMs: 60 }, [BILL, "Yes."]],
  ["speech.late-turn-end", { delayMs: 60 }, [BILL, "Yes."]],
] as const)("%s", async (name, parameters, expected) => {
  const { texts } = await recognise({ name, with: parameters, times: 1 }, BILL, "Yes.");
  expect(texts).toEqual(expected);
  expect(lab.faults.struck).toContain(name);
});

test("a deaf service tells nothing, but ends the turn", async () => {
  const { texts, canceled } = await recognise({ name: "speech.deaf" }, BILL);
  expect(texts).toEqual([]);
  expect(canceled?.reason).toBe(sdk.CancellationReason.EndOfStream);
});

test("without turn.end, stopping runs into the client's own time-out", async () => {
  lab.faults.add({ name: "speech.no-turn-end" });
  const stream = sdk.AudioInputStream.createPushStream();
  for (const chunk of await spoken([BILL])) stream.write(chunk);
  const recognizer = new sdk.SpeechRecognizer(config(), sdk.AudioConfig.fromStreamInput(stream));
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  recognizer.recognized = () => resolve();
  recognizer.startContinuousRecognitionAsync();
  await heard;
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
  recognizer.stopContinuousRecognitionAsync(() => stop("stopped"), stop);
  expect(await stopped).toContain("400");
  recognizer.close();
});

async function speak(text: string): Promise<sdk.SpeechSynthesisResult> {
  const synthesizer = new sdk.SpeechSynthesizer(config(), null);
  const { promise, resolve, reject } = Promise.withResolvers<sdk.SpeechSynthesisResult>();
  synthesizer.speakTextAsync(text, resolve, reject);
  const result = await promise;
  synthesizer.close();
  return result;
}

test.each([401, 429, 500])("synthesis refused with %d is canceled", async (status) => {
  lab.faults.add({ name: "speech.refuse-synthesis", with: { status } });
  const from = lab.trace.events.length;
  const result = await speak("Yes.");
  expect(result.reason).toBe(sdk.ResultReason.Canceled);
  const attempts = lab.trace.events
    .slice(from)
    .filter((event) => event.type === "http" && event.target.startsWith("/tts/"));
  expect(attempts.length).toBeGreaterThanOrEqual(1);
});

test("a reason for closing with 1007 reaches the application", async () => {
  const reason = "Quota exceeded";
  lab.faults.add({ name: "speech.drop-synthesis", with: { code: 1007, afterMs: 200, reason } });
  const result = await speak(BILL);
  expect(result.reason).toBe(sdk.ResultReason.Canceled);
  expect(result.errorDetails).toContain(reason);
});

test("synthesis that breaks off is canceled, and the next one works", async () => {
  lab.faults.add({ name: "speech.drop-synthesis", with: { afterMs: 300 }, times: 1 });
  expect((await speak(BILL)).reason).toBe(sdk.ResultReason.Canceled);
  expect((await speak(BILL)).reason).toBe(sdk.ResultReason.SynthesizingAudioCompleted);
});

test("synthesis that is cut completes with less audio", async () => {
  lab.faults.add({ name: "speech.cut-synthesis", with: { afterMs: 500 } });
  const result = await speak(BILL);
  expect(result.reason).toBe(sdk.ResultReason.SynthesizingAudioCompleted);
  expect(result.audioData.byteLength).toBe(500 * 8);
});

test("slow synthesis keeps the first byte and the pace that were asked for", async () => {
  lab.faults.add({ name: "speech.slow-synthesis", with: { firstByteMs: 150, speed: 20 } });
  const startedAt = clock.now();
  const result = await speak(BILL);
  const { durationMs } = await lab.synthesiser.synthesise({ text: BILL });
  expect(result.audioData.byteLength).toBe(durationMs * 8);
  expect(clock.now() - startedAt).toBeGreaterThanOrEqual(150 + (durationMs - 100) / 20 - 5);
});
