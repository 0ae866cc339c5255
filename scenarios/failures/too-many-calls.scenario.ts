import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "one call too many is busy, and the one before it goes on",
  async ({ phone, llm, trace }) => {
    llm.when("current balance").says("Your balance is forty nine dollars.");

    const first = await phone.call("+18005551234", { from: "+14255550100" });
    await first.presses("2");
    await first.hears("How can I help");
    const second = await phone.call("+18005551234", { from: "+14255550101" });
    await second.presses("2");
    await second.hears("This service is not available right now");
    await second.isEnded();
    expect(
      trace.events.some(
        (event) =>
          event.type === "sip" && event.party === "acs" && event.message.startsWith("SIP/2.0 486"),
      ),
    ).toBe(true);
    await first.says("What is my current balance?");
    await first.hears("Your balance is forty nine dollars");
    await first.hangsUp();
  },
  { agent: { AGENT_MAX_CALLS: "1" } },
);
