import { once } from "node:events";
import type Srf from "drachtio-srf";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { CallRefused } from "./outgoing-call.ts";
import { startPhone } from "./phone.ts";
import { openTestServer } from "./testing/server.ts";

/** A phone and a SIP server whose application answers each INVITE as the test says. */
async function server(answer: (req: Srf.SrfRequest, res: Srf.SrfResponse, srf: Srf) => unknown) {
  const opened = await openTestServer();
  onTestFinished(() => opened[Symbol.asyncDispose]());
  opened.srf.invite((req, res) => void answer(req, res, opened.srf));
  return opened;
}

test("a call is answered, carries key presses and ends with our BYE", async ({ signal }) => {
  const digits = Promise.withResolvers<string>();
  const bye = Promise.withResolvers<string>();
  const headers = Promise.withResolvers<string>();
  const { phone, media } = await server(async (req, res, srf) => {
    headers.resolve(`${req.get("From")} ${req.get("X-Test-Header")} ${req.uri}`);
    const session = await media(req.get("Call-ID"));
    session.onDigit((digit) => digits.resolve(digit));
    const dialog = await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
    dialog.on("destroy", (message) => bye.resolve(message.method));
  });

  const call = await phone.call("+18005551234", { headers: { "X-Test-Header": "a b" }, signal });
  await call.press("5", { signal });
  await call.hangUp();

  expect(await headers.promise).toMatch(
    /^"Dana Miller" <sip:\+14255550100@127\.0\.0\.1:\d+>;tag=\S+ a b sip:\+18005551234@127\.0\.0\.1:\d+$/,
  );
  expect(await digits.promise).toBe("5");
  expect(await bye.promise).toBe("BYE");
  expect(await call.ended).toEqual({ by: "local" });
});

test("a BYE from the other side ends the call with its reason", async ({ signal }) => {
  const { phone, media } = await server(async (req, res, srf) => {
    const session = await media(req.get("Call-ID"));
    const dialog = await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
    dialog.once("ack", () => {
      dialog.destroy({ headers: { Reason: 'Q.850;cause=16;text="bye"' } }, () => {});
    });
  });

  const call = await phone.call("+18005551234", { signal });

  expect(await call.ended).toEqual({ by: "remote", reason: 'Q.850;cause=16;text="bye"' });
});

test("a refusal rejects with its status and reason", async ({ signal }) => {
  const { phone } = await server((_req, res) => res.send(486, "Not Now", {}));

  const refused = await phone.call("+18005551234", { signal }).catch((error: unknown) => error);

  expect(refused).toBeInstanceOf(CallRefused);
  expect(refused).toMatchObject({ code: "CALL_REFUSED", status: 486, reason: "Not Now" });
});

test("aborting while it rings cancels the call", async ({ signal }) => {
  const cancelled = Promise.withResolvers<string>();
  const { phone } = await server((req, res) => {
    req.on("cancel", (message) => cancelled.resolve(message.get("CSeq")));
    res.send(180);
  });
  const patience = new AbortController();

  const call = await phone.dial("+18005551234", {
    signal: AbortSignal.any([signal, patience.signal]),
  });
  await call.ringing;
  patience.abort(new Error("changed my mind"));

  await expect(call.answered).rejects.toThrow("changed my mind");
  expect(await cancelled.promise).toMatch(/^\d+ CANCEL$/);
});

test("what is said arrives, and what the other side plays is recorded", async ({ signal }) => {
  const heard = Promise.withResolvers<void>();
  const { phone, media } = await server(async (req, res, srf) => {
    const session = await media(req.get("Call-ID"));
    session.onFrame(({ samples }) => samples.some((sample) => sample > 4_000) && heard.resolve());
    await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
    void session.play(tone(200));
  });

  const call = await phone.call("+18005551234", { signal });
  await call.say(tone(200), { signal });
  await heard.promise;
  await call.hangUp();

  const loudest = Math.max(...call.session.heard.audio().samples);
  expect(loudest).toBeGreaterThan(4_000);
});

