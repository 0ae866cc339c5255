import { expect, scenario } from "./harness/scenario.ts";

interface Customer {
  readonly balance: string;
}

const REPLY =
  "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.";

scenario(
  "a model that hears and speaks answers, is interrupted, and remembers what was heard",
  async ({ phone, llm, agent, trace }) => {
    const remembered: string[] = [];
    llm.when("current balance").calls("look_up_customer", { customer_id: "C-1042" });
    llm
      .afterTool("look_up_customer")
      .says(({ toolResult }) => `Your balance is ${(toolResult as Customer).balance} dollars.`);
    llm.when("terms").says(REPLY);
    llm.when("speak to a manager").says(({ conversation }) => {
      remembered.push(...conversation.messages.map(({ content }) => content));
      return "Of course. I will find a manager for you.";
    });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is 49.99 dollars");
    await call.says("What are the terms of my contract?");
    await call.hears("twenty four months", { asTheyAreSpoken: true });
    await call.says("Can I speak to a manager please?");
    await call.hears("I will find a manager for you");

    expect(call).toGoQuietWithin();
    expect(call).toHaveNoGapAbove();

    // The ear's last guess at the sentence that was cut, against the agent's record and the model's memory.
    const heard = trace.events.findLast(
      (event) =>
        event.type === "heard" && event.party === "phone" && event.text.startsWith("Your contract"),
    );
    const heardWords = wordsOf(heard?.type === "heard" ? heard.text : "");
    const store = agent.bundled.store;
    const turns = store.turns(store.calls()[0]?.id ?? "") ?? [];
    const believed = turns.find(({ interrupted }) => interrupted)?.text ?? "";
    const inModel = remembered.find((content) => content.startsWith("Your contract")) ?? "";
    for (const text of [believed, inModel]) {
      const difference = wordsOf(text).length - heardWords.length;
      expect(REPLY.startsWith(text)).toBe(true);
      // The agent has to guess from the sound, and guesses low.
      expect(difference).toBeGreaterThanOrEqual(-3);
      expect(difference).toBeLessThanOrEqual(1);
    }
    await call.hangsUp();
  },
  { agent: { AGENT_MODE: "realtime", AGENT_MEDIA_RATE_HZ: "24000" } },
);

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
