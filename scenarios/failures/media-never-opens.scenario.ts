import { expect, scenario } from "../harness/scenario.ts";

/** Nobody listens on the port of the discard protocol. */
const NOWHERE = { AGENT_MEDIA_URL: "http://127.0.0.1:9" };

scenario(
  "a caller whose audio cannot be connected is handed to a human",
  async ({ phone, queue, acs }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    const handoff = await queue.nextCall({ withinMs: 5000 });
    expect(handoff.summary).toBe("The voice agent had no audio.");
    expect(await acs.event("MediaStreamingFailed")).toBeDefined();
    await handoff.answers();
    await acs.event("CallTransferAccepted");
    await call.hangsUp();
  },
  { agent: NOWHERE },
);

scenario(
  "a caller of whose audio nothing is heard is handed to a human",
  async ({ phone, queue, acs }) => {
    const call = await phone.call("+18005551234", { from: "+14255550101" });
    await call.presses("2");
    const handoff = await queue.nextCall();
    expect(handoff.customerId).toBe("C-2077");
    expect(handoff.reason).toBe("billing");
    await handoff.answers();
    await acs.event("CallTransferAccepted");
    await call.hangsUp();
  },
  {
    faults: [{ name: "acs.drop-callback.MediaStreamingFailed" }],
    agent: { ...NOWHERE, AGENT_MEDIA_TIMEOUT_MS: "2000" },
  },
);
