import { once } from "node:events";
import { expect, test } from "vitest";
import { manualClock } from "../clock.ts";
import { openTestDaemon, request, SDP, type TestDaemon } from "./testing/daemon.ts";
import { answer, header } from "./testing/peer.ts";

const ANSWERED = ["Contact: <sip:a@127.0.0.1:{port}>", "Content-Type: application/sdp", "", SDP];

/** A call from the peer that asks for a session timer. */
async function called({ srf, peer }: TestDaemon, refresher: string, seconds = 90) {
  const answered = new Promise<EventTarget>((resolve) => {
    srf.invite((req, res) => {
      void srf.createUAS(req, res, { localSdp: SDP }).then((dialog) => resolve(dialog as never));
    });
  });
  peer.send(request("INVITE", { headers: `Session-Expires: ${seconds};refresher=${refresher}` }));
  const ok = await peer.receive(/^SIP\/2.0 200/);
  peer.send(request("ACK", { to: header(ok, "To") }));
  return { ok, dialog: await answered };
}

/** Waits for the daemon's refresh and refuses it. */
async function refuseRefresh({ peer }: TestDaemon, status: string): Promise<void> {
  peer.send(answer(await peer.receive(/^INVITE/), status));
  await peer.receive(/^ACK/);
}

/** Waits for the daemon's refresh and takes it; the daemon stays the refresher. */
async function takeRefresh({ peer }: TestDaemon): Promise<string> {
  const refresh = await peer.receive(/^INVITE/);
  const session = "Session-Expires: 90;refresher=uac";
  peer.send(answer(refresh, "200 OK", [session, ...ANSWERED]));
  await peer.receive(/^ACK/);
  return refresh;
}

test("a caller who refreshes is told so, and hung up on when it does not", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { ok, dialog } = await called(lab, "uac");
  expect(header(ok, "Session-Expires")).toBe("90;refresher=uac");
  expect(header(ok, "Require")).toBe("timer");
  const ended = once(dialog, "destroy");
  await clock.advance(59_000);
  expect(lab.daemon.load.dialogs).toBe(1);
  await clock.advance(2_000);
  const bye = await lab.peer.receive(/^BYE/);
  expect(header(bye, "Reason")).toBe('SIP;cause=200;text="Session timer expired"');
  expect((await ended)[1]).toBe("Session timer expired");
});

test("the daemon refreshes when that is its part, with its last SDP", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  await called(lab, "uas");
  await clock.advance(45_000);
  const refresh = await takeRefresh(lab);
  expect(header(refresh, "Session-Expires")).toBe("90;refresher=uac");
  expect(refresh.endsWith(SDP)).toBe(true);
  await clock.advance(45_000);
  expect(header(await lab.peer.receive(/^INVITE/), "CSeq")).toBe("2 INVITE");
});

test.each(["408 Request Timeout", "481 Call Does Not Exist"])(
  "a refresh refused with %s ends the call",
  async (status) => {
    const clock = manualClock();
    await using lab = await openTestDaemon({ clock });
    await called(lab, "uas");
    await clock.advance(45_000);
    lab.peer.send(answer(await lab.peer.receive(/^INVITE/), status));
    expect(header(await lab.peer.receive(/^BYE/), "Reason")).toContain("Session timer expired");
  },
);

test("after any other refusal the session is refreshed once more, and lasts until it expires", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { dialog } = await called(lab, "uas");
  const ended = once(dialog, "destroy");
  await clock.advance(45_000);
  await refuseRefresh(lab, "488 Not Acceptable Here");
  // The peer would hang up after 60 s: half of what is left until then.
  await clock.advance(7_500);
  await refuseRefresh(lab, "488 Not Acceptable Here");
  await clock.advance(37_499);
  expect(lab.daemon.load.dialogs).toBe(1);
  expect(lab.peer.drain().filter((text) => /^(?:INVITE|BYE)/.test(text))).toEqual([]);
  await clock.advance(1);
  await lab.peer.receive(/^BYE/);
  expect((await ended)[1]).toBe("Session timer expired");
});

test("a refresh that crosses the peer's own and is then taken starts the time anew", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  await called(lab, "uas");
  await clock.advance(45_000);
  await refuseRefresh(lab, "491 Request Pending");
  await clock.advance(7_500);
  await takeRefresh(lab);
  await clock.advance(44_999);
  expect(lab.daemon.load.dialogs).toBe(1);
  await clock.advance(1);
  expect(header(await lab.peer.receive(/^INVITE/), "CSeq")).toBe("3 INVITE");
});

