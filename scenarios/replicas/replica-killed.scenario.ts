import { BUDGETS } from "../harness/budgets.ts";
import { isInstalled } from "../harness/program.ts";
import { startReplicas } from "../harness/replicas.ts";
import { expect, scenario } from "../harness/scenario.ts";

scenario(
  "the caller of a replica that is killed is with a human within four seconds",
  async ({ phone, acs, llm, queue, lab, agent, signal }) => {
    await using replicas = await startReplicas(lab, { signal });
    llm.when("current balance").says("Your balance is forty nine dollars.");
    llm.when("due date").says("Your next payment is due on the first of March.");

    const call = await phone.call("+18005551234", { from: "+14255550100" });
    await call.hears("press two");
    await call.presses("2");
    await call.hears("How can I help");
    await call.says("What is my current balance?");
    await call.hears("Your balance is forty nine dollars");
    await call.says("What is my current payment due date?");
    await call.hears("your next payment", { asTheyAreSpoken: true });
    await replicas.first.process.kill();

    const handoff = await queue.nextCall({ withinMs: BUDGETS.unexplainedSilenceMs });
    expect(handoff).toMatchObject({ customerId: "C-1042", reason: "billing" });
    expect(handoff.summary).toBe("The voice agent had no audio.");
    const human = await handoff.answers();
    await acs.event("CallTransferAccepted");
    await human.says("How can I help you today?");
    await call.hears("How can I help you today");
    await call.hangsUp();
    expect(replicas.second.outcomes).toEqual(["escalated"]);

    // The one that was killed has every turn that was finished, and not the one being spoken.
    const { store } = await agent.startAnother({ AGENT_DATABASE: replicas.first.database });
    const [record] = store.calls();
    expect(record).toMatchObject({ outcome: "interrupted" });
    const turns = store.turns(record?.id ?? "").map(({ text }) => text);
    expect(turns.slice(1)).toEqual([
      "What is my current balance?",
      "Your balance is forty nine dollars.",
      "What is my current payment due date?",
    ]);
  },
  { agent: {}, skip: !isInstalled("redis-server") },
);
