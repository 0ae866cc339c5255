import { Writable } from "node:stream";
import {
  CallAutomationClient,
  type CallConnection,
  type CallMedia,
  type CallRecording,
} from "@azure/communication-call-automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sendSigned } from "./testing/hostile.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const CALLER = { phoneNumber: "+14255550100" };
const INVITE = { targetParticipant: CALLER, sourceCallIdNumber: { phoneNumber: "+18005550100" } };
const CALLBACK = "https://app.example.test/callbacks";
const ROOM = { kind: "roomCallLocator", id: "1" } as const;
const PROMPT = [{ kind: "fileSource" as const, url: "https://app.example.test/a.wav" }];

interface Sdk {
  readonly client: CallAutomationClient;
  readonly call: CallConnection;
  readonly media: CallMedia;
  readonly recording: CallRecording;
}

/** Every REST operation the SDK's 1.6.0 surface reaches, by the name of the specification. */
const OPERATIONS: readonly [name: string, run: (sdk: Sdk) => Promise<unknown>][] = [
  ["CreateCall", ({ client }) => client.createCall(INVITE, CALLBACK)],
  ["CreateCall", ({ client }) => client.createGroupCall([CALLER], CALLBACK)],
  ["AnswerCall", ({ client }) => client.answerCall("context", CALLBACK)],
  ["RedirectCall", ({ client }) => client.redirectCall("context", INVITE)],
  ["RejectCall", ({ client }) => client.rejectCall("context")],
  ["Connect", ({ client }) => client.connectCall(ROOM, CALLBACK)],
  ["GetCall", ({ call }) => call.getCallConnectionProperties()],
  ["HangupCall", ({ call }) => call.hangUp(false)],
  ["TerminateCall", ({ call }) => call.hangUp(true)],
  ["TransferToParticipant", ({ call }) => call.transferCallToParticipant(CALLER)],
  ["GetParticipants", ({ call }) => call.listParticipants()],
  ["GetParticipant", ({ call }) => call.getParticipant(CALLER)],
  ["AddParticipant", ({ call }) => call.addParticipant(INVITE)],
  ["RemoveParticipant", ({ call }) => call.removeParticipant(CALLER)],
  ["Mute", ({ call }) => call.muteParticipant(CALLER)],
  ["CancelAddParticipant", ({ call }) => call.cancelAddParticipantOperation("invitation")],
  ["MoveParticipants", ({ call }) => call.moveParticipants([CALLER], "other")],
  ["Play", ({ media }) => media.play(PROMPT, [CALLER])],
  ["Play", ({ media }) => media.playToAll(PROMPT)],
  [
    "Recognize",
    ({ media }) => media.startRecognizing(CALLER, { kind: "callMediaRecognizeDtmfOptions" }),
  ],
  ["CancelAllMediaOperations", ({ media }) => media.cancelAllOperations()],
  ["StartContinuousDtmfRecognition", ({ media }) => media.startContinuousDtmfRecognition(CALLER)],
  ["StopContinuousDtmfRecognition", ({ media }) => media.stopContinuousDtmfRecognition(CALLER)],
  ["SendDtmfTones", ({ media }) => media.sendDtmfTones(["one"], CALLER)],
  ["Hold", ({ media }) => media.hold(CALLER)],
  ["Unhold", ({ media }) => media.unhold(CALLER)],
  ["StartTranscription", ({ media }) => media.startTranscription()],
  ["StopTranscription", ({ media }) => media.stopTranscription()],
  ["UpdateTranscription", ({ media }) => media.updateTranscription("en-US")],
  ["StartMediaStreaming", ({ media }) => media.startMediaStreaming()],
  ["StopMediaStreaming", ({ media }) => media.stopMediaStreaming()],
  ["StartRecording", ({ recording }) => recording.start({ callConnectionId: "call" })],
  ["GetRecordingProperties", ({ recording }) => recording.getState("recording")],
  ["StopRecording", ({ recording }) => recording.stop("recording")],
  ["PauseRecording", ({ recording }) => recording.pause("recording")],
  ["ResumeRecording", ({ recording }) => recording.resume("recording")],
];

