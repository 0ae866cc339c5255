import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  CallAutomationClient,
  createOutboundAudioData,
  createOutboundStopAudioData,
  type MediaStreamingOptions,
  StreamingData,
} from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { systemClock } from "../clock.ts";
import { identifierOf } from "./identity.ts";
import { MemoryLeg } from "./testing/gateway.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";

const TONE = Int16Array.from({ length: 160 }, (_, n) => Math.round(8000 * Math.sin(n / 4)));

const LOUD = new Int16Array(160).fill(30_000);
const LEG = { direction: "incoming", from: "+1", to: "+2", correlationId: "c" } as const;

async function connect(lab: TestLab, options: Partial<MediaStreamingOptions> = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/callbacks`, {
    mediaStreamingOptions: {
      transportUrl: `${lab.application.socketUrl}/media?call=1`,
      transportType: "websocket",
      contentType: "audio",
      audioChannelType: "mixed",
      startMediaStreaming: true,
      enableBidirectional: true,
      audioFormat: "Pcm16KMono",
      enableDtmfTones: true,
      ...options,
    },
  });
  await lab.application.event("CallConnected");
  return { leg, callConnection };
}

const outbound = (samples: Int16Array) =>
  createOutboundAudioData(Buffer.from(samples.buffer).toString("base64"));

test("the media socket opens with the documented headers and AudioMetadata first", async () => {
  await using lab = await startTestLab();
  await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.message(stream, "AudioMetadata");
  const started = await lab.application.event("MediaStreamingStarted");
  expect(stream.path).toBe("/media?call=1");
  expect(stream.headers).toMatchObject({
    "x-ms-call-connection-id": lab.acs.calls[0]?.id,
    "x-ms-call-correlation-id": "00000000-0000-4000-8000-000000000000",
    authorization: expect.stringMatching(/^Bearer ey/),
  });
  expect(stream.messages[0]).toEqual({
    kind: "AudioMetadata",
    audioMetadata: {
      subscriptionId: expect.stringMatching(/^[\da-f-]{36}$/),
      encoding: "PCM",
      sampleRate: 16_000,
      channels: 1,
      length: 640,
    },
  });
  expect(started.data["mediaStreamingUpdate"]).toEqual({
    contentType: "Audio",
    mediaStreamingStatus: "mediaStreamingStarted",
    mediaStreamingStatusDetails: "subscriptionStarted",
  });
});

test.each([
  ["pcm16KMono", 640],
  ["Pcm24KMono", 960],
])("a frame of the caller arrives as 20 ms of %s", async (audioFormat, lengthBytes) => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab, { audioFormat: audioFormat });
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  leg.speak(TONE);
  leg.speak(TONE);
  const message = await lab.application.message(stream, "AudioData", 1);
  const parsed = StreamingData.parse(JSON.stringify(message));
  expect(parsed).toMatchObject({ isSilent: false, participant: undefined });
  const { data } = message["audioData"] as { data: string };
  expect(Buffer.from(data, "base64")).toHaveLength(lengthBytes);
});

test("unmixed streaming names the participant", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab, { audioChannelType: "unmixed" });
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  leg.speak(TONE);
  const message = await lab.application.message(stream, "AudioData");
  expect(message["audioData"]).toMatchObject({ participantRawID: "4:+14255550100" });
});

test("a key press arrives as DtmfData", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  leg.press("3");
  const message = await lab.application.message(stream, "DtmfData");
  expect(message).toEqual({ kind: "DtmfData", dtmfData: { data: "3" } });
});

test.each([
  ["JavaScript", outbound(TONE)],
  [
    ".NET",
    `{"Kind":"AudioData","AudioData":{"data":"${Buffer.from(TONE.buffer).toString("base64")}"},"StopAudio":null}`,
  ],
])("audio as the %s SDK writes it reaches the leg", async (_sdk, text) => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.send(text);
  leg.onWritten = () => lab.application.poke();
  await lab.application.until(() => leg.written[0], "audio at the leg");
  expect(leg.written).toEqual([{ samples: TONE, rateHz: 16_000 }]);
});

test("StopAudio empties the play-out queue at once and is traced", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  for (let n = 0; n < 5; n++) stream.socket.send(outbound(TONE));
  stream.socket.send(createOutboundStopAudioData());
  const event = await lab.trace.waitFor(
    (entry) => entry.type === "media" && entry.kind === "stopAudio",
    {
      timeoutMs: 2000,
      what: "stopAudio",
    },
  );
  expect(event).toMatchObject({ kind: "stopAudio", detail: { droppedMs: 50 } });
  expect(leg.queuedMs).toBe(0);
});

test("a fault makes the service deaf to StopAudio", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.ignore-stop-audio" });
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.send(outbound(TONE));
  stream.socket.send(createOutboundStopAudioData());
  await lab.trace.waitFor((entry) => entry.type === "fault", { timeoutMs: 2000, what: "fault" });
  expect(leg.queuedMs).toBe(10);
});

test("without enableBidirectional audio from the application is ignored and reported", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab, { enableBidirectional: false });
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.send(outbound(TONE));
  await lab.trace.waitFor(
    (entry) => entry.type === "error" && entry.code === "ACS_MEDIA_NOT_BIDIRECTIONAL",
    { timeoutMs: 2000, what: "report" },
  );
  expect(leg.written).toEqual([]);
});

test("audio that arrives together with the socket's acceptance is played", async () => {
  await using lab = await startTestLab();
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, connection, head) => {
    connection.cork();
    sockets.handleUpgrade(request, connection, head, (socket) => socket.send(outbound(TONE)));
    connection.uncork();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const { leg } = await connect(lab, { transportUrl: `ws://127.0.0.1:${port}/media` });
  await lab.application.event("MediaStreamingStarted");
  for (const socket of sockets.clients) socket.terminate();
  server.close();
  expect(leg.written).toEqual([{ samples: TONE, rateHz: 16_000 }]);
});