test("each message on the WebSocket is a trace event with addresses and Call-ID", async ({
  signal,
}) => {
  const { phone, trace } = await server((_req, res) => res.send(404));
  await phone.call("+18005551234", { signal }).catch(() => {});

  const messages = trace.events.flatMap((event) =>
    event.type === "sip" ? [`${event.direction} ${event.message.split("\r\n")[0]}`] : [],
  );
  expect(messages[0]).toMatch(/^out INVITE sip:\+18005551234@/);
  expect(messages).toContain("in SIP/2.0 404 Not Found");
  expect(trace.events[0]).toMatchObject({
    party: "phone",
    type: "sip",
    transport: "ws",
    local: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    remote: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    call: expect.stringMatching(/./),
  });
});

test("a header with a line break is refused before anything is sent", async () => {
  const { phone, trace } = await server((_req, res) => res.send(404));

  const headers = { "X-Note": "one\r\nX-Two: two" };
  await expect(phone.call("+18005551234", { headers })).rejects.toThrow("expected one header line");
  expect(trace.events).toEqual([]);
});

test("the other side's hold and its end are answered", async ({ signal }) => {
  const held = Promise.withResolvers<string[]>();
  const { phone, media } = await server(async (req, res, srf) => {
    const session = await media(req.get("Call-ID"));
    const dialog = await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
    await once(dialog, "ack");
    const hold = await dialog.modify(session.offer({ direction: "inactive" }));
    held.resolve([hold, await dialog.modify(session.offer())]);
  });
  const call = await phone.call("+18005551234", { signal });

  const [hold, resume] = await held.promise;

  expect(hold).toContain("a=inactive");
  expect(resume).toContain("a=sendrecv");
  expect(call.session.negotiated?.direction).toBe("sendrecv");
});

test("an answer without usable audio ends the call with BYE and refuses it to us", async ({
  signal,
}) => {
  const bye = Promise.withResolvers<string>();
  const { phone } = await server(async (req, res, srf) => {
    const localSdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n";
    const dialog = await srf.createUAS(req, res, { localSdp });
    dialog.on("destroy", (message) => bye.resolve(message.get("Reason")));
  });

  await expect(phone.call("+18005551234", { signal })).rejects.toMatchObject({ status: 488 });
  expect(await bye.promise).toContain("cause=488");
});

test("disposing the phone cancels what rings and hangs up what is connected", async ({
  signal,
}) => {
  const ended: string[] = [];
  const { phone, media } = await server(async (req, res, srf) => {
    req.on("cancel", () => ended.push("CANCEL"));
    if (req.uri.includes("+1800555000")) return res.send(180);
    const session = await media(req.get("Call-ID"));
    const dialog = await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
    return dialog.on("destroy", () => ended.push("BYE"));
  });
  await phone.call("+18005551234", { signal });
  const ringing = await phone.dial("+18005550000", { signal });
  await ringing.ringing;

  await phone[Symbol.asyncDispose]();
  await phone[Symbol.asyncDispose]();

  await expect(ringing.answered).rejects.toThrow("was disposed");
  await expect.poll(() => ended.toSorted()).toEqual(["BYE", "CANCEL"]);
});

test("a lost connection ends the calls and is traced", async ({ signal }) => {
  const { phone, media, daemon, trace } = await server(async (req, res, srf) => {
    const session = await media(req.get("Call-ID"));
    await srf.createUAS(req, res, { localSdp: session.answer(req.body) });
  });
  const call = await phone.call("+18005551234", { signal });

  await daemon[Symbol.asyncDispose]();

  expect(await call.ended).toMatchObject({ by: "remote", reason: /WebSocket closed/ });
  expect(trace.events).toContainEqual(
    expect.objectContaining({ type: "error", code: "CONNECTION_LOST" }),
  );
  await expect(phone.call("+18005551234", { signal })).rejects.toMatchObject({ status: 503 });
});

test("there is no phone without a server", async () => {
  const options = { clock: systemClock(), trace: silentTrace, number: "+14255550100" };

  await expect(startPhone({ ...options, server: "ws://127.0.0.1:9" })).rejects.toThrow(
    "no SIP server at ws://127.0.0.1:9",
  );
});

function tone(durationMs: number) {
  const samples = Int16Array.from({ length: durationMs * 8 }, (_, index) =>
    Math.round(8_000 * Math.sin((2 * Math.PI * 440 * index) / 8_000)),
  );
  return { samples, rateHz: 8_000 };
}
