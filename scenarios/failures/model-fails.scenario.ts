import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a model that fails costs an apology and leads to a human",
  async ({ phone, llm, queue }) => {
    llm.when("current balance").fails({ status: 500 });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");

    await call.hears("technical problem");
    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Caller said: What is my current balance?");
    await call.hangsUp();
  },
);
