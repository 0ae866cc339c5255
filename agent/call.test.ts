import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { Call } from "./call.ts";
import { parseMidCallEvents } from "./events.ts";
import { createLogger } from "./telemetry.ts";
import {
  type CallService,
  type CallServiceOptions,
  CONNECTION_ID,
  cloudEvent,
  startCallService,
} from "./testing/call-service.ts";

const ANSWER = {
  incomingCallContext: "context",
  callbackUrl: "https://agent.test/callbacks/1",
  mediaUrl: "wss://agent.test/media/1",
  rateHz: 24_000,
} as const;

const TRANSFER = {
  number: "+18005550150",
  headers: [],
  operationContext: "transfer-1",
  timeoutMs: 2000,
} as const;

interface Line extends AsyncDisposable {
  readonly call: Call;
  readonly service: CallService;
  /** Delivers an event and returns it, to deliver it again. */
  deliver(type: string, data?: object): object;
  redeliver(event: object): void;
}

async function openLine(options?: CallServiceOptions): Promise<Line> {
  const service = await startCallService(options);
  const client = new CallAutomationClient(service.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const logger = createLogger({ logLevel: "silent" });
  const call = new Call({ id: "call-1", mediaToken: "token", client, logger });
  const redeliver = (event: object) =>
    parseMidCallEvents(event)?.forEach((parsed) => call.receive(parsed));
  return {
    call,
    service,
    deliver: (type, data = {}) => {
      const event = cloudEvent(type, data);
      redeliver(event);
      return event;
    },
    redeliver,
    [Symbol.asyncDispose]: async () => {
      call.end();
      await service[Symbol.asyncDispose]();
    },
  };
}

async function connectedLine(options?: CallServiceOptions): Promise<Line> {
  const line = await openLine(options);
  await line.call.answer(ANSWER);
  line.deliver("CallConnected");
  return line;
}

test("a call is answered, connected, and ended", async () => {
  await using line = await openLine();
  expect(line.call.state).toBe("incoming");
  await line.call.answer(ANSWER);
  expect(line.call.state).toBe("answering");
  line.deliver("CallConnected");
  await line.call.connected;
  expect(line.call.state).toBe("connected");
  line.deliver("CallDisconnected", { resultInformation: { code: 200, subCode: 540000 } });
  expect(line.call.state).toBe("ended");
  expect(line.call.signal.aborted).toBe(true);
});

test("the answer asks for the rate of the call", async () => {
  await using line = await openLine();
  await line.call.answer(ANSWER);
  const { body } = await line.service.request(/:answer$/);
  expect(body).toMatchObject({
    incomingCallContext: "context",
    callbackUri: "https://agent.test/callbacks/1",
    mediaStreamingOptions: { audioFormat: "pcm24KMono", transportUrl: "wss://agent.test/media/1" },
  });
});

test("a refused answer is the SDK's error", async () => {
  await using line = await openLine({ refuseAnswer: { status: 400, code: "8523" } });
  await expect(line.call.answer(ANSWER)).rejects.toMatchObject({ statusCode: 400, code: "8523" });
});

test("events in any order, late or twice, change nothing they should not", async () => {
  await using line = await openLine();
  line.deliver("ParticipantsUpdated", { participants: [], sequenceNumber: 1 });
  await line.call.answer(ANSWER);
  line.deliver("CallTransferFailed", { operationContext: "never asked for" });
  const connected = line.deliver("CallConnected");
  line.redeliver(connected);
  line.deliver("CallConnected");
  line.deliver("SomethingNew");
  expect(line.call.state).toBe("connected");
  const disconnected = line.deliver("CallDisconnected");
  line.redeliver(disconnected);
  line.deliver("CallConnected");
  expect(line.call.state).toBe("ended");
});

test("CallConnected that overtakes the answer's response counts", async () => {
  await using line = await openLine();
  const answered = line.call.answer(ANSWER);
  line.deliver("CallConnected");
  await answered;
  expect(line.call.state).toBe("connected");
});

test("an event of another connection is ignored", async () => {
  await using line = await connectedLine();
  line.deliver("CallDisconnected", { callConnectionId: "another" });
  expect(line.call.state).toBe("connected");
});

test("an accepted transfer is told apart by its operation context", async () => {
  await using line = await connectedLine();
  const transfer = line.call.transfer(TRANSFER);
  expect(line.call.state).toBe("transferring");
  await line.service.request(/:transferToParticipant$/);
  line.deliver("CallTransferFailed", { operationContext: "an older one" });
  line.deliver("CallTransferAccepted", { operationContext: "transfer-1" });
  expect(await transfer).toEqual({ accepted: true });
  expect(line.call.transferred).toBe(true);
});

test.each([
  [{ code: 486, subCode: 560486 }, "486/560486"],
  [{ code: 403, subCode: 560403 }, "403/560403"],
  [{ code: 408, subCode: 500001 }, "408/500001"],
  [{}, "unknown"],
])("a transfer refused with %j leaves the call connected", async (resultInformation, code) => {
  await using line = await connectedLine();
  const transfer = line.call.transfer(TRANSFER);
  await line.service.request(/:transferToParticipant$/);
  line.deliver("CallTransferFailed", { operationContext: "transfer-1", resultInformation });
  expect(await transfer).toEqual({ accepted: false, code });
  expect(line.call.state).toBe("connected");
});

test("a transfer request that the service refuses is no exception", async () => {
  await using line = await connectedLine({ refuseTransfer: { status: 409, code: "8607" } });
  expect(await line.call.transfer(TRANSFER)).toEqual({ accepted: false, code: "409/8607" });
  expect(line.call.state).toBe("connected");
});

test("a transfer nobody answers times out, and its late acceptance still counts", async () => {
  await using line = await connectedLine({ state: "connected" });
  const result = await line.call.transfer({ ...TRANSFER, timeoutMs: 20 });
  expect(result).toEqual({ accepted: false, code: "timeout" });
  line.deliver("CallTransferAccepted", { operationContext: "transfer-1" });
  line.deliver("CallDisconnected");
  expect(line.call.transferred).toBe(true);
});

test.each([
  ["connected", { accepted: false, code: "timeout" }, "connected"],
  ["transferring", { accepted: false, code: "timeout" }, "connected"],
  ["transferAccepted", { accepted: true }, "ended"],
  [undefined, { accepted: false, code: "timeout" }, "ended"],
])(
  "when nothing is heard of a transfer, the service's state %j decides",
  async (state, result, after) => {
    await using line = await connectedLine({ state });
    expect(await line.call.transfer({ ...TRANSFER, timeoutMs: 20 })).toEqual(result);
    expect(line.call.state).toBe(after);
  },
);

test("CallDisconnected before CallTransferAccepted is a transfer all the same", async () => {
  await using line = await connectedLine();
  const transfer = line.call.transfer(TRANSFER);
  await line.service.request(/:transferToParticipant$/);
  line.deliver("CallDisconnected");
  line.deliver("CallTransferAccepted", { operationContext: "transfer-1" });
  expect(await transfer).toEqual({ accepted: true });
  expect(line.call.state).toBe("ended");
});

test("a caller who leaves during the transfer ends it", async () => {
  await using line = await connectedLine();
  const transfer = line.call.transfer(TRANSFER);
  await line.service.request(/:transferToParticipant$/);
  line.deliver("CallDisconnected", { resultInformation: { code: 200, subCode: 540000 } });
  expect(await transfer).toEqual({ accepted: false, code: "call-ended" });
  expect(line.call.transferred).toBe(false);
});

test("a transfer before the call is connected is not asked for", async () => {
  await using line = await openLine();
  expect(await line.call.transfer(TRANSFER)).toMatchObject({ accepted: false });
  expect(line.service.requests).toEqual([]);
});

test("hanging up ends the call for everybody, once", async () => {
  await using line = await connectedLine();
  await line.call.hangUp();
  await line.call.hangUp();
  const paths = line.service.requests.map(({ path }) => path);
  expect(paths.filter((path) => path.endsWith(":terminate"))).toEqual([
    `/calling/callConnections/${CONNECTION_ID}:terminate`,
  ]);
});

test("a media socket that came back before anybody listened is not forgotten", async () => {
  await using line = await openLine();
  const { OPEN, CLOSED } = WebSocket;
  const lost = { OPEN, readyState: OPEN as number, close: () => {} };
  const first = lost as WebSocket;
  const second = { ...lost } as WebSocket;
  expect(line.call.attachMedia(first, undefined)).toBe(true);
  lost.readyState = CLOSED;
  expect(line.call.attachMedia(second, undefined)).toBe(true);
  expect(await line.call.media).toBe(first);
  const returned: unknown[] = [];
  line.call.onMediaReturned((back) => returned.push(back));
  line.call.onMediaReturned((back) => returned.push(back));
  expect(returned).toEqual([second]);
});

test("a failure of media streaming is reported", async () => {
  await using line = await connectedLine();
  line.deliver("MediaStreamingFailed", { resultInformation: { code: 400, subCode: 8581 } });
  expect(await line.call.media).toBeUndefined();
  expect(line.call.state).toBe("connected");
});
