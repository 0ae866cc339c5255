import { CallAutomationClient } from "@azure/communication-call-automation";
import { expect, test } from "vitest";
import { startTestLab, type TestLab } from "./testing/lab.ts";
import { refusalOf } from "./testing/sdk.ts";

const CALLER = { phoneNumber: "+14255550100" };
const NOBODY = { phoneNumber: "+19995550199" };

async function connect(lab: TestLab) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, `${lab.application.url}/cb`);
  await lab.application.event("CallConnected");
  return { leg, media: callConnection.getCallMedia() };
}

test("tones are sent to the participant and reported", async () => {
  await using lab = await startTestLab();
  const { leg, media } = await connect(lab);
  const result = await media.sendDtmfTones(["one", "pound", "a"], CALLER, {
    operationContext: "tones",
  });
  expect(result.operationContext).toBe("tones");
  const { data } = await lab.application.event("SendDtmfTonesCompleted");
  expect(data).toMatchObject({ operationContext: "tones", resultInformation: { code: 200 } });
  expect(leg.digitsSent).toEqual(["1#A"]);
});

test("a leg that takes no tones gives SendDtmfTonesFailed", async () => {
  await using lab = await startTestLab();
  const { leg, media } = await connect(lab);
  leg.sendDigits = () => Promise.reject(new Error("no telephone-event"));
  await media.sendDtmfTones(["one"], CALLER);
  const { data } = await lab.application.event("SendDtmfTonesFailed");
  expect(data).toMatchObject({ resultInformation: { code: 500, message: "no telephone-event" } });
});

test("unknown tones and absent participants are refused", async () => {
  await using lab = await startTestLab();
  const { media } = await connect(lab);
  const bad = media.sendDtmfTones(["eleven"], CALLER);
  expect(await refusalOf(bad)).toMatchObject({ statusCode: 400, code: "8523" });
  const absent = media.sendDtmfTones(["one"], NOBODY);
  expect(await refusalOf(absent)).toMatchObject({ statusCode: 404, code: "8522" });
});

test("continuous recognition reports each key with its number until it is stopped", async () => {
  await using lab = await startTestLab();
  const { leg, media } = await connect(lab);
  await media.startContinuousDtmfRecognition(CALLER, { operationContext: "keys" });
  for (const digit of "4#") leg.press(digit);
  await lab.application.event("ContinuousDtmfRecognitionToneReceived", 1);
  const tones = lab.application.events
    .filter(({ type }) => type === "ContinuousDtmfRecognitionToneReceived")
    .map(({ data: { sequenceId, tone, operationContext } }) => [
      sequenceId,
      tone,
      operationContext,
    ]);
  expect(tones.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
    [1, "four", "keys"],
    [2, "pound", "keys"],
  ]);
  await media.stopContinuousDtmfRecognition(CALLER, { operationContext: "enough" });
  const { data } = await lab.application.event("ContinuousDtmfRecognitionStopped");
  expect(data["operationContext"]).toBe("enough");
  leg.press("1");
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(
    lab.application.eventTypes().filter((type) => type.startsWith("ContinuousDtmf")),
  ).toHaveLength(3);
});

test("the end of the call stops continuous recognition with 200/7000", async () => {
  await using lab = await startTestLab();
  const { leg, media } = await connect(lab);
  await media.startContinuousDtmfRecognition(CALLER);
  leg.end();
  const { data } = await lab.application.event("ContinuousDtmfRecognitionStopped");
  expect(data).toMatchObject({ resultInformation: { code: 200, subCode: 7000 } });
});

test("continuous recognition cannot start twice, for nobody, or stop when it does not run", async () => {
  await using lab = await startTestLab();
  const { media } = await connect(lab);
  const idle = media.stopContinuousDtmfRecognition(CALLER);
  expect(await refusalOf(idle)).toMatchObject({ statusCode: 400, code: "8585" });
  await media.startContinuousDtmfRecognition(CALLER);
  const twice = media.startContinuousDtmfRecognition(CALLER);
  expect(await refusalOf(twice)).toMatchObject({ statusCode: 400, code: "8500" });
  const absent = media.startContinuousDtmfRecognition(NOBODY);
  expect(await refusalOf(absent)).toMatchObject({ statusCode: 404 });
});
