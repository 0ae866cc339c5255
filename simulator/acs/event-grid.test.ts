import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { isRecord } from "./fields.ts";
import { Application, type Received } from "./testing/application.ts";
import { startTestLab } from "./testing/lab.ts";

const validationOf = ({ body }: Received) => {
  const [event]: unknown[] = Array.isArray(body) ? body : [];
  const data = isRecord(event) ? event["data"] : undefined;
  return isRecord(data) ? data : {};
};

test("the EventGrid handshake posts a validation event and wants its code back", async () => {
  await using lab = await startTestLab();
  const [request] = lab.application.requests;
  expect(request?.headers["aeg-event-type"]).toBe("SubscriptionValidation");
  expect(request?.body).toEqual([
    {
      id: expect.any(String),
      topic: expect.stringMatching(/^\/subscriptions\/.*\/communicationServices\/contoso$/),
      subject: "",
      data: {
        validationCode: expect.stringMatching(/^[\dA-F-]{36}$/),
        validationUrl: expect.stringContaining(`${lab.acs.url}/eventgrid/validate?id=`),
      },
      eventType: "Microsoft.EventGrid.SubscriptionValidationEvent",
      dataVersion: "2",
      metadataVersion: "1",
      eventTime: expect.stringMatching(/Z$/),
    },
  ]);
});

test("202 does not pass the handshake", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  other.reply = () => ({ status: 202 });
  await expect(lab.acs.subscribe(other.url)).rejects.toMatchObject({
    code: "EVENT_GRID_HANDSHAKE",
    message: expect.stringContaining("status 202, expected 200"),
  });
});

test("an application may open validationUrl instead", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  other.reply = () => ({ status: 200 });
  const subscribed = lab.acs.subscribe(other.url, { name: "manual" });
  const request = await other.until(() => other.requests[0], "validation");
  const opened = await fetch(String(validationOf(request)["validationUrl"]));
  expect(opened.status).toBe(200);
  expect((await subscribed).name).toBe("manual");
});

test("validationUrl closes after five minutes", async () => {
  const clock = manualClock();
  await using lab = await startTestLab({ clock });
  await using other = await Application.start();
  other.reply = () => ({ status: 200 });
  const subscribed = lab.acs.subscribe(other.url);
  const request = await other.until(() => other.requests[0], "validation");
  const outcome = subscribed.catch((error: unknown) => String(error));
  await lab.trace.waitFor(
    (event) => event.type === "http" && event.target.startsWith(other.url) && event.status === 200,
    { timeoutMs: 4000, what: "answer to the validation" },
  );
  await clock.advance(300_000);
  expect(await outcome).toMatch(/nobody opened validationUrl/);
  const late = await fetch(String(validationOf(request)["validationUrl"]));
  expect(late.status).toBe(404);
});

test("a CloudEvents subscription asks by OPTIONS and gets single events", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  await lab.acs.subscribe(`${other.url}/hook`, { schema: "CloudEvents" });
  expect(other.requests[0]).toMatchObject({
    method: "OPTIONS",
    headers: expect.objectContaining({ "webhook-request-origin": "eventgrid.azure.net" }),
  });
  lab.gateway.ring();
  const { envelope, headers } = await other.event("IncomingCall");
  expect(other.requests[1]?.body).not.toBeInstanceOf(Array);
  expect(headers["content-type"]).toBe("application/cloudevents+json; charset=utf-8");
  expect(envelope).toMatchObject({
    specversion: "1.0",
    type: "Microsoft.Communication.IncomingCall",
    source: expect.stringContaining("communicationServices/contoso"),
  });
});

test("a CloudEvents application that allows another origin is refused", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  other.reply = () => ({ status: 200, headers: { "WebHook-Allowed-Origin": "example.com" } });
  const attempt = lab.acs.subscribe(other.url, { schema: "CloudEvents" });
  await expect(attempt).rejects.toThrow(/WebHook-Allowed-Origin "example.com"/);
});

