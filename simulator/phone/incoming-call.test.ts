import { expect, onTestFinished, test } from "vitest";
import { dial } from "../drachtio/dial.ts";
import type { PhoneOptions } from "./phone.ts";
import { acceptRegistrations, openTestServer } from "./testing/server.ts";

/** A registered phone, and a way to ring it. */
async function reachable(options: Partial<PhoneOptions> = {}) {
  const opened = await openTestServer(options);
  onTestFinished(() => opened[Symbol.asyncDispose]());
  const { contact } = acceptRegistrations(opened.srf);
  await opened.phone.register();
  const uri = await contact;
  const session = await opened.media("caller");
  const ring = (signal: AbortSignal, localSdp = session.offer()) =>
    dial(opened.srf, uri, {
      localSdp,
      signal,
      headers: { From: '"Dana" <sip:+14255550100@127.0.0.1>', "X-AI-Summary": "a%20b" },
    });
  return { ...opened, session, ring };
}

test("a registered phone rings, shows who calls and answers", async ({ signal }) => {
  const { phone, session, ring } = await reachable();
  const ringing = ring(signal);

  const incoming = await phone.nextCall({ signal });
  expect(incoming).toMatchObject({ from: "+14255550100", displayName: "Dana" });
  expect(incoming.headers.get("x-ai-summary")).toBe("a%20b");
  expect(incoming.headers.get("X-Nothing")).toBeUndefined();
  const call = await incoming.answer();
  const dialog = await ringing;
  session.accept(dialog.remote.sdp);
  const pressed = Promise.withResolvers<string>();
  session.onDigit((digit) => pressed.resolve(digit));
  await call.press("7");

  expect(await pressed.promise).toBe("7");
  dialog.destroy({ headers: {} }, () => {});
  expect(await call.ended).toEqual({ by: "remote" });
});

test("a call can be rejected with any status and reason", async ({ signal }) => {
  const { phone, ring } = await reachable();
  const ringing = ring(signal).catch((error: unknown) => error);

  const incoming = await phone.nextCall({ signal });
  await incoming.reject(603, "Not Today");
  await incoming.reject(486);

  expect(await ringing).toMatchObject({ status: 603, reason: "Not Today" });
  await expect(incoming.answer()).rejects.toMatchObject({ code: "CALL_GONE" });
});

test("a caller who gives up is seen, and the call cannot be answered any more", async ({
  signal,
}) => {
  const { phone, ring } = await reachable();
  const patience = new AbortController();
  const ringing = ring(AbortSignal.any([signal, patience.signal])).catch((error: unknown) => error);
  const incoming = await phone.nextCall({ signal });

  patience.abort(new Error("no patience"));

  expect(await ringing).toEqual(new Error("no patience"));
  await incoming.cancelled;
  await expect(incoming.answer()).rejects.toMatchObject({ code: "CALL_GONE" });
});

test("a caller who gave up unseen is nobody's next call", async ({ signal }) => {
  const { phone, ring, trace } = await reachable();
  const patience = new AbortController();
  const first = ring(AbortSignal.any([signal, patience.signal])).catch((error: unknown) => error);
  await trace.waitFor((event) => event.type === "sip" && /180 Ringing/.test(event.message), {
    timeoutMs: 2_000,
    what: "180",
  });
  patience.abort(new Error("gave up"));
  await first;
  await trace.waitFor((event) => event.type === "sip" && /487 Request/.test(event.message), {
    timeoutMs: 2_000,
    what: "487",
  });

  const second = ring(signal);
  await (await phone.nextCall({ signal })).answer();

  expect((await second).remote.sdp).toContain("m=audio");
});

test("an offer without usable audio is refused with 488 and the answer says why", async ({
  signal,
}) => {
  const { phone, ring } = await reachable();
  const video =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4 RTP/AVP 31\r\n";
  const ringing = ring(signal, video).catch((error: unknown) => error);

  const incoming = await phone.nextCall({ signal });

  await expect(incoming.answer()).rejects.toMatchObject({ code: "InvalidSdp" });
  expect(await ringing).toMatchObject({ status: 488 });
});

test("a wait for a call that does not come names the number", async () => {
  const { phone } = await reachable();

  await expect(phone.nextCall({ timeoutMs: 20 })).rejects.toThrow(
    "no call at +14255550100 within 20 ms (0 so far)",
  );
});

test("calls that ring while the phone is disposed are refused", async ({ signal }) => {
  const { phone, ring } = await reachable();
  const ringing = ring(signal).catch((error: unknown) => error);
  await phone.nextCall({ signal });

  await phone[Symbol.asyncDispose]();

  expect(await ringing).toMatchObject({ status: 480 });
});

test("the registration is refreshed at half its life and removed at the end", async () => {
  const opened = await openTestServer({ registrationSeconds: 600 });
  onTestFinished(() => opened[Symbol.asyncDispose]());
  const { seen } = acceptRegistrations(opened.srf, { grantSeconds: 1 });
  await opened.phone.register();

  await expect.poll(() => seen.length).toBe(2);
  await opened.phone[Symbol.asyncDispose]();

  expect(seen).toEqual([600, 600, 0]);
});

test("a refused registration rejects with its status", async () => {
  const opened = await openTestServer();
  onTestFinished(() => opened[Symbol.asyncDispose]());
  acceptRegistrations(opened.srf, { status: 403 });

  await expect(opened.phone.register()).rejects.toMatchObject({
    code: "REGISTRATION_REFUSED",
    status: 403,
  });
});
