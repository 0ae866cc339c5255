import { scenario } from "../harness/scenario.ts";

scenario(
  "a caller who says nothing is asked twice, then told goodbye",
  async ({ phone }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.hears("Are you still there");
    await call.hears("Please tell me how I can help");
    await call.hears("I will end the call now");
    await call.isEnded();
  },
  { agent: { AGENT_SILENCE_MS: "1500" } },
);
