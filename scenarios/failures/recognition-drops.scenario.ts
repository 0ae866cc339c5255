import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "recognition that drops or falls deaf is opened again, and the call goes on",
  async ({ phone, llm, lab }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");

    // The connection is closed while the caller is being greeted.
    const first = await phone.call("+18005551234", { from: "+14255550100" });
    await first.presses("2");
    await first.hears("How can I help");
    await first.says("What is my current balance?");
    await first.hears("Your balance is forty nine dollars");
    expect(first.isUp).toBe(true);
    await first.hangsUp();

    // The next one takes audio and never tells anything, until the agent notices.
    lab.faults.add({ name: "speech.deaf", times: 1 });
    const second = await phone.call("+18005551234", { from: "+14255550100" });
    await second.presses("2");
    await second.hears("How can I help");
    await second.says("I would like to dispute a charge on my account.");
    await second.says("I was charged twice for the same thing.");
    await second.says("I want to talk to a real person right now.");
    await second.says("What is my current balance?");
    await second.hears("Your balance is forty nine dollars");
    await second.hangsUp();
    expect(lab.faults.struck).toContain("speech.deaf");
  },
  {
    faults: [{ name: "speech.drop", with: { afterMs: 2000, code: 4000 }, times: 1 }],
    agent: { AGENT_SILENCE_MS: "20000" },
  },
);
