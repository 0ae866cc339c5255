import { expect, scenario } from "./harness/scenario.ts";

scenario("the caller's context reaches the agent byte for byte", async ({ phone, llm, acs }) => {
  llm.otherwise().says("Thank you.");

  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.hears("press two");
  await call.presses("2");

  const incoming = await acs.incomingCall();
  expect(incoming).toHaveHeader("X-Customer-ID", "C-1042");
  expect(incoming).toHaveHeader("X-Transfer-Reason", "billing");
  // The matcher undoes percent-encoding; byte for byte means without.
  expect(incoming.header("X-Customer-ID")).toBe("C-1042");

  await call.hears("Hello Dana, I see you are calling about billing");
  await call.hangsUp();
});
