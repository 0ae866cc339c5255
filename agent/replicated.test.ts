import { expect, test } from "vitest";
import { memoryReplicas } from "./replicas.ts";
import { cloudEvent, until } from "./testing/call-service.ts";
import { INCOMING, post, startWorld } from "./testing/world.ts";

/** Two agents that share a directory, each with its own stand-ins. */
async function startPair() {
  const stack = new AsyncDisposableStack();
  const replicas = memoryReplicas();
  const one = stack.use(await startWorld({ replicas }));
  const two = stack.use(await startWorld({ replicas }));
  return { one, two, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a call announced to both replicas is answered by one", async () => {
  await using pair = await startPair();
  const { one, two } = pair;
  await Promise.all([post(one.agent.webhookUrl, INCOMING), post(two.agent.webhookUrl, INCOMING)]);
  expect(one.agent.activeCalls + two.agent.activeCalls).toBe(1);
});

test("events that reach the other replica, some of them twice, move the call", async () => {
  await using pair = await startPair();
  const { one, two } = pair;
  await post(one.agent.webhookUrl, INCOMING);
  const { body } = await one.calls.request(/:answer$/);
  const media = await one.calls.openMedia();
  const path = new URL(String(body["callbackUri"])).pathname;
  const connected = JSON.stringify([cloudEvent("CallConnected", {})]);
  expect((await post(`${two.agent.url}${path}`, connected)).status).toBe(200);
  expect((await post(`${two.agent.url}${path}`, connected)).status).toBe(200);
  expect((await post(`${one.agent.url}${path}`, connected)).status).toBe(200);
  await until(() => media.totalBytes > 0);
  const disconnected = JSON.stringify([cloudEvent("CallDisconnected", {})]);
  await post(`${two.agent.url}${path}`, disconnected);
  await until(() => one.agent.activeCalls === 0);
  expect(one.agent.store.calls()[0]).toMatchObject({ outcome: "caller-left" });
});

test("events of a call that is over are unknown to the other replica", async () => {
  await using pair = await startPair();
  const { one, two } = pair;
  await post(one.agent.webhookUrl, INCOMING);
  const { body } = await one.calls.request(/:answer$/);
  await one.calls.event("CallDisconnected");
  await until(() => one.agent.activeCalls === 0);
  const path = new URL(String(body["callbackUri"])).pathname;
  const late = JSON.stringify([cloudEvent("ParticipantsUpdated", {})]);
  expect((await post(`${two.agent.url}${path}`, late)).status).toBe(404);
  expect((await post(`${one.agent.url}${path}`, late)).status).toBe(200);
});
