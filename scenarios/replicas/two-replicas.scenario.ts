import { isInstalled } from "../harness/program.ts";
import { startReplicas } from "../harness/replicas.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "events that reach the replica without the media socket, some twice, do not disturb the caller",
  async ({ phone, acs, llm, queue, lab, signal }) => {
    await using replicas = await startReplicas(lab, { signal });
    llm.when("current balance").says("Your balance is forty nine dollars.");
    llm.when("real person").escalates({ summary: "Customer asks for a person." });

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    await call.says("I want to talk to a real person right now.");

    const handoff = await queue.nextCall();
    expect(handoff.summary).toBe("Customer asks for a person.");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("How can I help you today?");
    await call.hears("How can I help you today");
    await call.hangsUp();
    expect(replicas.first.outcomes).toEqual(["escalated"]);
    expect(replicas.second.outcomes).toEqual([]);
  },
  { agent: {}, skip: !isInstalled("redis-server") },
);
