import { expect, scenario } from "../harness/scenario.ts";

scenario("a media socket that says nothing any more leads to a human", async (line) => {
  const { phone, acs, lab, queue } = line;
  const call = await phone.call("+18005551234", { from: "+14255550100" });
  await call.presses("2");
  await call.hears("How can I help");
  lab.faults.add({ name: "acs.freeze-media-socket", times: 1 });
  const handoff = await queue.nextCall();
  expect(handoff.customerId).toBe("C-1042");
  const human = await handoff.answers();
  await acs.event("CallTransferAccepted");
  await human.says("This is the billing team. How may I help you?");
  await call.hears("This is the billing team");
  await call.hangsUp();
});
