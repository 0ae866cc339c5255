import { buffer } from "node:stream/consumers";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import {
  CallAutomationClient,
  type CallAutomationClientOptions,
  type StartRecordingOptions,
} from "@azure/communication-call-automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCertificateAuthority, type IssuedCertificate } from "../certificates.ts";
import { systemClock } from "../clock.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

let authority: Awaited<ReturnType<typeof createCertificateAuthority>>;
let tls: IssuedCertificate;
const trusted = getCACertificates("default");
beforeAll(async () => {
  authority = await createCertificateAuthority({ clock: systemClock() });
  tls = await authority.issue({
    commonName: "acs",
    hosts: ["127.0.0.1", "localhost", "*.asm.skype.com"],
  });
  // As NODE_EXTRA_CA_CERTS does it; the SDK's proxy agent takes no certificate authority of its own.
  setDefaultCACertificates([...trusted, authority.certificate]);
});
afterAll(() => setDefaultCACertificates([...trusted]));

const client = (lab: TestLab) =>
  new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });

async function connect(lab: TestLab, secure?: CallAutomationClientOptions) {
  const caller =
    secure === undefined
      ? client(lab)
      : new CallAutomationClient(lab.acs.secureConnectionString ?? "", secure);
  const { leg, context } = await lab.ring();
  const { callConnectionProperties, callConnection } = await caller.answerCall(
    context,
    `${lab.application.url}/cb`,
  );
  await lab.application.event("CallConnected");
  const { callConnectionId = "", serverCallId = "" } = callConnectionProperties;
  const recording = caller.getCallRecording();
  return { leg, callConnection, callConnectionId, serverCallId, recording };
}

const states = (lab: TestLab) => `${lab.application.url}/states`;

test("a recording starts, pauses, resumes and stops, and each change is reported", async () => {
  await using lab = await startTestLab();
  const { recording, serverCallId, callConnectionId } = await connect(lab);
  const started = await recording.start({
    callLocator: { kind: "serverCallLocator", id: serverCallId },
    recordingStateCallbackEndpointUrl: states(lab),
    recordingContent: "audio",
    recordingChannel: "mixed",
    recordingFormat: "wav",
  });
  expect(started).toMatchObject({
    recordingState: "inactive",
    recordingKind: "azureCommunicationServices",
  });
  const recordingId = started.recordingId ?? "";
  const active = await lab.application.event("RecordingStateChanged");
  expect(active.path).toBe("/states");
  expect(active.envelope["source"]).toBe(
    `calling/recordings/${serverCallId}/${recordingId}/RecordingStateChanged`,
  );
  expect(active.data).toMatchObject({ recordingId, state: "active", callConnectionId });
  expect(await recording.getState(recordingId)).toMatchObject({ recordingState: "active" });
  await recording.pause(recordingId);
  expect(await recording.getState(recordingId)).toMatchObject({ recordingState: "inactive" });
  await recording.resume(recordingId);
  await recording.stop(recordingId);
  await lab.application.event("RecordingStateChanged", 3);
  const { data } = await lab.application.event("RecordingFileStatusUpdated");
  expect(data).toMatchObject({
    recordingContentType: "Audio",
    recordingChannelType: "Mixed",
    recordingFormatType: "Wav",
    sessionEndReason: "RecordingEnded",
    recordingStorageInfo: {
      recordingChunks: [{ index: 0, contentLocation: expect.stringContaining("asm.skype.com/v1") }],
    },
  });
});

test("a recording belongs to the connection that is named and lasts as long as the call", async () => {
  await using lab = await startTestLab();
  const { leg, recording, serverCallId, callConnection } = await connect(lab);
  const second = await client(lab).connectCall(
    { kind: "serverCallLocator", id: serverCallId },
    `${lab.application.url}/second`,
  );
  await lab.application.event("CallConnected", 1);
  const { callConnectionId = "" } = second.callConnectionProperties;
  const { recordingId } = await recording.start({
    callConnectionId,
    recordingStateCallbackEndpointUrl: states(lab),
  });
  const { data } = await lab.application.event("RecordingStateChanged");
  expect(data["callConnectionId"]).toBe(callConnectionId);
  await callConnection.hangUp(false);
  await lab.application.event("CallDisconnected");
  expect(await recording.getState(recordingId)).toMatchObject({ recordingState: "active" });
  leg.end();
  const ended = await lab.application.event("RecordingFileStatusUpdated");
  expect(ended.data["sessionEndReason"]).toBe("SessionEnded");
});

test("what does not exist is not found", async () => {
  await using lab = await startTestLab();
  const { recording, callConnectionId } = await connect(lab);
  const notFound = { statusCode: 404, code: "8522", message: "Recording not found." };
  expect(await refusalOf(recording.getState("nothing"))).toEqual(notFound);
  expect(await refusalOf(recording.pause("nothing"))).toEqual(notFound);
  expect(await refusalOf(recording.resume("nothing"))).toEqual(notFound);
  expect(await refusalOf(recording.stop("nothing"))).toEqual(notFound);
  const unknown = recording.start({ callLocator: { kind: "serverCallLocator", id: "aHR0cHM6" } });
  expect(await refusalOf(unknown)).toMatchObject({ statusCode: 404, code: "8522" });
  await recording.start({ callConnectionId });
  const twice = recording.start({ callConnectionId });
  expect(await refusalOf(twice)).toMatchObject({ statusCode: 400, code: "8559" });
});

