import { BUDGETS } from "../harness/budgets.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an answer that stops coming is asked for again, and one without an end leads to a human",
  async ({ phone, llm, queue }) => {
    llm.when("terms").stalls("stream", "Your contract is a long one. And it");
    // Arguments for minutes, and nothing that could be spoken.
    llm.when("current balance").calls("look_up_customer", "[".repeat(100_000));

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What are the terms of my contract?");
    await call.hears("Your contract is a long one");
    await call.hears("I lost my thread");
    await call.says("What is my current balance?");
    await call.hears("One moment please");
    await call.hears("technical problem");
    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Caller said: What is my current balance?");
    expect(call).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await call.hangsUp();
  },
  { agent: { AZURE_OPENAI_STALL_TIMEOUT_MS: "1000" } },
);
