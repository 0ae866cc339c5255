import { BUDGETS } from "../harness/budgets.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a model that refuses is asked again only if that may help, and leads to a human",
  async ({ phone, llm, queue, trace }) => {
    llm.when("current balance").fails({ status: 429, code: "429", retryAfterMs: 200 });
    llm.when("terms").fails({ status: 400, code: "content_filter" });
    llm.when("due date").fails({ status: 401, code: "401" });
    const answers = () =>
      trace.events.flatMap((event) =>
        event.type === "http" && event.service === "openai" ? [event.status] : [],
      );

    const throttled = await phone.call("+18005551234", { from: "+14255550100" });
    await throttled.presses("2");
    await throttled.hears("How can I help");
    await throttled.says("What is my current balance?");
    await throttled.hears("technical problem");
    expect((await queue.nextCall()).summary).toBe("Caller said: What is my current balance?");
    expect(throttled).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await throttled.hangsUp();
    expect(answers()).toEqual([429, 429]);

    const refused = await phone.call("+18005551234", { from: "+14255550100" });
    await refused.presses("2");
    await refused.hears("How can I help");
    await refused.says("What are the terms of my contract?");
    await refused.hears("I can't help with that");
    await refused.says("What is my current payment due date?");
    await refused.hears("technical problem");
    expect((await queue.nextCall()).customerId).toBe("C-1042");
    expect(refused).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await refused.hangsUp();
    expect(answers()).toEqual([429, 429, 400, 401]);
  },
);