const A = { phoneNumber: "+14255550100" };
const B = { phoneNumber: "+14255550177" };

test.each<[field: string, options: Omit<StartRecordingOptions, "callConnectionId">]>([
  ["RecordingChannelType", { recordingChannel: "unmixed", recordingContent: "audioVideo" }],
  ["RecordingFormatType", { recordingChannel: "unmixed", recordingFormat: "mp3" }],
  ["RecordingFormatType", { recordingContent: "audio", recordingFormat: "mp4" }],
  ["RecordingFormatType", { recordingContent: "audioVideo", recordingFormat: "wav" }],
  [
    "ChannelAffinity",
    {
      channelAffinity: [
        { channel: 0, targetParticipant: A },
        { channel: 0, targetParticipant: B },
      ],
    },
  ],
  [
    "ChannelAffinity",
    {
      channelAffinity: [
        { channel: 0, targetParticipant: A },
        { channel: 1, targetParticipant: A },
      ],
    },
  ],
  ["Channel", { channelAffinity: [{ channel: 5, targetParticipant: A }] }],
  ["AudioChannelParticipantOrdering", { audioChannelParticipantOrdering: [A, B, A] }],
])("a recording that cannot be made is refused by its field %s: %j", async (field, options) => {
  await using lab = await startTestLab();
  const { recording, callConnectionId } = await connect(lab);
  expect(await refusalOf(recording.start({ callConnectionId, ...options }))).toEqual({
    statusCode: 400,
    code: "8523",
    message: `The field ${field} is invalid`,
  });
});

test("a recording without a format, and every format there is, can be made", async () => {
  await using lab = await startTestLab();
  const { recording, callConnectionId } = await connect(lab);
  for (const options of [
    {},
    { recordingFormat: "mp4" as const },
    { recordingContent: "audio" as const, recordingFormat: "mp3" as const },
    { recordingContent: "audioVideo" as const },
    { recordingChannel: "unmixed" as const, recordingFormat: "wav" as const },
  ]) {
    const { recordingId, recordingState } = await recording.start({ callConnectionId, ...options });
    expect(recordingState).toBe("inactive");
    await recording.stop(recordingId);
  }
});

test("external storage is refused as not supported", async () => {
  await using lab = await startTestLab();
  const { recording, callConnectionId } = await connect(lab);
  const attempt = recording.start({
    callConnectionId,
    recordingStorage: {
      recordingStorageKind: "azureBlobStorage",
      recordingDestinationContainerUrl: "https://account.blob.core.windows.net/c",
    },
  });
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 405, code: "8520" });
});

test("a fault makes a recording fail to start", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.fail-recording" });
  const { recording, callConnectionId } = await connect(lab);
  const { recordingId } = await recording.start({
    callConnectionId,
    recordingStateCallbackEndpointUrl: states(lab),
  });
  const { data } = await lab.application.event("StartRecordingFailed");
  expect(data).toMatchObject({ recordingId, resultInformation: { code: 500 } });
});

test("the SDK downloads and deletes a recording through the emulator's proxy", async () => {
  await using lab = await startTestLab({ tls });
  const { leg, recording, callConnectionId } = await connect(lab, {
    proxyOptions: { host: "http://127.0.0.1", port: Number(new URL(lab.acs.url).port) },
    retryOptions: { maxRetries: 0 },
  });
  await recording.start({ callConnectionId, recordingStateCallbackEndpointUrl: states(lab) });
  await lab.application.event("RecordingStateChanged");
  const stopSpeaking = lab.clock.every(20, () => leg.speak(new Int16Array(160).fill(1000)));
  await lab.clock.sleep(100);
  stopSpeaking.cancel();
  leg.end();
  const { data } = await lab.application.event("RecordingFileStatusUpdated");
  expect(data["sessionEndReason"]).toBe("SessionEnded");
  const { recordingChunks } = data["recordingStorageInfo"] as { recordingChunks: Chunk[] };
  const [chunk] = recordingChunks;
  const whole = await buffer(await recording.downloadStreaming(chunk?.contentLocation ?? ""));
  expect(whole.subarray(0, 4).toString()).toBe("RIFF");
  const samples = new Int16Array(new Uint8Array(whole.subarray(44)).buffer);
  expect(samples).toContain(1000);
  expect(samples.length / 8).toBe(data["recordingDurationMs"]);
  const options = { offset: 8, length: 4 };
  const part = await recording.downloadStreaming(chunk?.contentLocation ?? "", options);
  expect((await buffer(part)).toString()).toBe("WAVE");
  await recording.delete(chunk?.deleteLocation ?? "");
  await expect(recording.delete(chunk?.deleteLocation ?? "")).rejects.toMatchObject({
    status: 404,
  });
  const gone = recording.downloadStreaming(chunk?.contentLocation ?? "");
  await expect(gone).rejects.toMatchObject({ status: 404 });
});

interface Chunk {
  readonly contentLocation: string;
  readonly deleteLocation: string;
}

test("the proxy is no open proxy", async () => {
  await using lab = await startTestLab({ tls });
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    const url = new URL(lab.acs.url);
    const attempt = request({
      host: url.hostname,
      port: url.port,
      method: "CONNECT",
      path: "example.com:443",
    });
    attempt.on("connect", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    attempt.on("error", reject);
    attempt.end();
  });
  expect(status).toBe(403);
});
