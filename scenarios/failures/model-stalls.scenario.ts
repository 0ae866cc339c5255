import { BUDGETS } from "../harness/budgets.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a model that stalls is bridged, then given up for a human",
  async ({ phone, llm, queue }) => {
    llm.when("current balance").stalls("headers");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");

    await call.hears("One moment please", { withinMs: 5000 });
    await call.hears("technical problem");
    const handoff = await queue.nextCall();
    expect(handoff.reason).toBe("billing");
    expect(call).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await call.hangsUp();
  },
  { agent: { AZURE_OPENAI_STALL_TIMEOUT_MS: "4000", AZURE_OPENAI_MAX_RETRIES: "0" } },
);
