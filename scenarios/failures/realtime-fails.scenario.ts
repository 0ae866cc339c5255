import { expect, scenario } from "../harness/scenario.ts";

const REALTIME = { AGENT_MODE: "realtime", AGENT_MEDIA_RATE_HZ: "24000" };

scenario(
  "a realtime session that breaks in the middle of an answer is replaced by the cascade",
  async ({ phone, llm, trace }) => {
    llm.when("current balance").drops("Your balance is");
    llm.when("due date").says("Your next payment is due on the first of March.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("the line was interrupted. Please go on");
    await call.says("What is my current payment due date?");
    await call.hears("due on the first of March");

    const asked = trace.events.filter(
      (event) => event.type === "http" && event.target.includes("/chat/completions"),
    );
    expect(asked).toHaveLength(1);
    await call.hangsUp();
  },
  { agent: REALTIME },
);

scenario(
  "a realtime session that is refused costs the caller nothing",
  async ({ phone, llm }) => {
    llm.when("due date").says("Your next payment is due on the first of March.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current payment due date?");
    await call.hears("due on the first of March");
    await call.hangsUp();
  },
  { agent: REALTIME, faults: [{ name: "openai.refuse-realtime", with: { status: 429 } }] },
);
