import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { openTrace } from "../trace.ts";
import { startDrachtioDaemon } from "./daemon.ts";
import { type Invitation, type InviteServerOptions, serveInvites, userOf } from "./invitation.ts";
import { header, openTestPeer } from "./testing/peer.ts";

const clock = systemClock();

/** An application that handles each call as the test says, and a raw caller. */
async function application(
  handle: (invitation: Invitation) => Promise<void>,
  options: Partial<InviteServerOptions> = {},
) {
  const resources = new AsyncDisposableStack();
  onTestFinished(() => resources.disposeAsync());
  const trace = openTrace({ clock });
  const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
  const party = trace.as("ivr");
  const daemon = resources.use(await startDrachtioDaemon({ clock, trace: party, contacts }));
  const { control: drachtio } = daemon;
  const server = resources.use(await serveInvites({ drachtio, trace: party, handle, ...options }));
  const caller = resources.use(await openTestPeer({ peer: daemon.contacts[0]?.port ?? 0 }));
  return { server, caller, trace, daemon };
}

const invite = (call = "call-1", contact = "Contact: <sip:c@127.0.0.1:{port}>\n") =>
  `INVITE sip:%2B18005551234@127.0.0.1:{peer} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-${call}
Max-Forwards: 12
From: "D" <sip:+14255550100@127.0.0.1>;tag=a
To: <sip:+18005551234@127.0.0.1>
Call-ID: ${call}
CSeq: 1 INVITE
${contact}Content-Length: 0

`;

const pending = (invitation: Invitation) =>
  new Promise<void>((done) => {
    invitation.signal.addEventListener("abort", () => done(), { once: true });
  });

test("a call shows who calls whom and how far it may still go", async () => {
  const seen = Promise.withResolvers<Invitation>();
  const { caller } = await application(async (invitation) => seen.resolve(invitation));
  caller.send(invite());

  expect(await seen.promise).toMatchObject({
    callId: "call-1",
    number: "+18005551234",
    from: "+14255550100",
    maxForwards: 12,
    offer: "",
  });
});

test("a handler that fails costs the call, not the process, and is traced", async () => {
  const { caller, trace, server } = await application(async () => {
    throw new Error("no idea");
  });
  caller.send(invite());

  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 500 ");
  expect(trace.events).toContainEqual(
    expect.objectContaining({
      type: "error",
      code: "CALL_HANDLER",
      call: "call-1",
      message: expect.stringContaining("no idea"),
    }),
  );
  expect(server.callCount).toBe(0);
});

test("beyond the limit a call gets 503", async () => {
  const { caller } = await application(pending, { maxCalls: 1 });
  caller.send(invite("first"));
  caller.send(invite("second"));

  const refused = await caller.receive(/^SIP\/2.0 [3-6]/);

  expect(refused).toContain("SIP/2.0 503 ");
  expect(header(refused, "Call-ID")).toBe("second");
});

test("an INVITE without Contact gets 400", async () => {
  const { caller } = await application(pending);
  caller.send(invite("call-1", ""));

  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 400 Missing Contact\r\n");
});

test("CANCEL aborts the signal with the caller's reason", async () => {
  const seen = Promise.withResolvers<Invitation>();
  const { caller } = await application(async (invitation) => {
    seen.resolve(invitation);
    await pending(invitation);
  });
  caller.send(invite());
  const invitation = await seen.promise;

  caller.send(
    invite().replaceAll("INVITE", "CANCEL").replace("Contact: ", "Reason: SIP;cause=200\nX-C: "),
  );

  await caller.receive(/^SIP\/2.0 487/);
  expect(invitation.signal.reason).toMatchObject({
    code: "CALL_CANCELLED",
    reason: "SIP;cause=200",
  });
  await expect(invitation.answer({ sdp: "v=0\r\n" })).rejects.toThrow(
    "the caller cancelled call-1",
  );
});

test("disposing aborts every call, waits for its end and refuses what was not answered", async () => {
  const { caller, server } = await application(pending);
  caller.send(invite());
  await caller.receive(/^SIP\/2.0 100/);
  await expect.poll(() => server.callCount).toBe(1);

  await server[Symbol.asyncDispose]();

  expect(server.callCount).toBe(0);
  expect(await caller.receive(/^SIP\/2.0 [3-6]/)).toContain("SIP/2.0 503 ");
});

test("an extension that is required and not there gets 420 with its name", async () => {
  const { caller } = await application(pending);
  caller.send(invite("call-1", "Contact: <sip:c@127.0.0.1:{port}>\nRequire: timer, 100rel\n"));

  const refused = await caller.receive(/^SIP\/2.0 [3-6]/);

  expect(refused).toContain("SIP/2.0 420 Bad Extension\r\n");
  expect(header(refused, "Unsupported")).toBe("100rel");
});

test("a call ends when the daemon goes", async () => {
  const seen = Promise.withResolvers<Invitation>();
  const { caller, server, daemon } = await application(async (invitation) => {
    seen.resolve(invitation);
    await pending(invitation);
  });
  caller.send(invite());
  const { signal } = await seen.promise;

  await daemon[Symbol.asyncDispose]();

  await expect.poll(() => String(signal.reason)).toContain("drachtio daemon is lost");
  await expect.poll(() => server.callCount).toBe(0);
});

test.for([
  ["sip:+1800@host", "+1800"],
  ['"A" <sip:%2B1800;ext=1@host>;tag=x', "+1800"],
  ["sips:alice@host", "alice"],
  ["sip:host:5060", ""],
  ["tel:+1800", ""],
] as const)("the user part of %s is %s", ([value, user]) => {
  expect(userOf(value)).toBe(user);
});
