import { expect, scenario } from "../harness/scenario.ts";

/** Where in the reply each caller speaks: the first near its beginning and past its middle. */
const PLACES = [
  ["your contract", "unless you cancel"],
  ["twenty four months", "in writing"],
] as const;

/**
 * Published as P0-3 and P0-5 of Microsoft's call-center accelerator: an interruption is cancelled on
 * the wrong thread and sometimes missed, and the next answer waits for the synthesiser's lock.
 */
scenario(
  "every interruption silences the agent, and the next answer comes at once",
  async ({ phone, llm }) => {
    llm
      .when("terms")
      .says(
        "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone, and we confirm that on the same day by sending a letter to your home.",
      );
    llm.when("speak to a manager").says("Of course. I will find a manager for you.");

    const calls = await Promise.all(
      ["+14255550100", "+14255550101"].map((from) => phone.call("+18005551234", { from })),
    );
    await Promise.all(calls.map((call) => call.presses("2")));
    await Promise.all(
      calls.map(async (call, caller) => {
        await call.hears("How can I help");
        for (const place of PLACES[caller] ?? []) {
          await call.says("What are the terms of my contract?");
          await call.hears(place, { asTheyAreSpoken: true });
          await call.says("Can I speak to a manager please?");
          await call.hears("I will find a manager for you");
        }
      }),
    );

    for (const call of calls) {
      expect(call.bargeIns).toHaveLength(2);
      // Two callers at once share the machine; what one may expect is in barge-in.scenario.ts.
      expect(call).toGoQuietWithin(600);
      expect(call).toHaveResponseTime({ p50Ms: 1500, p95Ms: 2500 });
      await call.hangsUp();
    }
  },
);
