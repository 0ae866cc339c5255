import { expect, scenario } from "../harness/scenario.ts";

/** Pairs: the queue refuses, then the fallback number. With 503 ACS tries more than once. */
const CODES = [486, 480, 404, 500, 603, 503];

scenario(
  "whatever code a transfer is refused with, the fallback is tried and the caller stays",
  async ({ phone, llm, trace }) => {
    llm.when("real person").saysThenCalls("One second.", "escalate_to_human", {
      summary: "Customer asks for a person.",
    });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.presses("2");
    await call.hears("How can I help");
    for (const _pair of CODES.slice(CODES.length / 2)) {
      await call.says("I want to talk to a real person right now.");
      await call.hears("How else can I help");
    }

    expect(call.isUp).toBe(true);
    const told = trace.events.flatMap((event) => {
      const isCallback = event.type === "http" && event.service === "callback";
      const posted = isCallback ? JSON.stringify(event.request) : "";
      return [...posted.matchAll(/"id":"([^"]+)".*?CallTransferFailed.*?"code":(\d+)/g)];
    });
    // An event may be posted twice; its id is the same then.
    const codes = new Map(told.map(([, id, code]) => [id, code]));
    expect([...codes.values()]).toEqual(CODES.map(String));
    await call.hangsUp();
  },
  {
    faults: CODES.map((status) => ({
      name: "queue.refuse",
      with: { status },
      ...(status === 503 ? {} : { times: 1 }),
    })),
    // The same desk, reached a second time.
    agent: { AGENT_FALLBACK_NUMBER: "+18005550150" },
  },
);
