import { expect, scenario } from "./harness/scenario.ts";

scenario(
  "a wrong key is explained and the right one routes the call",
  async ({ phone, llm, acs }) => {
    llm.otherwise().says("Thank you.");

    const call = await phone.call("+18005551234", { from: "+14255550101" });
    await call.hears("press three");
    await call.presses("9");
    await call.hears("not a valid choice");
    await call.presses("3");

    const incoming = await acs.incomingCall();
    expect(incoming).toHaveHeader("X-Transfer-Reason", "technical-support");
    expect(incoming).toHaveHeader("X-Customer-ID", "C-2077");
    await call.hears("Hello Sam");
    await call.hangsUp();
  },
);
