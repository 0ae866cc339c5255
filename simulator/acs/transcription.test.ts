import { CallAutomationClient, StreamingData } from "@azure/communication-call-automation";
import { expect, onTestFinished, test, vi } from "vitest";
import { Outbound } from "./outbound.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";
import { FakeSpeech } from "./testing/speech.ts";

async function connect(lab: TestLab, changes: object = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`, {
    transcriptionOptions: {
      transportUrl: `${lab.application.socketUrl}/transcripts`,
      transportType: "websocket",
      locale: "en-US",
      startTranscription: true,
      enableIntermediateResults: true,
      ...changes,
    },
  });
  await lab.application.event("CallConnected");
  return { leg, callConnection, media: callConnection.getCallMedia() };
}

test("what a participant says arrives as text, first in part, then final", async () => {
  const speech = new FakeSpeech();
  await using lab = await startTestLab({ recognise: speech.recognise });
  const { leg, callConnection } = await connect(lab);
  const { data } = await lab.application.event("TranscriptionStarted");
  expect(data["transcriptionUpdate"]).toEqual({
    transcriptionStatus: "transcriptionStarted",
    transcriptionStatusDetails: "subscriptionStarted",
  });
  const stream = await lab.application.stream();
  const metadata = await lab.application.message(stream, "TranscriptionMetadata");
  expect(metadata["transcriptionMetadata"]).toMatchObject({
    locale: "en-us",
    callConnectionId: lab.acs.calls[0]?.id,
  });
  leg.speak(new Int16Array(160));
  speech.hear("hypothesis", "I want");
  speech.hear("phrase", "I want to dispute", {
    confidence: 0.69,
    words: [{ text: "I", startMs: 0, durationMs: 80 }],
  });
  const parts = [0, 1].map((nth) => lab.application.message(stream, "TranscriptionData", nth));
  const parsed = (await Promise.all(parts)).map((part) =>
    StreamingData.parse(JSON.stringify(part)),
  );
  expect(parsed).toMatchObject([
    { text: "I want", resultState: "Intermediate", words: [] },
    {
      text: "I want to dispute",
      confidence: 0.69,
      format: "display",
      resultState: "Final",
      durationInTicks: 5_000_000,
      participant: { phoneNumber: "+14255550100" },
      words: [{ text: "I", durationInTicks: 800_000 }],
    },
  ]);
  const { transcriptionSubscription } = await callConnection.getCallConnectionProperties();
  expect(transcriptionSubscription).toMatchObject({ state: "active", locale: "en-US" });
});

test("transcription starts, changes its language and stops on request", async () => {
  const speech = new FakeSpeech();
  await using lab = await startTestLab({ recognise: speech.recognise });
  const { leg, media } = await connect(lab, { startTranscription: false });
  await media.startTranscription({ locale: "en-GB", operationContext: "go" });
  const started = await lab.application.event("TranscriptionStarted");
  expect(started.data["operationContext"]).toBe("go");
  await media.updateTranscription("de-DE");
  const updated = await lab.application.event("TranscriptionUpdated");
  expect(updated.data["transcriptionUpdate"]).toMatchObject({
    transcriptionStatusDetails: "transcriptionLocaleUpdated",
  });
  leg.speak(new Int16Array(160));
  expect(speech.listeners.at(-1)?.locale).toBe("de-DE");
  await media.stopTranscription();
  await lab.application.event("TranscriptionStopped");
  const stream = await lab.application.stream();
  expect(await lab.application.until(() => stream.closeCode, "close")).toBe(1000);
});

test("transcription without options, out of turn or in no language is refused", async () => {
  const speech = new FakeSpeech();
  await using lab = await startTestLab({ recognise: speech.recognise });
  const { media } = await connect(lab, { startTranscription: false });
  const inactive = { statusCode: 400, code: "8585" };
  expect(await refusalOf(media.stopTranscription())).toMatchObject(inactive);
  expect(await refusalOf(media.updateTranscription("de-DE"))).toMatchObject(inactive);
  const noRegion = { statusCode: 400, code: "8523", message: "The field Locale is invalid" };
  expect(await refusalOf(media.startTranscription({ locale: "en" }))).toEqual(noRegion);
  await media.startTranscription();
  await lab.application.event("TranscriptionStarted");
  expect(await refusalOf(media.startTranscription())).toMatchObject({ code: "8500" });
});

test("a call without transcription options answers 405/8522", async () => {
  await using lab = await startTestLab();
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  const { context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  const attempt = callConnection.getCallMedia().startTranscription({ locale: "en-US" });
  expect(await refusalOf(attempt)).toEqual({
    statusCode: 405,
    code: "8522",
    message: "Request not allowed when Transcription url not set during call setup.",
  });
});

test.each([
  ["no speech service", undefined, {}, 8565],
  ["no server", new FakeSpeech().recognise, { transportUrl: "ws://127.0.0.1:1/" }, 8578],
])("with %s TranscriptionFailed says why", async (_what, recognise, changes, subCode) => {
  await using lab = await startTestLab({ recognise });
  await connect(lab, changes);
  const { data } = await lab.application.event("TranscriptionFailed");
  expect(data).toMatchObject({ resultInformation: { subCode } });
});

test("a transcription socket that breaks is reported", async () => {
  const speech = new FakeSpeech();
  await using lab = await startTestLab({ recognise: speech.recognise });
  await connect(lab);
  await lab.application.event("TranscriptionStarted");
  const stream = await lab.application.stream();
  stream.socket.terminate();
  const { data } = await lab.application.event("TranscriptionFailed");
  expect(data).toMatchObject({ resultInformation: { code: 500, subCode: 8578 } });
});

test("transcription stopped before its socket was dialled dials and sends nothing", async () => {
  await using lab = await startTestLab({ recognise: new FakeSpeech().recognise });
  const { media } = await connect(lab, { startTranscription: false });
  await lab.application.event("ParticipantsUpdated"); // From here on only the stream asks for a token.
  const { promise, resolve } = Promise.withResolvers<Record<string, string>>();
  vi.spyOn(lab.acs.issuer, "authorization").mockReturnValueOnce(promise);
  const dialled = vi.spyOn(Outbound.prototype, "webSocket");
  onTestFinished(() => dialled.mockRestore());
  await media.startTranscription({ locale: "en-US" });
  await media.updateTranscription("de-DE");
  await lab.application.event("TranscriptionUpdated");
  await media.stopTranscription();
  resolve({});
  await lab.application.event("TranscriptionStopped");
  expect(dialled).not.toHaveBeenCalled();
  const sent = lab.trace.events.filter(
    (event) => event.type === "socket" && event.service === "transcription",
  );
  expect(sent).toEqual([]);
});
