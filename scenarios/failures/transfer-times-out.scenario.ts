import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a transfer of which nothing is heard gives the caller back to the agent",
  async ({ phone, llm, queue }) => {
    queue.refuses(486, "Busy Here");
    llm.when("real person").escalates({ summary: "Customer asks for a person." });
    llm.when("call back later").says("Thank you for your patience. Goodbye.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("I want to talk to a real person right now.");
    await call.hears("stay on the line");

    await call.hears("all of my colleagues are busy");
    await call.says("Never mind, I will call back later.");
    await call.hears("Thank you for your patience");
    expect(call.isUp).toBe(true);
    await call.hangsUp();
  },
  {
    faults: [{ name: "acs.drop-callback.CallTransferFailed" }],
    agent: { AGENT_TRANSFER_TIMEOUT_MS: "5000" },
  },
);
