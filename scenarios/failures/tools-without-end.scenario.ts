import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "of several tools the first that ends the turn counts, and tools without end lead to a human",
  async ({ phone, llm, queue, trace }) => {
    queue.refuses(486, "Busy Here");
    llm.when("real person").callsAll([
      { name: "look_up_customer", arguments: {} },
      { name: "escalate_to_human", arguments: { summary: "Customer asks for a person." } },
      { name: "end_call", arguments: {} },
    ]);
    llm.when("current balance").calls("look_up_customer");
    llm.afterTool("look_up_customer").calls("look_up_customer");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("I want to talk to a real person right now.");
    expect((await queue.nextCall()).summary).toBe("Customer asks for a person.");
    await call.hears("You are still with me");
    await call.says("What is my current balance?");
    expect((await queue.nextCall()).summary).toBe("Caller said: What is my current balance?");
    const asked = trace.events.filter(({ type }) => type === "model");
    expect(
      asked.filter((event) => event.type === "model" && event.kind === "toolCall"),
    ).toHaveLength(1 + 4);
    await call.hears("Please call again a little later");
    await call.isEnded();
  },
);
