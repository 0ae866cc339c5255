import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an agent that has to end in mid-call hands the caller to a human first",
  async ({ phone, acs, llm, queue, agent }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");
    const ending = await agent.startProcess({ AGENT_DRAIN_TIMEOUT_MS: "0" });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    const ended = ending.terminate();

    await call.hears("Let me connect you with a colleague");
    const handoff = await queue.nextCall();
    expect(handoff).toHaveHeader("X-Customer-ID", "C-1042");
    expect(handoff.summary).toBe("Caller said: What is my current balance?");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("This is the billing team.");
    await call.hears("This is the billing team");
    expect(await ended).toBe(0);
  },
);
