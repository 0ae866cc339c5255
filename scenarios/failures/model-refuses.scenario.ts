import { BUDGETS } from "../harness/budgets.ts";
import type { Fixtures } from "../harness/fixtures.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "a model that throttles is asked again, and if that does not help a human answers",
  async ({ phone, llm, queue, acs, trace }) => {
    llm.when("current balance").fails({ status: 429, code: "429", retryAfterMs: 200 });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("technical problem");
    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Caller said: What is my current balance?");
    expect(call).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await handoff.answers();
    await acs.event("CallTransferAccepted");
    await call.hangsUp();
    expect(answers(trace)).toEqual([429, 429]);
  },
);

scenario(
  "a model that refuses is not asked the same again, and one that lets nobody in leads to a human",
  async ({ phone, llm, queue, acs, trace }) => {
    llm.when("terms").fails({ status: 400, code: "content_filter" });
    llm.when("due date").fails({ status: 401, code: "401" });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What are the terms of my contract?");
    await call.hears("I can't help with that");
    await call.says("What is my current payment due date?");
    await call.hears("technical problem");
    const handoff = await queue.nextCall();
    expect(handoff.customerId).toBe("C-1042");
    expect(call).toHaveResponseTime({ p95Ms: BUDGETS.unexplainedSilenceMs });
    await handoff.answers();
    await acs.event("CallTransferAccepted");
    await call.hangsUp();
    expect(answers(trace)).toEqual([400, 401]);
  },
);

/** The model's status codes, in their order. */
function answers({ events }: Fixtures["trace"]): number[] {
  return events.flatMap((event) =>
    event.type === "http" && event.service === "openai" ? [event.status] : [],
  );
}
