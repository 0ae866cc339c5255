import { expect, scenario } from "../harness/scenario.ts";

scenario("a call whose model stalls does not disturb another call", async ({ phone, llm }) => {
  llm.when("current balance").stalls("headers");
  llm.when("due date").says("Your next payment is due on the first of March.");

  const [slow, quick] = await Promise.all([
    phone.call("+18005551234", { from: "+14255550100" }),
    phone.call("+18005551234", { from: "+14255550101" }),
  ]);
  await Promise.all([slow.hears("press two"), quick.hears("press two")]);
  await Promise.all([slow.presses("2"), quick.presses("2")]);
  await Promise.all([slow.hears("Hello Dana"), quick.hears("Hello Sam")]);
  await Promise.all([slow.hears("How can I help"), quick.hears("How can I help")]);

  await slow.says("What is my current balance?");
  await quick.says("What is my current payment due date?");
  await quick.hears("due on the first of March");
  expect(quick).toHaveResponseTime({ p95Ms: 2000 });
  expect(quick).toHaveNoGapAbove();
  await slow.hears("One moment please");
  await Promise.all([slow.hangsUp(), quick.hangsUp()]);
});