function connect(connectionString: string): Sdk {
  const client = new CallAutomationClient(connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const call = client.getCallConnection("00000000-0000-4000-8000-0000000000aa");
  const recording = client.getCallRecording();
  return { client, call, media: call.getCallMedia(), recording };
}

let lab: TestLab;
beforeAll(async () => {
  lab = await startTestLab();
});
afterAll(() => lab[Symbol.asyncDispose]());

test.each(OPERATIONS)(
  "%s is routed by its name and refuses in the SDK's terms",
  async (name, run) => {
    const sdk = connect(lab.acs.connectionString);
    const error = { status: 403, code: "7504", message: "Insufficient permission." };
    lab.faults.add({ name: `acs.fail-operation.${name}`, with: error, times: 1 });
    const { status, ...rest } = error;
    expect(await refusalOf(run(sdk))).toEqual({ statusCode: status, ...rest });
    expect(lab.faults.struck.at(-1)).toBe(`acs.fail-operation.${name}`);
    lab.faults.clear();
  },
);

test.each(OPERATIONS.filter(([, run]) => /\b(call|media)\b\./.test(String(run))))(
  "%s on a call that does not exist is answered 404/8522",
  async (_name, run) => {
    expect(await refusalOf(run(connect(lab.acs.connectionString)))).toEqual({
      statusCode: 404,
      code: "8522",
      message: "Call not found.",
    });
  },
);

test("no operation works with a wrong key", async () => {
  const sdk = connect(lab.acs.connectionString.replace(/accesskey=.*/, "accesskey=d3Jvbmc="));
  const refusals = await Promise.all(OPERATIONS.map(([, run]) => refusalOf(run(sdk))));
  for (const refusal of refusals) expect(refusal).toMatchObject({ statusCode: 401, code: "7509" });
});

test("an unknown path or api-version is answered in the service's words and reported", async () => {
  const options = { allowInsecureConnection: true, apiVersion: "2020-01-01" };
  const client = new CallAutomationClient(lab.acs.connectionString, options);
  expect(await refusalOf(client.rejectCall("context"))).toMatchObject({
    statusCode: 404,
    message: expect.stringMatching(/^No HTTP resource was found that matches the request URI '/),
  });
  expect(lab.trace.events).toContainEqual(
    expect.objectContaining({
      type: "error",
      code: "ACS_UNHANDLED_REQUEST",
      message: expect.stringContaining("POST /calling/callConnections:reject?api-version=2020"),
    }),
  );
});

test.each([
  ["GET", "/calling/callConnections\\ID/participants?api-version=2026-03-12"],
  ["GET", "//calling/callConnections/ID?api-version=2026-03-12"],
  ["POST", "/identities?api-version=latest"],
])("%s %s is no address of the service", async (method, target) => {
  expect(await sendSigned(lab, { method, target, body: "" })).toBe(404);
});

test("recordings are downloaded from Microsoft's hosts only, as the SDK insists", async () => {
  const { recording } = connect(lab.acs.connectionString);
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const elsewhere = `${lab.acs.url}/v1/objects/a`;
  await expect(recording.downloadToStream(elsewhere, sink)).rejects.toThrow(/HTTPS|https/);
  await expect(recording.delete(elsewhere)).rejects.toThrow(/HTTPS|https/);
});

test("too many calls are answered 429 with Retry-After", async () => {
  await using small = await startTestLab({ policy: { callLimit: 0 } });
  const { client } = connect(small.acs.connectionString);
  const { context } = await small.ring();
  const attempt = client.answerCall(context, `${small.application.url}/callbacks`);
  expect(await refusalOf(attempt)).toMatchObject({ statusCode: 429, code: "8516" });
});
