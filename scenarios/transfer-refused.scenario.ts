import { expect, scenario } from "./harness/scenario.ts";

scenario("a busy queue leaves the caller with the agent", async ({ phone, llm, queue, acs }) => {
  queue.refuses(486, "Busy Here");
  llm.when("real person").escalates({ summary: "Customer asks for a person." });
  llm.when("call back later").says("Thank you for your patience. Goodbye.");

  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.hears("press two");
  await call.presses("2");
  await call.hears("How can I help");
  await call.says("I want to talk to a real person right now.");

  const failed = await acs.event("CallTransferFailed");
  expect(failed).toMatchObject([{ data: { resultInformation: { code: 486, subCode: 560486 } } }]);
  await call.hears("sorry");
  expect(call.isUp).toBe(true);

  await call.says("Never mind, I will call back later.");
  await call.hears("Thank you for your patience");
  await call.hangsUp();
});
