import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a media socket that drops comes back, and the conversation goes on",
  async ({ phone, llm, lab }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    lab.faults.add({ name: "acs.drop-media-socket", times: 1 });
    await call.hears("the line was interrupted");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    expect(call.isUp).toBe(true);
    await call.hangsUp();
  },
);