test("a media server that does not answer gives MediaStreamingFailed and the call stays up", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab, { transportUrl: "ws://127.0.0.1:1/media" });
  const { data } = await lab.application.event("MediaStreamingFailed");
  expect(data["resultInformation"]).toEqual({
    code: 400,
    subCode: 8581,
    message: "Action failed, Transport url is not valid or web socket server is not operational.",
  });
  expect(data["mediaStreamingUpdate"]).toMatchObject({
    mediaStreamingStatusDetails: "initialWebSocketConnectionFailed",
  });
  const { callConnectionState } = await callConnection.getCallConnectionProperties();
  expect(callConnectionState).toBe("connected");
});

test("a broken media socket is dialled once more, a second later", async () => {
  await using lab = await startTestLab({ clock: systemClock({ rate: 10 }) });
  await connect(lab);
  const first = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  first.socket.terminate();
  const second = await lab.application.stream(1);
  await lab.application.message(second, "AudioMetadata");
  const { data } = await lab.application.event("MediaStreamingStarted", 1);
  expect(data["mediaStreamingUpdate"]).toMatchObject({
    mediaStreamingStatusDetails: "streamConnectionReestablished",
  });
  second.socket.terminate();
  await lab.application.event("MediaStreamingFailed");
});

test("streaming starts and stops on request", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab, { startMediaStreaming: false });
  const media = callConnection.getCallMedia();
  expect(lab.application.streams).toEqual([]);
  await media.startMediaStreaming({ operationContext: "go" });
  const started = await lab.application.event("MediaStreamingStarted");
  expect(started.data["operationContext"]).toBe("go");
  const active = await callConnection.getCallConnectionProperties();
  expect(active.mediaStreamingSubscription?.state).toBe("active");
  await media.stopMediaStreaming({ operationContext: "stop" });
  const stopped = await lab.application.event("MediaStreamingStopped");
  expect(stopped.data).toMatchObject({
    operationContext: "stop",
    mediaStreamingUpdate: { mediaStreamingStatusDetails: "subscriptionStopped" },
  });
  const stream = await lab.application.stream();
  expect(await lab.application.until(() => stream.closeCode, "close")).toBe(1000);
});

test("streaming without options at set-up is refused with 405/8522", async () => {
  await using lab = await startTestLab();
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  const { context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  const media = callConnection.getCallMedia();
  await expect(media.startMediaStreaming()).rejects.toMatchObject({
    statusCode: 405,
    code: "8522",
  });
  await expect(media.stopMediaStreaming()).rejects.toMatchObject({ statusCode: 405, code: "8522" });
});

test("the end of the call closes the media socket", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(await lab.application.until(() => stream.closeCode, "close")).toBe(1000);
  const figures = await lab.trace.waitFor(
    (entry) => entry.type === "media" && entry.kind === "stopped",
    { timeoutMs: 2000, what: "the stream's figures" },
  );
  expect(figures).toMatchObject({ detail: { framesSent: 0, framesDropped: 0, overflowMs: 0 } });
});

test("a message that is no JSON closes the stream with 1007", async () => {
  await using lab = await startTestLab({ policy: { mediaReconnects: 0 } });
  await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.send("{not json");
  expect(await lab.application.until(() => stream.closeCode, "close")).toBe(1007);
  await lab.application.event("MediaStreamingFailed");
});

