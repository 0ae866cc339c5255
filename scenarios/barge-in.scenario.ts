import { expect, scenario } from "./harness/scenario.ts";

scenario("a customer who speaks over the agent is heard at once", async ({ phone, llm }) => {
  llm
    .when("terms")
    .says(
      "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.",
    );
  llm.when("speak to a manager").says("Of course. I will find a manager for you.");

  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.hears("press two");
  await call.presses("2");
  await call.hears("How can I help");

  await call.says("What are the terms of my contract?");
  await call.hears("twenty four months", { asTheyAreSpoken: true });
  await call.says("Can I speak to a manager please?");
  await call.hears("I will find a manager for you");

  expect(call).toGoQuietWithin();
  await call.hangsUp();
});
