import { scenario } from "../harness/scenario.ts";

scenario(
  "a call that has lasted too long ends with an explanation",
  async ({ phone }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.hears("the end of the time for this call");
    await call.isEnded();
  },
  { agent: { AGENT_MAX_CALL_MS: "7000" } },
);
