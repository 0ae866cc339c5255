import { expect, scenario } from "./harness/scenario.ts";

const REPLY =
  "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.";

scenario(
  "what the agent believes it said is what the caller heard",
  async ({ phone, llm, agent, trace }) => {
    llm.when("terms").says(REPLY);
    llm.when("speak to a manager").says("Of course. I will find a manager for you.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What are the terms of my contract?");
    await call.hears("twenty four months", { asTheyAreSpoken: true });
    await call.says("Can I speak to a manager please?");
    await call.hears("I will find a manager for you");

    // The ear's last guess at the sentence that was cut, against the agent's own record.
    const guesses = trace.events.flatMap((event) =>
      event.type === "heard" && event.party === "phone" && event.text.startsWith("Your contract")
        ? [event.text]
        : [],
    );
    const store = agent.bundled.store;
    const turns = store.turns(store.calls()[0]?.id ?? "") ?? [];
    const believed = turns.find(({ interrupted }) => interrupted)?.text ?? "";
    const difference = wordsOf(believed).length - wordsOf(guesses.at(-1) ?? "").length;
    expect(REPLY.startsWith(believed)).toBe(true);
    expect(Math.abs(difference)).toBeLessThanOrEqual(1);
    await call.hangsUp();
  },
);

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
