import { expect, scenario } from "../harness/scenario.ts";

const QUESTIONS = [
  ["What is my current balance?", "Your balance is forty nine dollars"],
  ["What are the terms of my contract?", "Your contract runs for twenty four months"],
] as const;

/** Published as P0-2 of Microsoft's call-center accelerator: calls share one speech configuration. */
scenario(
  "two callers at the same time are each spoken to in their own voice",
  async ({ phone, llm, agent, trace }) => {
    for (const [question, answer] of QUESTIONS) llm.when(question).says(`${answer}.`);

    const emma = await phone.call("+18005551234", { from: "+14255550100" });
    await emma.presses("2");
    await emma.hears("Hello Dana", { asTheyAreSpoken: true });
    // One process, one Speech SDK, and another configuration for the call that comes next.
    await agent.startAnother({ SPEECH_VOICE: "en-US-BrianNeural", AGENT_COMPANY_NAME: "Contoso" });
    const brian = await phone.call("+18005551234", { from: "+14255550101" });
    await brian.presses("2");
    await Promise.all([emma.hears("How can I help"), brian.hears("How can I help")]);
    for (const [question, answer] of QUESTIONS) {
      await Promise.all([emma.says(question), brian.says(question)]);
      await Promise.all([emma.hears(answer), brian.hears(answer)]);
    }

    const voices = trace.events.flatMap((event) =>
      event.type === "spoken" && event.party === "speech" ? [`${event.voice}: ${event.text}`] : [],
    );
    for (const [, answer] of QUESTIONS) {
      expect(voices.filter((line) => line.includes(answer)).toSorted()).toEqual([
        `en-US-AvaMultilingualNeural: ${answer}.`,
        `en-US-BrianNeural: ${answer}.`,
      ]);
    }
    await Promise.all([emma.hangsUp(), brian.hangsUp()]);
  },
);
