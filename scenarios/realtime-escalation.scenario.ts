import { expect, scenario } from "./harness/scenario.ts";

const SUMMARY = "Customer confirmed identity and wants to dispute a charge.";

scenario(
  "a model that hears and speaks hands over to a human with its summary",
  async ({ phone, llm, queue, acs }) => {
    llm.when("dispute").escalates({ summary: SUMMARY, reason: "billing dispute" });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("I would like to dispute a charge on my account.");
    await call.hears("Please stay on the line");

    const handoff = await queue.nextCall();
    expect(handoff).toHaveHeader("X-AI-Summary", SUMMARY);
    expect(handoff).toHaveHeader("X-Customer-ID", "C-1042");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("This is the billing team. How may I help you?");
    await call.hears("This is the billing team");
    await human.hangsUp();
    await call.isEnded();
  },
  { agent: { AGENT_MODE: "realtime", AGENT_MEDIA_RATE_HZ: "24000" } },
);
