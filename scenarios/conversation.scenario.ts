import { expect, scenario } from "./harness/scenario.ts";

interface Customer {
  readonly balance: string;
  readonly plan: string;
}

scenario(
  "a customer asks three things and gets three answers",
  async ({ phone, llm, trace }) => {
    llm.when("current balance").calls("look_up_customer", { customer_id: "C-1042" });
    llm
      .afterTool("look_up_customer")
      .says(({ toolResult }) => `Your balance is ${(toolResult as Customer).balance} dollars.`);
    llm.when("due date").says("Your next payment is due on the first of March.");
    llm.when("that is all").says("Thank you for calling. Goodbye.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");

    await call.says("What is my current balance?");
    await call.hears("Your balance is 49.99 dollars");
    await call.says("What is my current payment due date?");
    await call.hears("due on the first of March");
    await call.says("That is all I needed.");
    await call.hears("Goodbye");

    // What the service synthesised is what came out of the caller's earpiece, word for word.
    for (const event of trace.events) {
      if (event.type === "spoken" && event.party === "speech") expect(call).toHaveHeard(event.text);
    }
    expect(call).toHaveResponseTime({ p95Ms: 1500 });
    expect(call).toHaveNoGapAbove();
    await call.hangsUp();
  },
  { agent: { AGENT_PREPARED_PHRASES: "off" } },
);
