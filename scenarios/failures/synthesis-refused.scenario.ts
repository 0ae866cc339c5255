import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an agent without a voice hands the caller to a human",
  async ({ phone, queue, acs }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");

    const handoff = await queue.nextCall();
    expect(handoff.reason).toBe("billing");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("This is the billing team. How may I help you?");
    await call.hears("This is the billing team");
    await call.hangsUp();
  },
  { faults: [{ name: "speech.refuse-synthesis", with: { status: 503 } }] },
);