test("while an INVITE of the application is under way, the daemon sends none of its own", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { dialog } = await called(lab, "uas");
  const modifying = (dialog as unknown as { modify(sdp: string): Promise<unknown> }).modify(SDP);
  const refusal = modifying.catch((error: unknown) => error);
  const reinvite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(reinvite, "180 Ringing"));
  await clock.advance(45_000);
  // The application's own may have been repeated.
  expect(lab.peer.drain().filter((text) => text.includes("CSeq: 2 INVITE"))).toEqual([]);
  lab.peer.send(answer(reinvite, "488 Not Acceptable Here"));
  expect(await refusal).toMatchObject({ status: 488 });
  await clock.advance(7_500);
  const refresh = await lab.peer.receive(/CSeq: 2 INVITE/);
  expect(header(refresh, "Session-Expires")).toBe("90;refresher=uac");
});

test("a session that expires while its refresh rings is ended, and the refresh cancelled", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  await called(lab, "uas");
  await clock.advance(45_000);
  lab.peer.send(answer(await lab.peer.receive(/^INVITE/), "180 Ringing"));
  await clock.advance(45_000);
  await lab.peer.receive(/^CANCEL/);
  expect(header(await lab.peer.receive(/^BYE/), "Reason")).toContain("Session timer expired");
});

test("a refresh of the peer starts the time anew", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { ok } = await called(lab, "uac");
  await clock.advance(50_000);
  const headers = "Session-Expires: 90;refresher=uac";
  lab.peer.send(request("UPDATE", { to: header(ok, "To"), cseq: 2, headers }));
  await lab.peer.receive(/CSeq: 2 UPDATE/);
  await clock.advance(50_000);
  expect(lab.daemon.load.dialogs).toBe(1);
});

test("a session shorter than 90 s is refused in a dialog", async () => {
  await using lab = await openTestDaemon();
  const { ok } = await called(lab, "uac");
  const headers = "Session-Expires: 30";
  lab.peer.send(request("UPDATE", { to: header(ok, "To"), cseq: 2, headers }));
  const refused = await lab.peer.receive(/^SIP\/2.0 422/);
  expect(header(refused, "Min-SE")).toBe("90");
});

test.each([
  "90;refresher=uac",
  "90",
  // Shorter than RFC 4028 allows: no reason to refresh without a pause.
  "0;refresher=uac",
])("a call we make keeps the session its answer asks for: %s", async (session) => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const calling = lab.srf.createUAC(`sip:a@127.0.0.1:${lab.peer.port}`, { localSdp: SDP });
  const invite = await lab.peer.receive(/^INVITE/);
  lab.peer.send(answer(invite, "200 OK", [`Session-Expires: ${session}`, ...ANSWERED]));
  await calling;
  await lab.peer.receive(/^ACK/);
  await clock.advance(44_999);
  expect(lab.peer.drain().filter((text) => text.startsWith("INVITE"))).toEqual([]);
  await clock.advance(1);
  expect(await lab.peer.receive(/^INVITE/)).toContain(SDP);
});

test("a refresh carries SDP, whatever else went out in the dialog since", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { dialog } = await called(lab, "uas");
  const info = { method: "INFO", headers: { "Content-Type": "text/plain" }, body: "hello" };
  void (dialog as unknown as { request(options: object): Promise<unknown> }).request(info);
  lab.peer.send(answer(await lab.peer.receive(/^INFO/), "200 OK"));
  await clock.advance(45_000);
  expect((await lab.peer.receive(/^INVITE/)).endsWith(SDP)).toBe(true);
});

test("a refresh that a BYE crosses starts no timer and sends no second BYE", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { ok } = await called(lab, "uas");
  await clock.advance(45_000);
  const refresh = await lab.peer.receive(/^INVITE/);
  lab.peer.send(request("BYE", { to: header(ok, "To"), cseq: 2 }));
  await lab.peer.receive(/CSeq: 2 BYE/);
  lab.peer.send(answer(refresh, "481 Call Does Not Exist"));
  await lab.peer.receive(/^ACK/);
  await expect.poll(() => lab.daemon.load.dialogs).toBe(0);
  await clock.advance(100_000);
  expect(lab.peer.drain().filter((text) => text.startsWith("BYE"))).toEqual([]);
});

test("a refresh answered after the BYE leaves no timer", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  const { ok } = await called(lab, "uas");
  await clock.advance(45_000);
  const refresh = await lab.peer.receive(/^INVITE/);
  lab.peer.send(request("BYE", { to: header(ok, "To"), cseq: 2 }));
  await lab.peer.receive(/CSeq: 2 BYE/);
  const session = "Session-Expires: 90;refresher=uac";
  lab.peer.send(answer(refresh, "200 OK", [session, ...ANSWERED]));
  await lab.peer.receive(/^ACK/);
  await clock.advance(45_000);
  expect(lab.peer.drain().filter((text) => text.startsWith("INVITE"))).toEqual([]);
});

test("a session for ever is refreshed when half of it is over", async () => {
  const clock = manualClock();
  await using lab = await openTestDaemon({ clock });
  await called(lab, "uas", 999_999_999);
  await clock.advance(499_999_999_499);
  expect(lab.peer.drain().filter((text) => text.startsWith("INVITE"))).toEqual([]);
  await clock.advance(1);
  await lab.peer.receive(/^INVITE/);
});
