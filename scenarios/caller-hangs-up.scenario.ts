import { expect, scenario } from "./harness/scenario.ts";

scenario(
  "a caller who hangs up in mid-reply leaves nothing behind",
  async ({ phone, llm, acs }) => {
    llm
      .when("terms")
      .says(
        "Your contract runs for twenty four months and renews every year, unless you cancel it three months before it ends, in writing or by telephone.",
      );

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What are the terms of my contract?");
    await call.hears("twenty four months", { asTheyAreSpoken: true });
    await call.hangsUp();

    const ended = await acs.event("CallDisconnected");
    expect(ended).toMatchObject([{ data: { resultInformation: { code: 200, subCode: 540000 } } }]);
  },
);
