import { expect, scenario } from "./harness/scenario.ts";

const SUMMARY = "Customer confirmed identity and wants to dispute a charge.";

scenario(
  "a billing dispute reaches a human with the AI's summary",
  async ({ phone, llm, queue, acs }) => {
    llm.when("dispute").escalates({ summary: SUMMARY, reason: "billing dispute" });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("I would like to dispute a charge on my account.");

    const handoff = await queue.nextCall();
    expect(handoff).toHaveHeader("X-AI-Summary", SUMMARY);
    expect(handoff).toHaveHeader("X-Customer-ID", "C-1042");
    expect(handoff.summary).toBe(SUMMARY);

    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("This is the billing team. How may I help you?");
    await call.hears("This is the billing team");
    await call.says("I was charged twice for the same thing.");
    await human.hears("I was charged twice");

    expect(call).toHaveNoGapAbove();
    await human.hangsUp();
    await call.isEnded();
  },
);