test("a wrong transportType is refused with 400/8523", async () => {
  await using lab = await startTestLab();
  const attempt = connect(lab, { transportType: "Websocket" as "websocket" });
  await expect(attempt).rejects.toMatchObject({ statusCode: 400, code: "8523" });
});

test("an application that does not read loses frames beyond the limit, counted, and nobody waits", async () => {
  await using lab = await startTestLab({ policy: { socketBacklogBytes: 100_000 } });
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.pause();
  const figures = () => lab.acs.calls[0]?.streaming?.statistics;
  for (let frame = 0; frame < 20_000 && (figures()?.framesDropped ?? 0) < 100; frame++) {
    leg.speak(TONE);
    if (frame % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(figures()?.framesDropped).toBe(100);
  stream.socket.resume();
});

test("a fifth speaker is heard once louder than one of the four before", async () => {
  await using lab = await startTestLab();
  await connect(lab, { audioChannelType: "unmixed" });
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  const [call] = lab.acs.calls;
  for (let speaker = 1; speaker <= 5; speaker++) {
    const leg = new MemoryLeg(`${speaker}`, LEG);
    call?.conversation.join(identifierOf(`4:+1425555020${speaker}`), leg);
    leg.speak(TONE);
  }
  await lab.application.message(stream, "AudioData", 3);
  const loud = [...(call?.conversation.legs ?? [])].at(-1)?.leg;
  if (!(loud instanceof MemoryLeg)) throw new Error("the fifth speaker is not in the call");
  for (let n = 0; n < 3; n++) loud.speak(LOUD);
  const message = await lab.application.message(stream, "AudioData", 4);
  expect(message["audioData"]).toMatchObject({ participantRawID: "4:+14255550205" });
});

test("speakers who have left keep nobody from being heard", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab, { audioChannelType: "unmixed" });
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  const { conversation } = lab.acs.calls[0] ?? unreachable();
  for (let speaker = 1; speaker <= 4; speaker++) {
    const loud = new MemoryLeg(`${speaker}`, LEG);
    const identifier = identifierOf(`4:+1425555020${speaker}`);
    conversation.join(identifier, loud);
    loud.speak(LOUD);
    conversation.leave(identifier);
  }
  leg.speak(TONE);
  const message = await lab.application.message(stream, "AudioData", 4);
  expect(message["audioData"]).toMatchObject({ participantRawID: "4:+14255550100" });
});

test("audio of two sources is mixed for the caller", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  const [call] = lab.acs.calls;
  using prompt = call?.conversation.bridge.open() ?? unreachable();
  prompt.write(new Int16Array(1600).fill(1000), 8000);
  leg.onWritten = () => lab.application.poke();
  stream.socket.send(outbound(new Int16Array(1600).fill(200)));
  await lab.application.until(
    () => leg.written.some(({ samples }) => Math.abs((samples[100] ?? 0) - 1200) < 5),
    "both at the caller's ear",
  );
  expect(leg.written.every(({ samples }) => samples.length === 160)).toBe(true);
});

test("every sample reaches the leg once and in order, though the process stands still meanwhile", async () => {
  await using lab = await startTestLab();
  const { leg } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  const pieces = Array.from({ length: 60 }, (_, n) => new Int16Array(320).fill(n + 1));
  leg.onWritten = () => lab.application.poke();
  for (const [n, piece] of pieces.entries()) {
    stream.socket.send(outbound(piece));
    if (n % 10 === 5) await lab.clock.sleep(5);
    if (n === 30) standStill(150);
  }
  await lab.application.until(() => leg.written.length === pieces.length, "all audio at the leg");
  expect(leg.written.map(({ samples }) => samples)).toEqual(pieces);
});

/** A stall of the whole process, as a busy machine makes it. */
function standStill(durationMs: number): void {
  const until = performance.now() + durationMs;
  while (performance.now() < until);
}

function unreachable(): never {
  throw new Error("the call is gone");
}

test("an application that closes the stream in good order has stopped it", async () => {
  await using lab = await startTestLab();
  const { callConnection } = await connect(lab);
  const stream = await lab.application.stream();
  await lab.application.event("MediaStreamingStarted");
  stream.socket.close(1000);
  await lab.application.event("MediaStreamingStopped");
  const { mediaStreamingSubscription } = await callConnection.getCallConnectionProperties();
  expect(mediaStreamingSubscription?.state).toBe("inactive");
  expect(lab.application.streams).toHaveLength(1);
});
