import { expect, scenario } from "../harness/scenario.ts";

const OTHERS = ["+14255550101", "+14255550102"];

/** Published as P0-1 of Microsoft's call-center accelerator: a blocking call stalls every other. */
scenario("a call whose model stalls does not disturb the others", async ({ phone, llm }) => {
  llm.when("current balance").stalls("headers");
  llm
    .when("terms")
    .says("Your contract runs for twenty four months and renews every year, unless you cancel it.");

  const [slow, ...others] = await Promise.all(
    ["+14255550100", ...OTHERS].map((from) => phone.call("+18005551234", { from })),
  );
  if (slow === undefined) throw new Error("no call");
  const all = [slow, ...others];
  await Promise.all(all.map((call) => call.presses("2")));
  await Promise.all(all.map((call) => call.hears("How can I help")));

  await slow.says("What is my current balance?");
  await Promise.all(others.map((call) => call.says("What are the terms of my contract?")));
  await Promise.all(others.map((call) => call.hears("unless you cancel it")));
  for (const call of others) {
    expect(call).toHaveResponseTime({ p95Ms: 2000 });
    expect(call).toHaveNoGapAbove();
  }
  await slow.hears("One moment please");
  await Promise.all(all.map((call) => call.hangsUp()));
});
