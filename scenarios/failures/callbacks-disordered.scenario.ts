import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "callbacks that are lost, late or twice do not disturb the caller",
  async ({ phone, llm, agent }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    await call.hangsUp();
    expect(agent.bundled.store.calls()).toHaveLength(1);
  },
  {
    faults: [
      { name: "acs.drop-callback.CallConnected" },
      { name: "acs.duplicate-callback" },
      { name: "acs.delay-callback.ParticipantsUpdated", with: { ms: 2000 } },
      { name: "acs.duplicate-event" },
    ],
  },
);
