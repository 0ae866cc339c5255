import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "an agent that cannot tell the service from a stranger hands the caller to a human",
  async ({ phone, queue, trace }) => {
    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    const handoff = await queue.nextCall();
    expect(handoff.customerId).toBe("C-1042");
    await call.hangsUp();
    const answers = trace.events.flatMap((event) =>
      event.type === "http" && event.service === "callback" ? [event.status] : [],
    );
    expect(new Set(answers)).toEqual(new Set([401]));
  },
  {
    agent: {
      // Nobody listens on the port of the discard protocol.
      ACS_CALLBACK_JWKS_URL: "http://127.0.0.1:9/calling/keys",
      AGENT_MEDIA_TIMEOUT_MS: "1000",
      AGENT_TRANSFER_TIMEOUT_MS: "3000",
    },
  },
);
