import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a caller who hangs up while being transferred leaves nothing behind",
  async ({ phone, llm, queue, acs }) => {
    llm.when("real person").escalates({ summary: "Customer asks for a person." });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("I want to talk to a real person right now.");
    await queue.nextCall();
    await call.hangsUp();
    expect(await acs.event("CallDisconnected")).toBeDefined();
  },
);
