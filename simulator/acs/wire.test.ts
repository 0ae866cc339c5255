import { readFileSync } from "node:fs";
import {
  CallAutomationClient,
  type CallConnection,
  parseCallAutomationEvent,
} from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { PstnRefusal } from "./pstn.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { FakeSpeech } from "./testing/speech.ts";

const CALLER = { phoneNumber: "+14255550100" };
const HUMAN = { phoneNumber: "+18005550150" };
const SERVICE = { phoneNumber: "+18005550100" };
const NOWHERE = "http://127.0.0.1:1/none.wav";

const example = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/wire/${name}`, import.meta.url), "utf8"));

/** `value` with everything that differs from run to run replaced by its kind. */
function shape(value: unknown): unknown {
  const text = JSON.stringify(value)
    .replaceAll(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/gi, "<guid>")
    .replaceAll(/aHR0cHM6Ly9hcGku[\w+/=-]+/g, "<serverCallId>")
    .replaceAll(/eyJQbGF0Zm9ybUVuZHBvaW50SWQi[\w+/=-]+/g, "<recordingId>")
    .replaceAll(/eyJhbGciOiJub25l[\w.-]+/g, "<incomingCallContext>")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)/g, "<time>")
    .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, "<app>")
    .replaceAll(/"sequenceNumber":\d+/g, '"sequenceNumber":1')
    .replaceAll(/0-eus-d12-[\da-f]{32}/g, "<documentId>")
    .replaceAll(/"recordingDurationMs":\d+/g, '"recordingDurationMs":0');
  return JSON.parse(text);
}

interface Stage {
  readonly lab: TestLab;
  readonly client: CallAutomationClient;
  readonly answer: (options?: object) => Promise<CallConnection>;
}

/** Every kind of mid-call event, provoked in turn; each act runs in a lab of its own. */
const ACTS: Readonly<Record<string, (stage: Stage) => Promise<unknown>>> = {
  CallConnected: ({ answer }) => answer({ operationContext: "answer" }),
  ParticipantsUpdated: ({ answer }) => answer(),
  CallDisconnected: async ({ answer }) => (await answer()).hangUp(true),
  AnswerFailed: async ({ lab, client }) => {
    const { leg, context } = await lab.ring();
    leg.answerError = new PstnRefusal("The 200 was not acknowledged.", {
      code: 408,
      subCode: 1106,
    });
    await client.answerCall(context, `${lab.application.url}/callbacks`);
  },
  CreateCallFailed: async ({ lab, client }) => {
    lab.gateway.onDial = () => busy();
    const invite = { targetParticipant: HUMAN, sourceCallIdNumber: SERVICE };
    await client.createCall(invite, `${lab.application.url}/callbacks`);
  },
  ConnectFailed: async ({ lab, client }) => {
    lab.faults.add({ name: "acs.fail-connect" });
    const room = { kind: "roomCallLocator", id: "99" } as const;
    await client.connectCall(room, `${lab.application.url}/callbacks`);
  },
  CallTransferAccepted: async ({ answer }) =>
    (await answer()).transferCallToParticipant(HUMAN, { operationContext: "transfer" }),
  CallTransferFailed: async ({ lab, answer }) => {
    const call = await answer();
    for (const leg of lab.gateway.legs) leg.onTransfer = () => Promise.reject(busy());
    await call.transferCallToParticipant(HUMAN, { operationContext: "transfer" });
  },
  AddParticipantSucceeded: async ({ answer }) => add(await answer()),
  AddParticipantFailed: async ({ lab, answer }) => {
    const call = await answer();
    lab.gateway.onDial = () => busy();
    await add(call);
  },
  CancelAddParticipantSucceeded: async ({ lab, answer }) => {
    const call = await answer();
    lab.gateway.onDial = (_to, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      });
    const { invitationId = "" } = await add(call);
    await call.cancelAddParticipantOperation(invitationId, { operationContext: "cancel" });
  },
  CancelAddParticipantFailed: async ({ answer }) =>
    (await answer()).cancelAddParticipantOperation("00000000-0000-4000-8000-00000000dead", {
      operationContext: "cancel",
    }),
  RemoveParticipantSucceeded: async (stage) => {
    const call = await withHuman(stage);
    await call.removeParticipant(HUMAN, { operationContext: "remove" });
  },
  RemoveParticipantFailed: async (stage) => {
    const call = await withHuman(stage);
    for (const leg of stage.lab.gateway.legs) leg.hangUp = () => Promise.reject(busy());
    await call.removeParticipant(HUMAN, { operationContext: "remove" });
  },
  MoveParticipantSucceeded: (stage) => moveBetweenCalls(stage),
  MoveParticipantFailed: (stage) => {
    stage.lab.faults.add({ name: "acs.fail-move" });
    return moveBetweenCalls(stage);
  },
  PlayStarted: async ({ answer }) => say(await answer(AI), "hello"),
  PlayCompleted: async ({ answer }) => say(await answer(AI), "hello"),
  PlayCanceled: async ({ lab, answer }) => {
    const call = await answer(AI);
    await call.getCallMedia().playToAll([{ kind: "textSource", text: "hello" }], {
      loop: true,
      operationContext: "play",
    });
    await lab.application.event("PlayStarted");
    await call.getCallMedia().cancelAllOperations();
  },
  PlayFailed: async ({ answer }) =>
    (await answer())
      .getCallMedia()
      .playToAll([{ kind: "fileSource", url: NOWHERE }], { operationContext: "play" }),
  RecognizeCompleted: async ({ lab, answer }) => {
    await recognize(await answer());
    for (const leg of lab.gateway.legs) leg.press("7");
  },
  RecognizeFailed: async ({ answer }) =>
    recognize(await answer(), { playPrompt: { kind: "fileSource", url: NOWHERE } }),
  RecognizeCanceled: async ({ answer }) => {
    const call = await answer();
    await recognize(call);
    await call.getCallMedia().cancelAllOperations();
  },
  SendDtmfTonesCompleted: async ({ answer }) => sendTones(await answer()),
  SendDtmfTonesFailed: async ({ lab, answer }) => {
    const call = await answer();
    for (const leg of lab.gateway.legs) leg.sendDigits = () => Promise.reject(busy());
    await sendTones(call);
  },
  ContinuousDtmfRecognitionToneReceived: async ({ lab, answer }) => {
    const options = { operationContext: "keys" };
    await (await answer()).getCallMedia().startContinuousDtmfRecognition(CALLER, options);
    for (const leg of lab.gateway.legs) leg.press("#");
  },
  ContinuousDtmfRecognitionToneFailed: async ({ lab, answer }) => {
    lab.faults.add({ name: "acs.fail-tone" });
    const options = { operationContext: "keys" };
    await (await answer()).getCallMedia().startContinuousDtmfRecognition(CALLER, options);
    for (const leg of lab.gateway.legs) leg.press("#");
  },
  ContinuousDtmfRecognitionStopped: async ({ answer }) => {
    const media = (await answer()).getCallMedia();
    await media.startContinuousDtmfRecognition(CALLER);
    await media.stopContinuousDtmfRecognition(CALLER, { operationContext: "keys" });
  },
  HoldFailed: async ({ answer }) =>
    (await answer()).getCallMedia().hold(CALLER, {
      playSource: { kind: "fileSource", url: NOWHERE },
      operationContext: "hold",
    }),
  MediaStreamingStarted: ({ lab, answer }) => answer(streaming(lab)),
  MediaStreamingStopped: async ({ lab, answer }) => {
    const call = await answer(streaming(lab));
    await lab.application.event("MediaStreamingStarted");
    await call.getCallMedia().stopMediaStreaming({ operationContext: "stop" });
  },
  MediaStreamingFailed: ({ lab, answer }) =>
    answer(streaming(lab, { transportUrl: "ws://127.0.0.1:1/" })),
  TranscriptionStarted: ({ lab, answer }) => answer(transcription(lab)),
  TranscriptionUpdated: async ({ lab, answer }) => {
    const call = await answer(transcription(lab));
    await lab.application.event("TranscriptionStarted");
    await call.getCallMedia().updateTranscription("de-DE");
  },
  TranscriptionStopped: async ({ lab, answer }) => {
    const call = await answer(transcription(lab));
    await lab.application.event("TranscriptionStarted");
    await call.getCallMedia().stopTranscription();
  },
  TranscriptionFailed: ({ lab, answer }) =>
    answer(transcription(lab, { transportUrl: "ws://127.0.0.1:1/" })),
  RecordingStateChanged: (stage) => record(stage),
  StartRecordingFailed: (stage) => {
    stage.lab.faults.add({ name: "acs.fail-recording" });
    return record(stage);
  },
};

const AI = { callIntelligenceOptions: { cognitiveServicesEndpoint: "https://ai.example.test" } };

function busy(): PstnRefusal {
  return new PstnRefusal("Busy Here", {
    code: 486,
    subCode: 560_486,
    sip: { code: 486, message: "Busy Here" },
    q850: { code: 17, message: "User busy" },
  });
}

function add(call: CallConnection) {
  const invite = { targetParticipant: HUMAN, sourceCallIdNumber: SERVICE };
  return call.addParticipant(invite, { operationContext: "add" });
}

async function withHuman({ lab, answer }: Stage): Promise<CallConnection> {
  const call = await answer();
  await add(call);
  await lab.application.event("AddParticipantSucceeded");
  return call;
}

async function moveBetweenCalls({ answer, lab }: Stage): Promise<void> {
  const first = await answer();
  await answer({ from: "+14255550101" });
  const fromCall = lab.acs.calls[1]?.id ?? "";
  const options = { operationContext: "move" };
  await first.moveParticipants([{ phoneNumber: "+14255550101" }], fromCall, options);
}

function say(call: CallConnection, text: string) {
  const options = { operationContext: "play" };
  return call.getCallMedia().playToAll([{ kind: "textSource", text }], options);
}

function recognize(call: CallConnection, options: object = {}) {
  return call.getCallMedia().startRecognizing(CALLER, {
    kind: "callMediaRecognizeDtmfOptions",
    maxTonesToCollect: 1,
    operationContext: "recognize",
    ...options,
  });
}

function sendTones(call: CallConnection) {
  return call.getCallMedia().sendDtmfTones(["one"], CALLER, { operationContext: "tones" });
}

function streaming(lab: TestLab, changes: object = {}) {
  return {
    mediaStreamingOptions: {
      transportUrl: lab.application.socketUrl,
      transportType: "websocket",
      contentType: "audio",
      audioChannelType: "mixed",
      startMediaStreaming: true,
      ...changes,
    },
  };
}

function transcription(lab: TestLab, changes: object = {}) {
  return {
    transcriptionOptions: {
      transportUrl: lab.application.socketUrl,
      transportType: "websocket",
      locale: "en-US",
      startTranscription: true,
      ...changes,
    },
  };
}

async function record({ answer, client, lab }: Stage): Promise<void> {
  await answer();
  await client.getCallRecording().start({
    callConnectionId: lab.acs.calls[0]?.id ?? "",
    recordingStateCallbackEndpointUrl: `${lab.application.url}/callbacks`,
  });
}

async function perform(type: string) {
  const { synthesise, recognise } = new FakeSpeech();
  await using lab = await startTestLab({ synthesise, recognise });
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const answer = async ({ from = "+14255550100", ...options }: { from?: string } = {}) => {
    const serial = lab.acs.calls.length;
    const { context } = await lab.ring({ from });
    const callbacks = `${lab.application.url}/callbacks`;
    const { callConnection } = await client.answerCall(context, callbacks, options);
    await lab.application.event("CallConnected", serial);
    return callConnection;
  };
  await ACTS[type]?.({ lab, client, answer });
  return (await lab.application.event(type)).envelope;
}

test.each(Object.keys(ACTS))("%s looks as in the example", async (type) => {
  const envelope = await perform(type);
  const examples = example("acs-mid-call-events.json") as Record<string, unknown>;
  expect(shape(envelope)).toEqual(shape(examples[type]));
  expect(parseCallAutomationEvent([envelope] as never).kind).toBe(type);
});

test("IncomingCall looks as in the example", async () => {
  await using lab = await startTestLab();
  await lab.ring({ sipHeaders: { "X-Customer-ID": "C-1042", "X-Transfer-Reason": "billing" } });
  const body = lab.application.requests.at(-1)?.body;
  expect(shape(body)).toEqual(shape(example("acs-incoming-call.json")));
});
