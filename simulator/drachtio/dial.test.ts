import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentTrace } from "../trace.ts";
import { connectDrachtio } from "./application.ts";
import { startDrachtioDaemon } from "./daemon.ts";
import { dial, hangUp } from "./dial.ts";
import { answer, header, openTestPeer, type TestPeer } from "./testing/peer.ts";

const clock = systemClock();
const SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/** An application that dials a raw peer. */
async function dialler() {
  const resources = new AsyncDisposableStack();
  onTestFinished(() => resources.disposeAsync());
  const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
  const daemon = resources.use(await startDrachtioDaemon({ clock, trace: silentTrace, contacts }));
  const srf = resources.use(await connectDrachtio(daemon.control));
  const peer = resources.use(await openTestPeer({ peer: daemon.contacts[0]?.port ?? 0 }));
  const uri = `sip:+18005551234@127.0.0.1:${peer.port}`;
  const call = (signal: AbortSignal, onProvisional?: (response: { status: number }) => void) =>
    dial(srf, uri, {
      localSdp: SDP,
      headers: { "X-Note": "1" },
      signal,
      ...(onProvisional === undefined ? {} : { onProvisional }),
    });
  return { peer, call, uri, daemon };
}

const ok = (invite: string, peer: TestPeer) =>
  answer(invite, "200 OK", [
    `Contact: <sip:peer@127.0.0.1:${peer.port}>`,
    "Content-Type: application/sdp",
    "",
    ...SDP.split("\r\n"),
  ]);

test("a call resolves with its dialog on 200, after its provisional responses", async ({
  signal,
}) => {
  const { peer, call } = await dialler();
  const heard: number[] = [];
  const dialled = call(signal, ({ status }) => heard.push(status));
  const invite = await peer.receive(/^INVITE/);
  expect(header(invite, "X-Note")).toBe("1");
  peer.send(answer(invite, "180 Ringing"));
  peer.send(answer(invite, "183 Session Progress"));
  peer.send(ok(invite, peer));

  const dialog = await dialled;
  await peer.receive(/^ACK/);

  expect(heard).toEqual([180, 183]);
  expect(dialog.remote.sdp).toContain("m=audio 4000");
});

test("a refusal rejects with its status, reason and response", async ({ signal }) => {
  const { peer, call, uri } = await dialler();
  const refused = call(signal).catch((error: unknown) => error);
  const invite = await peer.receive(/^INVITE/);
  peer.send(answer(invite, "486 Not Now", ["Retry-After: 5"]));

  expect(await refused).toMatchObject({
    code: "CALL_REFUSED",
    status: 486,
    reason: "Not Now",
    message: `${uri} answered 486 Not Now`,
    response: { msg: { headers: { "retry-after": "5" } } },
  });
});

test("an aborted signal sends nothing", async () => {
  const { peer, call } = await dialler();

  await expect(call(AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  expect(peer.drain()).toEqual([]);
});

test("aborting before the daemon has sent the INVITE still cancels it", async ({ signal }) => {
  const { peer, call } = await dialler();
  const abort = new AbortController();
  const dialled = call(AbortSignal.any([signal, abort.signal]));
  abort.abort(new Error("at once"));

  await expect(dialled).rejects.toThrow("at once");
  const invite = await peer.receive(/^INVITE/);
  peer.send(answer(invite, "180 Ringing"));
  const cancel = await peer.receive(/^CANCEL/);

  expect(header(cancel, "Call-ID")).toBe(header(invite, "Call-ID"));
});

test("an answer that crosses our CANCEL is acknowledged and hung up", async ({ signal }) => {
  const { peer, call, daemon } = await dialler();
  const abort = new AbortController();
  const dialled = call(AbortSignal.any([signal, abort.signal])).catch((error: unknown) => error);
  const invite = await peer.receive(/^INVITE/);
  abort.abort(new Error("too late"));
  expect(await dialled).toEqual(new Error("too late"));
  peer.send(ok(invite, peer));

  await peer.receive(/^ACK/);
  peer.send(answer(await peer.receive(/^BYE/), "200 OK"));

  await expect.poll(() => daemon.load.dialogs).toBe(0);
});

test("hanging up waits for the answer, but not for ever, and twice is fine", async ({ signal }) => {
  const { peer, call } = await dialler();
  const dialled = call(signal);
  const invite = await peer.receive(/^INVITE/);
  peer.send(ok(invite, peer));
  const dialog = await dialled;

  const startedMs = clock.now();
  await Promise.all([
    hangUp(dialog, { clock, headers: { Reason: "Q.850;cause=16" } }),
    hangUp(dialog, { clock }),
  ]);

  expect(clock.now() - startedMs).toBeLessThan(2_000);
  const byes = peer.drain().filter((message) => message.startsWith("BYE"));
  expect(new Set(byes.map((bye) => header(bye, "CSeq"))).size).toBe(1);
  expect(header(byes[0] ?? "", "Reason")).toBe("Q.850;cause=16");
});
