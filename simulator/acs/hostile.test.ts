import { connect as connectTcp } from "node:net";
import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import type { TraceEvent } from "../trace.ts";
import { Mutator, sendSigned } from "./testing/hostile.ts";
import { HostileWebhook } from "./testing/hostile-webhook.ts";
import { startTestLab, type TestLab } from "./testing/lab.ts";

const SEED = 20_260_102;
const CALLER = { phoneNumber: "+14255550100" };

/** A call comes in and is answered; its events go to `callbackUrl`. */
async function answerCall(lab: TestLab, callbackUrl: string, changes: object = {}) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const leg = lab.gateway.ring();
  const context = String(lab.acs.incomingCalls.at(-1)?.["incomingCallContext"]);
  const { callConnection } = await client.answerCall(context, callbackUrl, changes);
  return { leg, callConnection };
}

async function connect(lab: TestLab, changes: object = {}) {
  const call = await answerCall(lab, `${lab.application.url}/callbacks`, changes);
  const { correlationId } = call.leg;
  await lab.application.until(
    () =>
      lab.application.events.some(
        (event) => event.type === "CallConnected" && event.data["correlationId"] === correlationId,
      ),
    "CallConnected",
  );
  return call;
}

const streaming = (lab: TestLab) => ({
  mediaStreamingOptions: {
    transportUrl: lab.application.socketUrl,
    transportType: "websocket",
    contentType: "audio",
    audioChannelType: "mixed",
    startMediaStreaming: true,
    enableBidirectional: true,
  },
});

const internalErrors = (lab: TestLab) =>
  lab.trace.events.filter((event) => event.type === "error" && event.code === "ACS_INTERNAL");

test(`mutated requests are answered, never with 5xx (seed ${SEED})`, async () => {
  await using lab = await startTestLab();
  await connect(lab);
  const mutator = new Mutator(SEED);
  for (let round = 0; round < 400; round++) {
    const request = mutator.request(lab.acs.calls[0]?.id ?? "");
    const status = await sendSigned(lab, request);
    expect(status, `${SEED}: ${JSON.stringify(request)}`).toBeLessThan(500);
  }
  expect(internalErrors(lab)).toEqual([]);
  const { callConnection } = await connect(lab);
  const { callConnectionState } = await callConnection.getCallConnectionProperties();
  expect(callConnectionState).toBe("connected");
});

test(`mutated media messages are ignored or close the stream (seed ${SEED})`, async () => {
  await using lab = await startTestLab({ policy: { mediaReconnects: 0 } });
  const mutator = new Mutator(SEED);
  const { callConnection } = await connect(lab, streaming(lab));
  const media = callConnection.getCallMedia();
  let sent = 0;
  for (let nth = 0; sent < 300; nth++) {
    const stream = await lab.application.stream(nth);
    await lab.application.message(stream, "AudioMetadata");
    for (let frame = 0; frame < 20; frame++, sent++) stream.socket.send(mutator.frame());
    stream.socket.send("{");
    expect(await lab.application.until(() => stream.closeCode, "close")).toBe(1007);
    await lab.application.event("MediaStreamingFailed", nth);
    await media.startMediaStreaming();
  }
  expect(internalErrors(lab)).toEqual([]);
});

test("binary frames and a frame beyond the limit close the stream", async () => {
  await using lab = await startTestLab({ policy: { mediaReconnects: 0 } });
  const { callConnection } = await connect(lab, streaming(lab));
  const first = await lab.application.stream();
  await lab.application.message(first, "AudioMetadata");
  first.socket.send(Buffer.from([0xff, 0x00]));
  expect(await lab.application.until(() => first.closeCode, "close")).toBe(1007);
  await lab.application.event("MediaStreamingFailed");
  await callConnection.getCallMedia().startMediaStreaming();
  const second = await lab.application.stream(1);
  await lab.application.message(second, "AudioMetadata");
  second.socket.send("x".repeat(17 * 1024 * 1024));
  expect(await lab.application.until(() => second.closeCode, "close")).toBe(1009);
});

test("applications may answer events with anything", async () => {
  await using lab = await startTestLab();
  const { reply } = lab.application;
  const bodies = [Buffer.alloc(200_000), Buffer.from("{{{"), Buffer.from([0xff, 0xfe])];
  lab.application.reply = (request) =>
    request.path === "/callbacks"
      ? { status: 299, bytes: bodies.shift() ?? Buffer.alloc(0) }
      : reply(request);
  const { leg } = await connect(lab);
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(internalErrors(lab)).toEqual([]);
});

/** The last event of a call, posted after all the others were answered or given up. */
const isDisconnected = (event: TraceEvent) =>
  event.type === "http" &&
  event.service === "callback" &&
  JSON.stringify(event.request).includes("CallDisconnected");

test(`mutated answers to events end nothing but their delivery (seed ${SEED})`, async () => {
  await using webhook = await HostileWebhook.start(new Mutator(SEED));
  const policy = { callbackTimeoutMs: 50, callbackOrderMs: 10 };
  await using lab = await startTestLab({ policy, delivery: { answerTimeoutMs: 50 } });
  await lab.acs.subscribe(webhook.url, { name: "hostile", isValidated: true });
  const rounds = 40;
  for (let round = 0; round < rounds; round++) {
    const { leg, callConnection } = await answerCall(lab, `${webhook.url}/callbacks`);
    await callConnection.getCallMedia().hold(CALLER).catch(String);
    leg.end();
  }
  await lab.trace.waitFor(() => lab.trace.events.filter(isDisconnected).length === rounds, {
    timeoutMs: 10_000,
    what: "CallDisconnected of every call",
  });
  expect(webhook.answered).toBeGreaterThanOrEqual(3 * rounds);
  expect(internalErrors(lab)).toEqual([]);
});

test(`mutated answers to the handshake validate nobody by accident (seed ${SEED})`, async () => {
  await using webhook = await HostileWebhook.start(new Mutator(SEED));
  await using lab = await startTestLab();
  for (let round = 0; round < 100; round++) {
    const schema = round % 2 === 0 ? "EventGrid" : "CloudEvents";
    const signal = AbortSignal.timeout(20);
    const outcome = await lab.acs.subscribe(webhook.url, { schema, signal, name: "hostile" }).then(
      () => "validated",
      (error: Error) => error.name,
    );
    expect(["validated", "HandshakeError", "TimeoutError"]).toContain(outcome);
  }
});

test("a body beyond a mebibyte is answered 413", async () => {
  await using lab = await startTestLab();
  const body = JSON.stringify({ incomingCallContext: "a".repeat(2 ** 20) });
  const target = "/calling/callConnections:answer?api-version=2026-03-12";
  const outcome = await sendSigned(lab, { method: "POST", target, body }).catch(String);
  // Whether the client still reads the answer depends on how much it had left to send.
  expect([
    "413",
    "Error: write EPIPE",
    "Error: read ECONNRESET",
    "Error: write ECONNRESET",
  ]).toContain(String(outcome));
});

test("what is no HTTP is refused and leaves nothing behind", async () => {
  await using lab = await startTestLab();
  const { hostname, port } = new URL(lab.acs.url);
  const answer = await new Promise((resolve, reject) => {
    const socket = connectTcp(Number(port), hostname, () =>
      socket.write("INVITE sip:a SIP/2.0\r\n\r\n"),
    );
    socket.on("data", (data) => resolve(String(data)));
    socket.on("error", reject);
  });
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
});
