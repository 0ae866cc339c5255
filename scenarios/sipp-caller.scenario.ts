import { isInstalled, runProgram } from "./harness/program.ts";
import { expect, scenario } from "./harness/scenario.ts";

scenario(
  "a SIPp caller on the carrier's UDP side reaches the agent",
  async ({ lab, acs, trace, signal }) => {
    const address = lab.carrierAddress.udp.replace("sip:", "");
    const sipp = runProgram(
      "sipp",
      [
        address,
        "-sf",
        "fixtures/sip/sipp/menu-caller.xml",
        "-s",
        "+18005551234",
        "-m",
        "1",
        "-i",
        "127.0.0.1",
        "-nostdin",
        "-timeout",
        "60",
      ],
      { signal, timeoutMs: 60_000 },
    );

    const incoming = await acs.incomingCall();
    expect(incoming).toHaveHeader("X-Customer-ID", "C-1042");
    expect(incoming).toHaveHeader("X-Transfer-Reason", "billing");
    await acs.event("CallConnected");
    await trace.waitFor((event) => event.type === "spoken" && event.text.startsWith("Hello Dana"), {
      what: "greeting of the agent",
      timeoutMs: 10_000,
      signal,
    });

    const { exitCode, output } = await sipp;
    expect(exitCode, output).toBe(0);
    await acs.event("CallDisconnected");
  },
  // SIPp plays its keys through a raw socket.
  { skip: !isInstalled("sipp") || process.getuid?.() !== 0 },
);
