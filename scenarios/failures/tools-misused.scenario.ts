import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a model that misuses its tools still gives every question an answer",
  async ({ phone, llm }) => {
    llm.when("current balance").calls("look_up_customer", '{"customer_id":');
    llm.when("due date").calls("transfer_money", {});
    llm.when("that is all").callsAll([
      { name: "look_up_customer", arguments: {} },
      { name: "look_up_customer", arguments: { customer_id: "C-2077" } },
    ]);
    llm
      .afterTool("look_up_customer")
      .says("I could not read your account.")
      .says(({ toolResult }) =>
        JSON.stringify(toolResult).includes("error") ? "Your data is safe." : "Oh.",
      );
    llm.afterTool("transfer_money").says("I cannot move money for you.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");

    await call.says("What is my current balance?");
    await call.hears("I could not read your account");
    await call.says("What is my current payment due date?");
    await call.hears("I cannot move money for you");
    await call.says("That is all I needed.");
    await call.hears("Your data is safe");
    expect(call.isUp).toBe(true);
    await call.hangsUp();
  },
  { faults: [{ name: "openai.unknown-tool" }] },
);
