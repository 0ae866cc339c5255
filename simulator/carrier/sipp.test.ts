import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../clock.ts";
import { startDrachtioDaemon } from "../drachtio/daemon.ts";
import { serveInvites } from "../drachtio/invitation.ts";
import { openTestPeer } from "../drachtio/testing/peer.ts";
import { silentTrace } from "../trace.ts";
import { startCarrier } from "./carrier.ts";

const run = promisify(execFile);
const clock = systemClock();
const CALLS = 30;

/** SIPp answers `-v` with exit code 99; what counts is whether it can be run at all. */
function isSippInstalled(): boolean {
  try {
    execFileSync("sipp", ["-v"], { stdio: "ignore" });
    return true;
  } catch (error) {
    return error instanceof Error && !("code" in error && error.code === "ENOENT");
  }
}

/** SIPp's own choice, 5060, may be somebody else's. */
async function freePort(): Promise<number> {
  await using peer = await openTestPeer();
  return peer.port;
}

test.skipIf(!isSippInstalled())(
  "SIPp's callers get through over UDP, one like the other",
  async () => {
    const resources = new AsyncDisposableStack();
    onTestFinished(() => resources.disposeAsync());
    const contacts = [{ transport: "udp", host: "127.0.0.1", port: 0 }] as const;
    const daemon = async () =>
      resources.use(await startDrachtioDaemon({ clock, trace: silentTrace, contacts }));
    const [ours, theirs] = [await daemon(), await daemon()];
    let answered = 0;
    resources.use(
      await serveInvites({
        drachtio: theirs.control,
        trace: silentTrace,
        handle: async (invitation) => {
          await invitation.answer({ sdp: invitation.offer });
          answered += 1;
        },
      }),
    );
    const carrier = resources.use(
      await startCarrier({
        clock,
        trace: silentTrace,
        drachtio: ours.control,
        routes: [{ number: "+18005551234", to: `sip:127.0.0.1:${theirs.contacts[0]?.port}` }],
      }),
    );

    const target = `127.0.0.1:${ours.contacts[0]?.port}`;
    const pace = ["-m", String(CALLS), "-r", "60", "-d", "50", "-timeout", "10", "-nostdin"];
    const where = ["-i", "127.0.0.1", "-p", String(await freePort())];
    const caller = ["-sn", "uac", "-s", "+18005551234", ...where];
    // Exit code 0: every call went through its whole scenario.
    await run("sipp", [target, ...caller, ...pace]);

    expect(answered).toBe(CALLS);
    await expect.poll(() => carrier.callCount).toBe(0);
  },
);
