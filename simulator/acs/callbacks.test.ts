import {
  CallAutomationClient,
  parseCallAutomationEvent,
} from "@azure/communication-call-automation";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { seededIds } from "./ids.ts";
import { RESOURCE, startTestLab, type TestLab } from "./testing/lab.ts";

const CALLER = { phoneNumber: "+14255550100" };

async function answer(lab: TestLab, callbackUrl = `${lab.application.url}/callbacks?key=1`) {
  const client = new CallAutomationClient(lab.acs.connectionString, {
    allowInsecureConnection: true,
  });
  const { leg, context } = await lab.ring();
  const { callConnection } = await client.answerCall(context, callbackUrl);
  return { leg, callConnection };
}

async function verify(lab: TestLab, authorization: string | undefined) {
  const discovery = await fetch(`${lab.acs.url}/calling/.well-known/acsopenidconfiguration`);
  const { issuer, jwks_uri: keys } = (await discovery.json()) as Record<string, string>;
  const token = authorization?.replace("Bearer ", "") ?? "";
  const keySet = createRemoteJWKSet(new URL(keys ?? ""));
  return jwtVerify(token, keySet, { issuer: issuer ?? "", audience: RESOURCE.resourceId });
}

test("a callback is an array of one CloudEvent that the SDK parses", async () => {
  await using lab = await startTestLab();
  await answer(lab);
  const { envelope, headers, path } = await lab.application.event("CallConnected");
  const id = lab.acs.calls[0]?.id;
  expect(path).toBe("/callbacks?key=1");
  expect(headers["content-type"]).toBe("application/json; charset=utf-8");
  expect(envelope).toEqual({
    id: expect.stringMatching(/^[\da-f-]{36}$/),
    source: `calling/callConnections/${id}`,
    type: "Microsoft.Communication.CallConnected",
    data: expect.objectContaining({ callConnectionId: id }),
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/),
    specversion: "1.0",
    datacontenttype: "application/json",
    subject: `calling/callConnections/${id}`,
  });
  expect(envelope["data"]).not.toHaveProperty("operationContext");
  expect(parseCallAutomationEvent([envelope] as never).kind).toBe("CallConnected");
});

test("every callback carries a new token that verifies against the published keys", async () => {
  await using lab = await startTestLab();
  await answer(lab);
  const { headers } = await lab.application.event("CallConnected");
  const { payload, protectedHeader } = await verify(lab, headers.authorization);
  expect(protectedHeader.alg).toBe("RS256");
  expect(payload.iss).toBe("https://acscallautomation.communication.azure.com");
  expect(Number(payload.exp) - Number(payload.iat)).toBe(300);
});

test.each([
  ["acs.wrong-audience", /"aud" claim/],
  ["acs.expired-token", /"exp" claim/],
  ["acs.unknown-key", /no applicable key/],
  ["acs.forged-token", /signature verification failed/],
  ["acs.no-token", /Invalid Compact JWS/],
])("the fault %s makes the token fail", async (name, message) => {
  await using lab = await startTestLab();
  lab.faults.add({ name });
  await answer(lab);
  const { headers } = await lab.application.event("CallConnected");
  await expect(verify(lab, headers.authorization)).rejects.toThrow(message);
});

test("an application that never answers still gets every event", async () => {
  await using lab = await startTestLab();
  const { reply } = lab.application;
  lab.application.reply = (request) =>
    request.path.startsWith("/callbacks") ? "never" : reply(request);
  const { leg } = await answer(lab);
  await lab.application.event("CallConnected");
  leg.end();
  const { data } = await lab.application.event("CallDisconnected");
  expect(data).toMatchObject({ resultInformation: { subCode: 540_000 } });
});

test("an application that fails is tried again only when the policy says so", async () => {
  await using lab = await startTestLab({
    clock: systemClock({ rate: 10 }),
    policy: { callbackRetries: 1 },
  });
  const { reply } = lab.application;
  lab.application.reply = (request) =>
    request.path.startsWith("/callbacks") ? { status: 500 } : reply(request);
  await answer(lab);
  const first = await lab.application.event("CallConnected");
  const second = await lab.application.event("CallConnected", 1);
  expect(second.envelope["id"]).toBe(first.envelope["id"]);
});

test("callbacks are dropped and duplicated by faults, one type or all", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.drop-callback.CallConnected" });
  lab.faults.add({ name: "acs.duplicate-callback.ParticipantsUpdated" });
  const { leg } = await answer(lab);
  await lab.application.event("ParticipantsUpdated", 1);
  leg.end();
  await lab.application.event("CallDisconnected");
  expect(lab.application.eventTypes()).not.toContain("CallConnected");
  expect(lab.faults.struck.toSorted()).toEqual([
    "acs.drop-callback.CallConnected",
    "acs.duplicate-callback.ParticipantsUpdated",
  ]);
});

test("a delayed callback comes after those sent later", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.delay-callback.CallConnected", with: { ms: 150 } });
  const { leg } = await answer(lab);
  await lab.application.event("ParticipantsUpdated");
  leg.end();
  await lab.application.event("CallConnected");
  expect(lab.application.eventTypes().slice(-2)).toEqual(["CallDisconnected", "CallConnected"]);
});

test("an https name of the ingress map reaches the local port", async () => {
  const ingress: Record<string, string> = {};
  await using lab = await startTestLab({ ingress });
  ingress["https://agent.example.test"] = lab.application.url;
  await answer(lab, "https://agent.example.test/callbacks");
  const { path } = await lab.application.event("CallConnected");
  expect(path).toBe("/callbacks");
});

test("each delivery is in the trace with its outcome", async () => {
  await using lab = await startTestLab();
  await answer(lab);
  const event = await lab.trace.waitFor(
    (entry) => entry.type === "http" && entry.service === "callback",
    { timeoutMs: 2000, what: "callback" },
  );
  expect(event).toMatchObject({ direction: "out", method: "POST", status: 200 });
  expect(event.call).toBe(lab.acs.calls[0]?.id);
});

test.each([1, 2, 3])(
  "seed %i shakes the order and doubles events, but loses none",
  async (seed) => {
    await using lab = await startTestLab({ ids: seededIds(seed) });
    lab.faults.add({ name: "acs.reorder-callback", with: { ms: 60 } });
    lab.faults.add({ name: "acs.duplicate-callback", with: { probability: 0.5 } });
    const { leg } = await answer(lab);
    await lab.application.event("CallConnected");
    await lab.application.event("ParticipantsUpdated");
    leg.end();
    await lab.application.event("CallDisconnected");
    const ids = lab.application.events.map(({ envelope }) => String(envelope["id"]));
    const doubled = lab.faults.struck.length - 3;
    expect(new Set(ids).size).toBe(5);
    expect(doubled).toBeGreaterThan(0);
  },
);

test("events of a call arrive in the order in which they happened", async () => {
  await using lab = await startTestLab({ policy: { callbackOrderMs: 4000 } });
  const { callConnection } = await answer(lab);
  await lab.application.event("CallConnected");
  await callConnection.getCallMedia().startContinuousDtmfRecognition(CALLER);
  const [leg] = lab.gateway.legs;
  for (let press = 0; press < 20; press++) leg?.press("1");
  leg?.end();
  await lab.application.event("CallDisconnected");
  const tones = lab.application.events.filter(({ type }) => type.endsWith("ToneReceived"));
  expect(tones.map(({ data }) => data["sequenceId"])).toEqual(
    Array.from({ length: 20 }, (_, n) => n + 1),
  );
  expect(lab.application.eventTypes().at(-1)).toBe("CallDisconnected");
});