test("a delivery carries Event Grid's headers and the subscription's own", async () => {
  await using lab = await startTestLab();
  await using other = await Application.start();
  const headers = { "x-secret": "s" };
  await lab.acs.subscribe(other.url, { name: "calls", headers });
  lab.gateway.ring();
  const event = await other.event("IncomingCall");
  expect(event.headers).toMatchObject({
    "aeg-event-type": "Notification",
    "aeg-subscription-name": "CALLS",
    "aeg-delivery-count": "0",
    "aeg-data-version": "1.0",
    "aeg-metadata-version": "1",
    "x-secret": "s",
  });
});

test("a failed delivery is repeated on Event Grid's schedule, then dead-lettered", async () => {
  const clock = manualClock();
  await using lab = await startTestLab({ clock, delivery: { maxAttempts: 3 } });
  lab.application.reply = () => ({ status: 500 });
  lab.gateway.ring();
  await lab.application.event("IncomingCall");
  await settled(lab.trace, 1);
  await clock.advance(9_999);
  expect(lab.application.eventTypes().filter((type) => type === "IncomingCall")).toHaveLength(1);
  await clock.advance(1);
  await lab.application.event("IncomingCall", 1);
  await settled(lab.trace, 2);
  await clock.advance(30_000);
  const third = await lab.application.event("IncomingCall", 2);
  await settled(lab.trace, 3);
  expect(third.headers["aeg-delivery-count"]).toBe("2");
  await clock.advance(0);
  expect(lab.acs.deadLetters).toMatchObject([
    { reason: "MaxDeliveryAttemptsExceeded", attempts: 3, lastStatus: 500, subscription: "lab" },
  ]);
});

test("400 is not tried again", async () => {
  await using lab = await startTestLab({ delivery: { maxAttempts: 30 } });
  lab.application.reply = () => ({ status: 400 });
  lab.gateway.ring();
  await settled(lab.trace, 1);
  await lab.application.event("IncomingCall");
  await lab.application.until(() => {
    setImmediate(() => lab.application.poke());
    return lab.acs.deadLetters[0];
  }, "dead letter");
  expect(lab.acs.deadLetters).toMatchObject([{ reason: "Rejected", attempts: 1 }]);
});

test("a duplicate has the id of the first", async () => {
  await using lab = await startTestLab();
  lab.faults.add({ name: "acs.duplicate-event" });
  lab.gateway.ring();
  const first = await lab.application.event("IncomingCall");
  const second = await lab.application.event("IncomingCall", 1);
  expect(second.envelope["id"]).toBe(first.envelope["id"]);
});

test("events of a span go out as one batch", async () => {
  const clock = manualClock();
  await using lab = await startTestLab({ clock, delivery: { batchMs: 50 } });
  lab.gateway.ring();
  lab.gateway.ring();
  await clock.advance(49);
  expect(lab.application.eventTypes()).not.toContain("IncomingCall");
  await clock.advance(1);
  await lab.application.event("IncomingCall", 1);
  expect(lab.application.requests.at(-1)?.body).toHaveLength(2);
});

test("a full batch does not wait, and a CloudEvents batch says what it is", async () => {
  const clock = manualClock();
  const delivery = { batchMs: 50, maxEventsPerBatch: 2 };
  await using lab = await startTestLab({ clock, delivery });
  await using other = await Application.start();
  lab.acs.unsubscribe("lab");
  await lab.acs.subscribe(other.url, { schema: "CloudEvents" });
  lab.gateway.ring();
  lab.gateway.ring();
  const { headers } = await other.event("IncomingCall", 1);
  expect(headers["content-type"]).toBe("application/cloudevents-batch+json; charset=utf-8");
});

/** Resolves when the `count`-th notification has been answered. */
async function settled(trace: Awaited<ReturnType<typeof startTestLab>>["trace"], count: number) {
  let seen = 0;
  const isLast = (event: (typeof trace.events)[number]) =>
    event.type === "http" &&
    event.service === "event-grid" &&
    JSON.stringify(event.request).includes("IncomingCall") &&
    ++seen === count;
  if (trace.events.some(isLast)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = trace.subscribe((event) => {
    if (isLast(event)) resolve();
  });
  await promise;
  stop();
}
