import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a recogniser that refuses costs an apology and leads to a human",
  async ({ phone, queue }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");

    await call.hears("I cannot hear you well");
    const handoff = await queue.nextCall();
    expect(handoff.customerId).toBe("C-1042");
    await call.hangsUp();
  },
  { faults: [{ name: "speech.refuse-recognition", with: { status: 429 } }] },
);
