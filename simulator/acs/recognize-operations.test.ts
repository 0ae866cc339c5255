import {
  CallAutomationClient,
  type CallMediaRecognizeDtmfOptions,
  DtmfTone,
} from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { manualClock, systemClock } from "../clock.ts";
import type { AcsOptions } from "./server.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";
import { FakeSpeech } from "./testing/speech.ts";

const CALLER = { phoneNumber: "+14255550100" };
const CHOICES = [
  { label: "billing", phrases: ["my bill", "invoice"], tone: DtmfTone.One },
  { label: "sales", phrases: ["buy"], tone: DtmfTone.Two },
];

async function connect(lab: TestLab, { isLinked = true } = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`, {
    ...(isLinked && {
      callIntelligenceOptions: { cognitiveServicesEndpoint: "https://ai.example.test" },
    }),
  });
  await lab.application.event("CallConnected");
  return { leg, media: callConnection.getCallMedia() };
}

async function startSpeechLab(options: Partial<AcsOptions> = {}) {
  const speech = new FakeSpeech();
  const { synthesise, recognise } = speech;
  return { speech, lab: await startTestLab({ synthesise, recognise, ...options }) };
}

const dtmf = (options: Partial<CallMediaRecognizeDtmfOptions> = {}) => ({
  kind: "callMediaRecognizeDtmfOptions" as const,
  operationContext: "digits",
  ...options,
});

test("as many tones as wanted complete the recognition", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.startRecognizing(CALLER, dtmf({ maxTonesToCollect: 3 }));
  for (const digit of "1#*") leg.press(digit);
  const { data } = await lab.application.event("RecognizeCompleted");
  expect(data).toMatchObject({
    operationContext: "digits",
    recognitionType: "dtmf",
    dtmfResult: { tones: ["one", "pound", "asterisk"] },
    resultInformation: { code: 200, subCode: 8531, message: "Action completed successfully." },
  });
});

test("a stop tone completes the recognition and is not part of it", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  const options = dtmf({ maxTonesToCollect: 9, stopDtmfTones: [DtmfTone.Pound] });
  await media.startRecognizing(CALLER, options);
  for (const digit of "42#") leg.press(digit);
  const { data } = await lab.application.event("RecognizeCompleted");
  expect(data).toMatchObject({
    dtmfResult: { tones: ["four", "two"] },
    resultInformation: { code: 200, subCode: 8514 },
  });
});

test("a pause between tones completes the recognition with what is there", async () => {
  const clock = manualClock();
  const { lab } = await startSpeechLab({ clock });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.startRecognizing(CALLER, dtmf({ interToneTimeoutInSeconds: 2 }));
  leg.press("7");
  await clock.advance(2000);
  const { data } = await lab.application.event("RecognizeCompleted");
  expect(data).toMatchObject({
    dtmfResult: { tones: ["seven"] },
    resultInformation: { code: 400, subCode: 8532 },
  });
});

test("silence fails the recognition after its time-out", async () => {
  const clock = manualClock();
  const { lab } = await startSpeechLab({ clock });
  await using _lab = lab;
  const { media } = await connect(lab);
  await media.startRecognizing(CALLER, dtmf({ initialSilenceTimeoutInSeconds: 3 }));
  await clock.advance(2999);
  expect(lab.application.eventTypes()).not.toContain("RecognizeFailed");
  await clock.advance(1);
  const { data } = await lab.application.event("RecognizeFailed");
  expect(data["resultInformation"]).toEqual({
    code: 400,
    subCode: 8510,
    message: "Action failed, initial silence timeout reached.",
  });
});

test("a key interrupts the prompt only where that is allowed", async () => {
  const { lab } = await startSpeechLab({ clock: systemClock({ rate: 20 }) });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  const playPrompts = Array.from({ length: 100 }, () => ({
    kind: "textSource" as const,
    text: "x",
  }));
  leg.onWritten = () => lab.application.poke();
  await media.startRecognizing(
    CALLER,
    dtmf({ maxTonesToCollect: 1, interruptPrompt: true, playPrompts }),
  );
  await lab.application.until(() => leg.written.length > 0, "the prompt");
  leg.press("1");
  await lab.application.event("RecognizeCompleted");
  expect(leg.queuedMs).toBe(0);
  const before = leg.written.length;
  await media.startRecognizing(
    CALLER,
    dtmf({ maxTonesToCollect: 1, playPrompts: playPrompts.slice(0, 5) }),
  );
  await lab.application.until(() => leg.written.length > before, "the second prompt");
  leg.press("1");
  expect(leg.queuedMs).toBeGreaterThan(0);
  await lab.application.event("RecognizeFailed");
});

test.each([
  ["1", { code: 200, subCode: 8533 }, { label: "billing" }],
  ["9", { code: 400, subCode: 8534 }, undefined],
])("the key %s is matched against the choices", async (digit, resultInformation, choiceResult) => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.startRecognizing(CALLER, {
    kind: "callMediaRecognizeChoiceOptions",
    choices: CHOICES,
  });
  leg.press(digit);
  const type = choiceResult === undefined ? "RecognizeFailed" : "RecognizeCompleted";
  const { data } = await lab.application.event(type);
  expect(data).toMatchObject({ resultInformation });
  expect(data["choiceResult"]).toEqual(choiceResult);
});

test.each([
  ["It is about my bill.", { subCode: 8545 }, { label: "billing", recognizedPhrase: "my bill" }],
  ["Good morning", { subCode: 8547 }, undefined],
])("'%s' is matched against the choices", async (text, resultInformation, choiceResult) => {
  const { lab, speech } = await startSpeechLab();
  await using _lab = lab;
  const { media } = await connect(lab);
  await media.startRecognizing(CALLER, {
    kind: "callMediaRecognizeChoiceOptions",
    choices: CHOICES,
    speechLanguage: "en-US",
  });
  await lab.trace.waitFor((event) => event.type === "http" && event.target.includes(":recognize"), {
    timeoutMs: 2000,
    what: "recognize",
  });
  speech.hear("phrase", text, { confidence: 0.8 });
  const type = choiceResult === undefined ? "RecognizeFailed" : "RecognizeCompleted";
  const { data } = await lab.application.event(type);
  expect(data).toMatchObject({ resultInformation });
  expect(data["choiceResult"]).toEqual(choiceResult && { ...choiceResult, confidence: 0.8 });
  expect(speech.listeners[0]?.locale).toBe("en-US");
});

test("speech is fed to the recogniser and its words are the result", async () => {
  const { lab, speech } = await startSpeechLab();
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.startRecognizing(CALLER, {
    kind: "callMediaRecognizeSpeechOptions",
    endSilenceTimeoutInSeconds: 1,
  });
  leg.speak(new Int16Array(160));
  speech.hear("onset", "");
  speech.hear("phrase", "I want to dispute a charge", { confidence: 0.7 });
  const { data } = await lab.application.event("RecognizeCompleted");
  expect(data).toMatchObject({
    recognitionType: "speech",
    speechResult: { speech: "I want to dispute a charge", confidence: 0.7 },
    resultInformation: { code: 200, subCode: 8569 },
  });
  expect(speech.acceptedSamples).toBe(160);
  expect(speech.listeners[0]?.segmentationSilenceMs).toBe(1000);
});

test("what is not understood fails the recognition", async () => {
  const { lab, speech } = await startSpeechLab();
  await using _lab = lab;
  const { media } = await connect(lab);
  await media.startRecognizing(CALLER, { kind: "callMediaRecognizeSpeechOptions" });
  speech.hear("noMatch", "");
  const { data } = await lab.application.event("RecognizeFailed");
  expect(data).toMatchObject({ resultInformation: { code: 400, subCode: 8563 } });
});

test("speech or keys, whichever comes first, completes the recognition", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.startRecognizing(CALLER, {
    kind: "callMediaRecognizeSpeechOrDtmfOptions",
    maxTonesToCollect: 1,
  });
  leg.press("5");
  const { data } = await lab.application.event("RecognizeCompleted");
  expect(data).toMatchObject({ recognitionType: "dtmf", dtmfResult: { tones: ["five"] } });
});

test("a prompt that cannot be played fails the recognition with 8511 and its index", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { media } = await connect(lab);
  const playPrompt = { kind: "fileSource" as const, url: "http://127.0.0.1:1/none.wav" };
  await media.startRecognizing(CALLER, dtmf({ playPrompt }));
  const { data } = await lab.application.event("RecognizeFailed");
  expect(data).toMatchObject({
    failedPlaySourceIndex: 0,
    resultInformation: { code: 500, subCode: 8511 },
  });
});

test("cancelling gives RecognizeCanceled, and a play meanwhile is incompatible", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { media } = await connect(lab);
  await media.startRecognizing(CALLER, dtmf());
  const play = media.playToAll([{ kind: "textSource", text: "x" }]);
  expect(await refusalOf(play)).toMatchObject({ statusCode: 412, code: "8583" });
  await media.cancelAllOperations();
  const { data } = await lab.application.event("RecognizeCanceled");
  expect(data).toMatchObject({ operationContext: "digits", resultInformation: { subCode: 8508 } });
});

test("recognising somebody who is not there, or speech without a resource, is refused", async () => {
  const { lab } = await startSpeechLab();
  await using _lab = lab;
  const { media } = await connect(lab, { isLinked: false });
  const absent = media.startRecognizing({ phoneNumber: "+19995550199" }, dtmf());
  expect(await refusalOf(absent)).toMatchObject({ statusCode: 404, code: "8522" });
  const unlinked = media.startRecognizing(CALLER, { kind: "callMediaRecognizeSpeechOptions" });
  expect(await refusalOf(unlinked)).toMatchObject({ statusCode: 400, code: "8567" });
  const tooLong = media.startRecognizing(CALLER, dtmf({ initialSilenceTimeoutInSeconds: 301 }));
  expect(await refusalOf(tooLong)).toMatchObject({ statusCode: 400, code: "8523" });
});
