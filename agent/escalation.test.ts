import { CallAutomationClient } from "@azure/communication-call-automation";
import { afterEach, expect, test, vi } from "vitest";
import { Call } from "./call.ts";
import type { Config } from "./config.ts";
import { escalate, transferHeaders } from "./escalation.ts";
import { parseMidCallEvents } from "./events.ts";
import { PHRASES } from "./phrases.ts";
import { createLogger } from "./telemetry.ts";
import { cloudEvent, startCallService, until } from "./testing/call-service.ts";

const CONFIG: Config["escalation"] = {
  queueNumber: "+18005550150",
  fallbackNumber: undefined,
  summaryHeader: "X-AI-Summary",
  summaryEncoding: "percent",
  summaryLimit: 256,
  transferTimeoutMs: 2000,
};
afterEach(() => vi.useRealTimers());

const REQUEST = { summary: "Wants a refund.", reason: "refund", announced: false };

function headers(config: Partial<Config["escalation"]>, summary: string) {
  const context = { transferReason: "billing" };
  const list = transferHeaders(
    { summary, reason: "refund" },
    { config: { ...CONFIG, ...config }, context, customerId: "C-1" },
  );
  return list.map(({ key, value, sipHeaderPrefix }) => `${sipHeaderPrefix}|${key}: ${value}`);
}

test("the summary, the customer and the reason travel, encoded", () => {
  expect(headers({}, "Wants a refund.")).toEqual([
    "X-|AI-Summary: Wants%20a%20refund.",
    "X-|Customer-ID: C-1",
    "X-|Transfer-Reason: billing",
  ]);
});

test("the prefix of older resources is kept apart from the key", () => {
  expect(headers({ summaryHeader: "X-MS-Custom-Summary" }, "s")[0]).toBe("X-MS-Custom-|Summary: s");
});

test("plain text is an option, and cannot break the line", () => {
  expect(headers({ summaryEncoding: "none" }, "a\r\nX-Evil: 1")[0]).toBe(
    "X-|AI-Summary: a X-Evil: 1",
  );
});

test("without a reason of the caller's own, the model's is sent; nothing empty is", () => {
  const list = transferHeaders(
    { summary: "", reason: "refund" },
    { config: CONFIG, context: {}, customerId: undefined },
  );
  expect(list).toEqual([
    { kind: "sipx", key: "Transfer-Reason", value: "refund", sipHeaderPrefix: "X-" },
  ]);
});

/** A connected call whose transfers end as `outcomes` say, in order. */
async function openLine(outcomes: readonly string[]) {
  const service = await startCallService();
  const client = new CallAutomationClient(service.connectionString, {
    allowInsecureConnection: true,
  });
  const logger = createLogger({ logLevel: "silent" });
  const call = new Call({ id: "call-1", mediaToken: "token", client, logger });
  const deliver = (type: string, data: object) =>
    parseMidCallEvents(cloudEvent(type, data))?.forEach((event) => call.receive(event));
  await call.answer({
    incomingCallContext: "c",
    callbackUrl: "https://a.test",
    mediaUrl: "wss://a.test",
    rateHz: 16_000,
  });
  deliver("CallConnected", {});
  const transfers = () =>
    service.requests.filter(({ path }) => path.endsWith(":transferToParticipant"));
  const events = async () => {
    for (const [index, type] of outcomes.entries()) {
      const request = await until(() => transfers()[index]);
      deliver(type, {
        operationContext: request.body["operationContext"],
        resultInformation: { code: 486, subCode: 560486 },
      });
    }
  };
  const said: string[] = [];
  let number = 0;
  const options = {
    call,
    lingerMs: 0,
    context: {},
    customerId: undefined,
    logger,
    ids: () => `operation-${(number += 1)}`,
    say: async (text: string) => void said.push(text),
  };
  return {
    service,
    call,
    options,
    said,
    transfers,
    events,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

test("the caller is told before they are transferred", async () => {
  await using line = await openLine(["CallTransferAccepted"]);
  const [result] = await Promise.all([
    escalate(REQUEST, { ...line.options, config: CONFIG }),
    line.events(),
  ]);
  expect(result).toEqual({ accepted: true });
  expect(line.said).toEqual([PHRASES.connecting]);
});

test("nothing is said twice when the model has said it", async () => {
  await using line = await openLine(["CallTransferAccepted"]);
  await Promise.all([
    escalate({ ...REQUEST, announced: true }, { ...line.options, config: CONFIG }),
    line.events(),
  ]);
  expect(line.said).toEqual([]);
});

test("a refused transfer goes to the fallback number", async () => {
  await using line = await openLine(["CallTransferFailed", "CallTransferAccepted"]);
  const config = { ...CONFIG, fallbackNumber: "+18005550160" };
  const [result] = await Promise.all([
    escalate(REQUEST, { ...line.options, config }),
    line.events(),
  ]);
  expect(result).toEqual({ accepted: true });
  const targets = line.transfers().map(({ body }) => JSON.stringify(body["targetParticipant"]));
  expect(targets[0]).toContain("+18005550150");
  expect(targets[1]).toContain("+18005550160");
});

test("when nobody takes the call the last code is the result", async () => {
  await using line = await openLine(["CallTransferFailed"]);
  const [result] = await Promise.all([
    escalate(REQUEST, { ...line.options, config: CONFIG }),
    line.events(),
  ]);
  expect(result).toEqual({ accepted: false, code: "486/560486" });
  expect(line.call.state).toBe("connected");
});

test("a transfer that fails returns when the reassurance has been heard out", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  await using line = await openLine(["CallTransferFailed"]);
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  const order: string[] = [];
  const say = async (text: string) => {
    if (text !== PHRASES.stillConnecting) return;
    await heard;
    order.push("heard");
  };
  const escalated = escalate(REQUEST, { ...line.options, say, config: CONFIG }).then(() =>
    order.push("returned"),
  );
  await until(() => line.transfers()[0]);
  vi.advanceTimersByTime(10_000);
  await line.events();
  await new Promise((done) => {
    setImmediate(done);
  });
  resolve();
  await escalated;
  expect(order).toEqual(["heard", "returned"]);
});

test("a reassurance that takes long is not spoken into by the next one", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  await using line = await openLine(["CallTransferAccepted"]);
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  const said: string[] = [];
  const say = (text: string) => {
    said.push(text);
    return text === PHRASES.stillConnecting ? heard : Promise.resolve();
  };
  const escalated = escalate(REQUEST, { ...line.options, say, config: CONFIG });
  await until(() => line.transfers()[0]);
  vi.advanceTimersByTime(20_000);
  resolve();
  await line.events();
  await escalated;
  expect(said).toEqual([PHRASES.connecting, PHRASES.stillConnecting]);
});
