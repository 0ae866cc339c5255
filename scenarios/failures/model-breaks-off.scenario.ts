import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an answer that breaks off, and one that is filtered, leave the caller with the agent",
  async ({ phone, llm }) => {
    llm.when("current balance").drops("Your balance is on its way. And it");
    llm.when("due date").isFiltered();
    llm.when("that is all").says("Thank you for calling. Goodbye.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");

    await call.says("What is my current balance?");
    await call.hears("I lost my thread");
    await call.says("What is my current payment due date?");
    await call.hears("I can't help with that");
    await call.says("That is all I needed.");
    await call.hears("Goodbye");
    expect(call.isUp).toBe(true);
    await call.hangsUp();
  },
);
