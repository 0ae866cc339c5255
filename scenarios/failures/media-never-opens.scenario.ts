import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a caller whose audio never gets through is handed to a human",
  async ({ phone, queue, acs }) => {
    // The service reports that it cannot connect.
    const first = await phone.call("+18005551234", { from: "+14255550100" });
    await first.presses("2");
    expect((await queue.nextCall({ withinMs: 5000 })).summary).toBe(
      "The voice agent had no audio.",
    );
    expect(await acs.event("MediaStreamingFailed")).toBeDefined();
    await first.hangsUp();

    // Nothing is heard of it.
    const second = await phone.call("+18005551234", { from: "+14255550101" });
    await second.presses("2");
    const handoff = await queue.nextCall();
    expect(handoff.customerId).toBe("C-2077");
    expect(handoff.reason).toBe("billing");
    await second.hangsUp();
  },
  {
    faults: [{ name: "acs.drop-callback.MediaStreamingFailed", after: 1 }],
    // Nobody listens on the port of the discard protocol.
    agent: { AGENT_MEDIA_URL: "http://127.0.0.1:9", AGENT_MEDIA_TIMEOUT_MS: "2000" },
  },
);
