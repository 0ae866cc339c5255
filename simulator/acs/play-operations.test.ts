import { CallAutomationClient, type FileSource } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import type { AcsOptions } from "./server.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";
import { FakeSpeech, wav } from "./testing/speech.ts";

const CALLER = { phoneNumber: "+14255550100" };
const NOBODY = { phoneNumber: "+19995550199" };

async function connect(lab: TestLab, cognitiveServicesEndpoint?: string) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`, {
    ...(cognitiveServicesEndpoint && { callIntelligenceOptions: { cognitiveServicesEndpoint } }),
  });
  await lab.application.event("CallConnected");
  return { leg, callConnection, media: callConnection.getCallMedia() };
}

/** A lab whose application serves WAV files by name. */
async function startFileLab(files: Record<string, Buffer>, options: Partial<AcsOptions> = {}) {
  const lab = await startTestLab(options);
  const { reply } = lab.application;
  lab.application.reply = (request) => {
    if (request.method !== "GET") return reply(request);
    const file = files[request.path];
    return file === undefined ? { status: 404 } : { status: 200, bytes: file };
  };
  const file = (name: string): FileSource[] => [
    { kind: "fileSource", url: `${lab.application.url}${name}` },
  ];
  return { lab, file };
}

test("a file is played to all and reported", async () => {
  const { lab, file } = await startFileLab({ "/hello.wav": wav(7, 40) });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.playToAll(file("/hello.wav"), { operationContext: "hello" });
  const started = await lab.application.event("PlayStarted");
  const { data } = await lab.application.event("PlayCompleted");
  expect(started.data["operationContext"]).toBe("hello");
  expect(data).toMatchObject({
    operationContext: "hello",
    resultInformation: { code: 200, subCode: 0, message: "Action completed successfully." },
  });
  expect(leg.written).toEqual([{ samples: new Int16Array(640).fill(7), rateHz: 16_000 }]);
});

test("a participant to whom something is played alone is on hold meanwhile", async () => {
  const { lab, file } = await startFileLab({ "/hello.wav": wav(7, 40) });
  await using _lab = lab;
  const { media } = await connect(lab);
  await lab.application.event("ParticipantsUpdated");
  await media.play(file("/hello.wav"), [CALLER]);
  await lab.application.event("PlayCompleted");
  await lab.application.event("ParticipantsUpdated", 2);
  const states = lab.application.events
    .filter(({ type }) => type === "ParticipantsUpdated")
    .toSorted((a, b) => Number(a.data["sequenceNumber"]) - Number(b.data["sequenceNumber"]))
    .map(({ data }) => JSON.stringify(data["participants"]).includes('"isOnHold":true'));
  expect(states).toEqual([false, true, false]);
});

test.each([
  ["/hello.wav", "PlayCompleted"],
  ["/absent.wav", "PlayFailed"],
])("a participant on hold to whom %s is played is still on hold after %s", async (name, event) => {
  const { lab, file } = await startFileLab({ "/hello.wav": wav(7, 40) });
  await using _lab = lab;
  const { callConnection, media } = await connect(lab);
  await media.hold(CALLER);
  await media.play(file(name), [CALLER]);
  await lab.application.event(event);
  expect(await callConnection.getParticipant(CALLER)).toMatchObject({ isOnHold: true });
  await media.unhold(CALLER);
  expect(await callConnection.getParticipant(CALLER)).toMatchObject({ isOnHold: false });
});

test.each([
  ["/absent.wav", 8536, "Action failed, file could not be downloaded."],
  ["/noise.bin", 8535, "Action failed, file format is invalid."],
  ["/8khz.wav", 8535, "Action failed, file format is invalid."],
])("playing %s fails with %i and the index of the source", async (name, subCode, message) => {
  const files = {
    "/ok.wav": wav(7, 20),
    "/noise.bin": Buffer.from("no"),
    "/8khz.wav": wav(7, 20, 8000),
  };
  const { lab, file } = await startFileLab(files);
  await using _lab = lab;
  const { media } = await connect(lab);
  await media.playToAll([...file("/ok.wav"), ...file(name)]);
  const { data } = await lab.application.event("PlayFailed");
  expect(data).toMatchObject({
    failedPlaySourceIndex: 1,
    resultInformation: { code: 400, subCode, message },
  });
});

test("text and SSML are spoken by the linked AI services resource", async () => {
  const speech = new FakeSpeech();
  await using lab = await startTestLab(speech);
  const { leg, media } = await connect(lab, "https://ai.example.test");
  await media.playToAll([
    { kind: "textSource", text: "Hello", voiceName: "en-US-AvaNeural" },
    { kind: "ssmlSource", ssmlText: "<speak>Hi</speak>" },
  ]);
  await lab.application.event("PlayCompleted");
  expect(speech.requests).toMatchObject([
    { text: "Hello", voice: "en-US-AvaNeural" },
    { ssml: "<speak>Hi</speak>" },
  ]);
  expect(leg.written).toHaveLength(2);
});

test("text without a linked AI services resource is refused with 400/8567", async () => {
  await using lab = await startTestLab(new FakeSpeech());
  const { media } = await connect(lab);
  const attempt = media.playToAll([{ kind: "textSource", text: "Hello" }]);
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 400, code: "8567" });
});

test("empty text and a speech service that is not there fail the play", async () => {
  await using lab = await startTestLab();
  const { media } = await connect(lab, "https://ai.example.test");
  await media.playToAll([{ kind: "textSource", text: " " }]);
  const empty = await lab.application.event("PlayFailed");
  await media.playToAll([{ kind: "textSource", text: "Hello" }]);
  const silent = await lab.application.event("PlayFailed", 1);
  expect(empty.data["resultInformation"]).toMatchObject({ code: 400, subCode: 8582 });
  expect(silent.data["resultInformation"]).toMatchObject({ code: 500, subCode: 8565 });
});

test("playing to somebody who is not there, or nothing, is refused", async () => {
  const { lab, file } = await startFileLab({});
  await using _lab = lab;
  const { media } = await connect(lab);
  const absent = media.play(file("/hello.wav"), [NOBODY]);
  expect(await refusalOf(absent)).toMatchObject({ statusCode: 404, code: "8522" });
  expect(await refusalOf(media.playToAll([]))).toMatchObject({ statusCode: 400, code: "8523" });
});

test("a second play is refused while the first runs, unless it interrupts", async () => {
  const { lab, file } = await startFileLab({
    "/long.wav": wav(7, 60_000),
    "/short.wav": wav(8, 20),
  });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.playToAll(file("/long.wav"), { loop: true, operationContext: "long" });
  await lab.application.event("PlayStarted");
  expect(await refusalOf(media.playToAll(file("/short.wav")))).toEqual({
    statusCode: 400,
    code: "8500",
    message: "Media operation is already active",
  });
  await media.playToAll(file("/short.wav"), { interruptCallMediaOperation: true });
  const { data } = await lab.application.event("PlayCanceled");
  expect(data).toMatchObject({
    operationContext: "long",
    resultInformation: {
      code: 400,
      subCode: 8508,
      message: "Action falied, the operation was cancelled.",
    },
  });
  await lab.application.event("PlayCompleted");
  expect(leg.written.at(-1)?.samples[0]).toBe(8);
});

test("a policy queues the second play instead", async () => {
  const files = { "/a.wav": wav(1, 30), "/b.wav": wav(2, 30) };
  const { lab, file } = await startFileLab(files, { policy: { mediaOperations: "queue" } });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.playToAll(file("/a.wav"));
  await media.playToAll(file("/b.wav"));
  await lab.application.event("PlayCompleted", 1);
  expect(leg.written.map(({ samples }) => samples[0])).toEqual([1, 2]);
});

test("cancelling all media operations cancels the play and empties the queue", async () => {
  const { lab, file } = await startFileLab({ "/long.wav": wav(7, 60_000) });
  await using _lab = lab;
  const { leg, media } = await connect(lab);
  await media.playToAll(file("/long.wav"));
  await lab.application.event("PlayStarted");
  await media.cancelAllOperations();
  await lab.application.event("PlayCanceled");
  expect(leg.queuedMs).toBe(0);
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(await refusalOf(media.cancelAllOperations())).toMatchObject({ statusCode: 404 });
});

test("hold plays to the participant until unhold, and both are shown", async () => {
  const { lab, file } = await startFileLab({ "/music.wav": wav(5, 20) });
  await using _lab = lab;
  const { leg, callConnection, media } = await connect(lab);
  const [music] = file("/music.wav");
  leg.onWritten = () => lab.application.poke();
  await media.hold(CALLER, { playSource: music });
  await lab.application.until(() => leg.written.length > 2, "music in a loop");
  expect(await callConnection.getParticipant(CALLER)).toMatchObject({ isOnHold: true });
  expect(await refusalOf(media.hold(CALLER))).toMatchObject({ statusCode: 409, code: "8519" });
  await media.unhold(CALLER);
  expect(await callConnection.getParticipant(CALLER)).toMatchObject({ isOnHold: false });
  expect(await refusalOf(media.unhold(CALLER))).toMatchObject({ statusCode: 400, code: "8585" });
  expect(await refusalOf(media.hold(NOBODY))).toMatchObject({ statusCode: 404 });
});

test("music that cannot be fetched gives HoldFailed", async () => {
  const { lab, file } = await startFileLab({});
  await using _lab = lab;
  const { media } = await connect(lab);
  const [music] = file("/absent.wav");
  await media.hold(CALLER, { playSource: music, operationContext: "hold" });
  const { data } = await lab.application.event("HoldFailed");
  expect(data).toMatchObject({ operationContext: "hold", resultInformation: { subCode: 8536 } });
});

test("a prompt several calls wait for is loaded once, though the first of them hangs up", async () => {
  const { promise: spoken, resolve: speak } = Promise.withResolvers<void>();
  const speech = new FakeSpeech();
  const synthesise: typeof speech.synthesise = async (request) => {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => reject(request.signal?.reason);
    request.signal?.addEventListener("abort", abort, { once: true });
    const audio = await speech.synthesise(request);
    await Promise.race([spoken, aborted]);
    return audio;
  };
  await using lab = await startTestLab({ synthesise });
  const first = await connect(lab, "https://ai.example.test");
  const second = await connect(lab, "https://ai.example.test");
  await lab.application.event("CallConnected", 1);
  const greeting = { kind: "textSource", text: "Hello.", playSourceCacheId: "greeting" } as const;
  await first.media.playToAll([greeting]);
  await second.media.playToAll([greeting]);
  first.leg.end();
  await lab.application.event("CallDisconnected");
  speak();
  const outcome = await lab.application.until(
    () => lab.application.eventTypes().find((type) => /^Play(Completed|Failed)$/.test(type)),
    "end of the play",
  );
  expect(outcome).toBe("PlayCompleted");
  expect(second.leg.written).not.toEqual([]);
  expect(speech.requests).toHaveLength(1);
});
